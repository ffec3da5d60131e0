"""The document says what the code does: reason codes are explained, examples are valid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from router.choose.refusals import Code
from router.config.policy import PolicyRule
from router.config.root import RouterConfig
from router.config.routing import ConfidenceConfig, LocalPrice, RouteConfig, RoutingConfig

TEXT = (Path(__file__).resolve().parents[4] / "docs" / "routing.md").read_text()


@pytest.mark.parametrize("code", list(Code))
def test_every_code_is_explained(code: Code) -> None:
    """Whoever reads a code in a decision finds it in the table."""
    rows = [line for line in TEXT.splitlines() if line.startswith("| `")]
    assert any(f"`{code}`" in row.split("|")[1] for row in rows)


EXAMPLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_valid(example: str) -> None:
    """What a person copies from the document is accepted."""
    given: dict[str, Any] = yaml.safe_load(example)["router"]
    assert RouterConfig.model_validate(given).model_dump(exclude_unset=True).keys() == given.keys()


@pytest.mark.parametrize(
    "section", [PolicyRule, RouteConfig, ConfidenceConfig, LocalPrice, RoutingConfig]
)
def test_every_setting_is_named(section: type[BaseModel]) -> None:
    """A setting that nobody can read about does not exist."""
    missing = [name for name in section.model_fields if name not in TEXT]
    assert not missing
