"""`docs/verify_log.py`, which knows nothing of Graftwork, comes to the same verdicts."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.records import payloads
from adapters.records.files import Layout, Segment
from adapters.records.line import Entry, Kind
from adapters.records.sealing import Sealer
from adapters.records.signing import Signer
from adapters.records.verify import verify
from tests.fakes.records import begin, files, fill, lines, rehashed, running_log
from tests.unit.adapters.records.test_verify import CHANGES

SCRIPT = Path(__file__).resolve().parents[4] / "docs" / "verify_log.py"


def independent(root: Path, *more: Path) -> tuple[int, str]:
    """Run it as an auditor would, away from this package."""
    command = [sys.executable, "-I", str(SCRIPT), str(root), *map(str, more)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.stderr == ""
    return done.returncode, done.stdout


async def written(root: Path) -> Path:
    """A log of two writers with a crash and an erasure in it."""
    with running_log(root, "one", segment_bytes=4096) as one:
        await fill(one, 20)
        one.sealer.seal()
        one.add(Entry(Kind.CHECKPOINT, 1.0, fields={"about": "erased", "payloads": {"one": [4]}}))
        await one.flushed()
        payloads.erase(one.layout, Segment("one", 0), [4])
        with running_log(root, "two") as two:
            await fill(two, 5)
            two.add(begin(50))
            await two.flushed()
            two._finish = lambda: None  # type: ignore[method-assign]
        assert two._file is not None
        two._file.close()
        path = root / "segments" / "two-000000.jsonl"
        path.write_bytes(path.read_bytes() + b'{"torn')
        await fill(one, 5)
    with running_log(root, "three") as three:
        await fill(three, 1)
    assert verify(root).problems == []
    return root


async def test_a_whole_log_is_whole(tmp_path: Path) -> None:
    """Also against keys and a checkpoint that were kept, and after retention."""
    root = await written(tmp_path / "log")
    kept = tmp_path / "checkpoint.json"
    kept.write_bytes(lines(root / "checkpoints.jsonl")[1])
    assert independent(root)[0] == 0
    shutil.copy(root / "keys.json", tmp_path / "keys.json")
    assert independent(root, tmp_path / "keys.json", kept)[0] == 0
    other = json.loads(kept.read_bytes())
    kept.write_text(json.dumps({**other, "root": "0" * 64}))
    assert independent(root, tmp_path / "keys.json", kept)[0] == 1
    with running_log(root, "four", segment_bytes=4096, kept_bytes=30_000) as four:
        await fill(four, 40)
    Sealer(Layout(root), Signer(root)).trim()
    assert verify(root).problems == []
    assert independent(root)[0] == 0


@pytest.mark.parametrize("name", sorted(CHANGES))
async def test_every_change_is_noticed(name: str, tmp_path: Path) -> None:
    """The same changes as in the tests of Graftwork's own verification."""
    with running_log(tmp_path, segment_bytes=4096) as log:
        await fill(log, 40)
    assert independent(tmp_path)[0] == 0
    CHANGES[name][0](tmp_path)
    assert independent(tmp_path)[0] == 1


async def test_a_record_signed_over_later_is_noticed(tmp_path: Path) -> None:
    """Somebody with the files made all hashes fit, and has another key."""
    root = await written(tmp_path / "log")
    shutil.copy(root / "keys.json", tmp_path / "keys.json")
    path = files(root)[-1]
    found = lines(path)
    path.write_bytes(b"".join([*found[:-1], rehashed(found[-1], actor="x")]))
    assert independent(root)[0] == 1
    for name in ("checkpoints.jsonl", "keys.json", "signing.pem"):
        (root / name).unlink()
    shutil.rmtree(root / "tree")
    Sealer(Layout(root), Signer(root)).seal()
    assert independent(root)[0] == 0
    code, told = independent(root, tmp_path / "keys.json")
    assert code == 1
    assert "no signature of a known key" in told


def test_it_is_short_and_needs_nothing_but_cryptography() -> None:
    """A hundred lines, and no import of ours."""
    text = SCRIPT.read_text()
    assert len(text.splitlines()) <= 100
    imported = {name.split(".")[0] for each in ast.walk(ast.parse(text)) for name in _imports(each)}
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}


def _imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [each.name for each in node.names] if isinstance(node, ast.Import) else []
