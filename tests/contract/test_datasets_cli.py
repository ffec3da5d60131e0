"""`graftwork datasets`: what the server says, by five commands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from serving.cli.main import app
from tests.contract.test_datasets import messages, question
from tests.fakes.whole_system import System, whole_system


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Without keys, as on a laptop. Its logs do not go where the command prints."""
    with whole_system(tmp_path_factory.mktemp("cli"), replicas=1) as running:
        yield running


def command(system: System, *words: str) -> Result:
    """What a person would type."""
    return CliRunner(env={"GRAFTWORK_URL": system.url, "COLUMNS": "200"}).invoke(
        app, ["datasets", *words]
    )


def answer(system: System, *words: str) -> Any:
    """Its JSON."""
    result = command(system, *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_files_come_in_are_shown_and_go_out_again(system: System, tmp_path: Path) -> None:
    """As lines, as pairs and as a directory, which comes back as the same dataset."""
    path = tmp_path / "swaps.jsonl"
    path.write_bytes(messages(*range(12)) + b"{}\n")
    result = command(system, "import", str(path), "--intent", "swaps", "--json")
    assert "line 13 was not taken" in result.stderr
    made = json.loads(result.stdout)
    assert made["name"] == "swaps"
    digest = made["digest"]
    assert [row["digest"] for row in answer(system, "list")["data"]] == [digest]
    assert answer(system, "show", digest[:12])["digest"] == digest
    shown = command(system, "show", digest)
    assert "held_out" in shown.stdout
    assert "rows to train on" in shown.stderr
    pairs = tmp_path / "pairs.jsonl"
    words = ("export", digest, "--format", "prompt_completion", "--split", "test")
    assert command(system, *words, "-o", str(pairs)).exit_code == 0
    assert len(pairs.read_bytes().splitlines()) == made["splits"]["test"]
    assert command(system, *words).stdout_bytes == pairs.read_bytes()
    folder = tmp_path / "folder"
    assert (
        command(system, "export", digest, "--format", "huggingface", "-o", str(folder)).exit_code
        == 0
    )
    assert sorted(each.name for each in folder.iterdir()) == [
        "README.md",
        "test.jsonl",
        "train.jsonl",
    ]
    assert answer(system, "import", str(folder))["digest"] == digest


def test_somebody_elses_directory_keeps_its_splits(system: System, tmp_path: Path) -> None:
    """Files without anything of ours in their lines."""
    for split, numbers in (("train", range(300, 306)), ("test", range(306, 309))):
        rows = [{"prompt": f"other {question(n)}", "completion": str(n)} for n in numbers]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    made = answer(
        system, "import", str(tmp_path), "--format", "prompt_completion", "--intent", "other"
    )
    assert made["splits"] == {"train": 6, "test": 3}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("show", "0" * 64), "no dataset"),
        (("create", "x", "--intent", "nobody"), "review some exchanges"),
        (("export", "0" * 64, "--format", "huggingface"), "--output"),
        (("import", "nowhere.jsonl"), "nowhere.jsonl"),
    ],
)
def test_what_cannot_be_done_is_one_line(system: System, words: tuple[str, ...], says: str) -> None:
    """And exit 1."""
    result = command(system, *words)
    assert result.exit_code == 1
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
