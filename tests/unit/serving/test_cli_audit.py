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


async def test_what_was_kept_elsewhere_is_verified_against_or_refused(tmp_path: Path) -> None:
    """A checkpoint and keys of this log, of another one, and files that are neither."""
    for name in ("audit", "other"):
        with running_log(tmp_path / name) as log:
            await fill(log, 3)
    kept, keys = tmp_path / "audit/checkpoints.jsonl", tmp_path / "audit/keys.json"
    given = ("--checkpoint", str(kept), "--key", str(keys))
    assert verify(tmp_path / "audit", *given).exit_code == 0
    changed = verify(tmp_path / "other", *given, "--json")
    assert changed.exit_code == 1
    assert "replaced" in {each["kind"] for each in json.loads(changed.stdout)["problems"]}
    empty = tmp_path / "empty.json"
    empty.write_text("[]")
    refused = (("--checkpoint", keys), ("--key", kept), ("--key", tmp_path / "none"))
    for option, file in (*refused, ("--key", empty)):
        assert verify(tmp_path / "audit", option, str(file)).exit_code == 2


async def test_what_cannot_be_held_against_a_log_says_what_can(tmp_path: Path) -> None:
    """The remedy is about what was kept, not about the log's directory."""
    root, kept = tmp_path / "audit", tmp_path / "kept"
    with running_log(root) as log:
        await fill(log, 1)
    kept.write_text("{}")
    for option in ("--checkpoint", "--key"):
        done = verify(root, option, str(kept))
        assert done.exit_code == 2
        assert "GET /admin/v1/audit/" in done.stderr
        assert "--dir" not in done.stderr


async def test_a_second_verification_reads_only_what_is_new(tmp_path: Path) -> None:
    """What was found is remembered beside the log, or where one says; never of a changed log."""
    root = tmp_path / "audit"
    with running_log(root, segment_bytes=4096) as log:
        await fill(log, 40)
    first = json.loads(verify(root, "--incremental", "--json").stdout)
    assert (tmp_path / "audit.verified.json").exists()
    again = json.loads(verify(root, "--incremental", "--json").stdout)
    assert again["ok"] is True
    assert again["records"] < first["records"] / 2
    assert again["tree_size"] == first["tree_size"]
    state = tmp_path / "elsewhere.json"
    files(root)[0].unlink()
    assert verify(root, "--state", str(state)).exit_code == 1
    assert not state.exists()
    state.write_text("{}x")
    assert verify(root, "--state", str(state)).exit_code == 2


async def test_a_key_is_rotated_on_the_machine_that_has_it(tmp_path: Path) -> None:
    """The new one is printed, the old one stays listed; without a key nothing is made."""
    root = tmp_path / "audit"
    with running_log(root) as log:
        await fill(log, 1)
    command = ["audit", "keys", "--rotate", "--json", "--dir"]
    done = CliRunner().invoke(app, [*command, str(root)])
    assert done.exit_code == 0
    [made] = json.loads(done.stdout)["data"]
    listed = [each["key_id"] for each in json.loads((root / "keys.json").read_text())["keys"]]
    assert len(listed) == 2
    assert listed[1] == made["key_id"]
    assert verify(root).exit_code == 0
    assert CliRunner().invoke(app, [*command, str(tmp_path)]).exit_code == 1
    assert not (tmp_path / "keys.json").exists()
