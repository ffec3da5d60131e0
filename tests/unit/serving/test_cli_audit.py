"""`graftwork audit verify`: its exit codes, its JSON, and what it tells a person."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from serving.cli.main import app
from tests.fakes.records import files, fill, lines, running_log


def verify(directory: Path, *more: str) -> Result:
    """The command as a person would type it."""
    return CliRunner().invoke(app, ["audit", "verify", "--dir", str(directory), *more])


async def test_a_whole_log_exits_with_0_a_changed_one_with_1_and_none_with_2(
    tmp_path: Path,
) -> None:
    """And each says why; the JSON has the contract's fields."""
    root = tmp_path / "audit"
    with running_log(root) as log:
        await fill(log, 10)
        assert verify(root).exit_code == 0  # while it is written to
    found = json.loads(verify(root, "--json").stdout)
    assert (found["ok"], found["records"], found["problems"]) == (True, 22, [])
    [path] = files(root)
    kept = lines(path)
    path.write_bytes(b"".join(kept[:5] + kept[6:]))
    changed = verify(root)
    assert changed.exit_code == 1
    assert "removed" in changed.stdout
    told = verify(root, "--json")
    assert told.exit_code == 1
    [problem] = json.loads(told.stdout)["problems"]
    assert problem.keys() == {"writer", "sequence", "file", "kind", "detail"}
    assert (problem["kind"], problem["writer"], problem["sequence"]) == ("removed", "one", 5)
    nothing = verify(tmp_path / "nowhere")
    assert nothing.exit_code == 2
    assert "--dir" in nothing.stderr
