"""The document of providers says what the code does: its table and its examples."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from router.config.egress import EgressConfig
from router.config.providers import ProviderConfig
from router.wire.dialects import DIALECTS
from router.wire.endpoint import Endpoint

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "providers.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_valid(example: str) -> None:
    """What a person copies from the document is accepted."""
    for given in yaml.safe_load(example)["providers"]:
        ProviderConfig.model_validate(given)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_api_is_in_the_table(dialect: str) -> None:
    """One that nobody can read about does not exist; vLLM's is that of the local engines."""
    rows = [line for line in TEXT.splitlines() if line.startswith("| ")]
    assert dialect == "vllm" or any(f"`{dialect}`" in row.split("|")[2] for row in rows)


COLUMNS = (
    Endpoint.CHAT,
    Endpoint.MESSAGES,
    Endpoint.RESPONSES,
    Endpoint.COMPLETIONS,
    Endpoint.EMBEDDINGS,
)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_each_dialect_answers(dialect: str) -> None:
    """The table of the document is that of the code: what is refused, and what is not."""
    [row] = [
        cells
        for line in TEXT.splitlines()
        if (cells := [cell.strip() for cell in line.split("|")])[1:2]
        and len(cells) == len(COLUMNS) + 4
        and f"`{dialect}`" in cells[1]
    ]
    answered = DIALECTS[dialect].endpoints(frozenset(Endpoint))
    told = dict(zip(COLUMNS, row[2:], strict=False))
    assert {each for each, how in told.items() if how != "refused"} == answered


@pytest.mark.parametrize("name", EgressConfig.model_fields)
def test_the_way_out_is_explained(name: str) -> None:
    """Each of its settings."""
    assert name in TEXT
