"""`graftwork documents`, and the commands of docs/context.md as they stand there."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from router.config.root import RouterConfig
from serving.cli.main import app
from tests.fakes.documents import pdf
from tests.fakes.whole_system import System, whole_system

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Without keys, as on a laptop."""
    with whole_system(tmp_path_factory.mktemp("cli"), replicas=1) as running:
        yield running


def command(system: System, *words: str) -> Result:
    """What a person would type."""
    return CliRunner(env={"GRAFTWORK_URL": system.url, "COLUMNS": "200"}).invoke(
        app, ["documents", *words]
    )


def answer(system: System, *words: str) -> Any:
    """Its JSON."""
    result = command(system, *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_documents_are_added_listed_searched_and_deleted(system: System, tmp_path: Path) -> None:
    """By four commands; each says what the server says."""
    path = tmp_path / "hours.md"
    path.write_text("# Hours\n\nThe shop is open from 9 to 17.")
    [row] = answer(system, "add", str(path), "--collection", "shop", "--subject", "alice")["data"]
    assert (row["collection"], row["tenant"], row["title"]) == ("shop", "default", "hours.md")
    assert row["metadata"] == {"subject": "alice"}
    assert [each["id"] for each in answer(system, "list")["data"]] == [row["id"]]
    assert answer(system, "list", "--collection", "other")["data"] == []
    [found] = answer(system, "search", "when is it open", "--collection", "shop")["data"]
    assert found["document"] == row["id"]
    assert "9 to 17" in command(system, "search", "when is it open").stdout
    assert answer(system, "delete", row["id"])["data"] == [{"id": row["id"], "deleted": True}]
    assert answer(system, "list")["data"] == []


def test_what_goes_wrong_is_one_line_and_exit_1(system: System, tmp_path: Path) -> None:
    """And names what to do about it."""
    odd = tmp_path / "odd.exe"
    odd.write_bytes(b"MZ")
    refused = command(system, "add", str(odd))
    assert refused.exit_code == 1
    assert ".exe" in refused.stderr
    assert ".docx" in refused.stderr
    assert command(system, "add", str(tmp_path / "none.txt")).exit_code == 1
    assert command(system, "delete", "doc_none").exit_code == 1
    assert command(system, "search", "x", "--collection", "none").exit_code == 1


def test_the_commands_of_the_documentation_work(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line of docs/context.md's block, in its order."""
    text = (ROOT / "docs" / "context.md").read_text()
    [block] = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    (tmp_path / "manual.pdf").write_bytes(
        pdf(b"BT /F1 12 Tf 20 100 Td (The warranty lasts 27 months.) Tj ET")
    )
    monkeypatch.chdir(tmp_path)
    known = ""
    for line in block.strip().splitlines():
        program, group, *words = shlex.split(line)
        assert (program, group) == ("graftwork", "documents")
        result = command(system, *(known if word == "doc_…" else word for word in words))
        assert result.exit_code == 0, result.output
        known = (re.search(r"doc_[0-9a-f]+", result.stdout) or [known])[0]
        if words[0] == "search":
            assert "27 months" in result.stdout


def test_the_configuration_of_the_readme_is_one() -> None:
    """Its block about context is a section of the router's."""
    text = (ROOT / "README.md").read_text().split("## Answer from documents")[1]
    [block] = re.findall(r"```yaml\n(.*?)```", text.split("\n## ")[0], re.DOTALL)
    config = RouterConfig.model_validate(yaml.safe_load(block))
    assert config.context.default == ("manuals",)
    assert config.context.routes == {"returns": ()}
