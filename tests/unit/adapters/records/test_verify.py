"""Verification: every later change is detected, named and located; what is lawful is no problem."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.records import payloads
from adapters.records.files import Segment, parse_name
from adapters.records.line import Entry, Kind
from adapters.records.verify import Problem, Unreadable, verify
from tests.fakes.records import end, files, fill, lines, reader, rehashed, running_log

Change = Callable[[Path], None]


async def written(root: Path) -> Path:
    """A closed log of one writer in several segments."""
    with running_log(root, segment_bytes=4096) as log:
        await fill(log, 40)
    assert len(files(root)) >= 4
    assert verify(root).ok
    return root


def put(path: Path, found: list[bytes]) -> None:
    """Write a file anew."""
    path.write_bytes(b"".join(found))


def edited(number: int, change: Callable[[list[bytes]], list[bytes]]) -> Change:
    """Change the lines of one segment."""

    def apply(root: Path) -> None:
        path = files(root)[number]
        put(path, change(lines(path)))

    return apply


def swap(one: int, two: int) -> Change:
    """Exchange the contents of two segments, and of their payloads."""

    def apply(root: Path) -> None:
        for folder in ("segments", "payloads"):
            paths = sorted((root / folder).iterdir())
            first, second = paths[one].read_bytes(), paths[two].read_bytes()
            paths[one].write_bytes(second)
            paths[two].write_bytes(first)

    return apply


def rename(root: Path) -> None:
    """Give a segment the number after the last."""
    path = files(root)[1]
    path.rename(path.with_name("one-000099.jsonl"))


def copy(root: Path) -> None:
    """Put a segment there a second time."""
    path = files(root)[1]
    shutil.copy(path, path.with_name("one-000099.jsonl"))


def foreign(root: Path) -> None:
    """Put a segment of one writer under the name of another."""
    path = files(root)[1]
    path.rename(path.with_name("two-000000.jsonl"))


def delete(number: int) -> Change:
    """Remove a segment with its payloads."""

    def apply(root: Path) -> None:
        path = files(root)[number]
        path.unlink()
        (root / "payloads" / path.name).unlink()

    return apply


def clear(root: Path) -> None:
    """Remove every file of the writer."""
    for path in [*files(root), *(root / "payloads").iterdir()]:
        path.unlink()


def forge(root: Path) -> None:
    """Change one record and make all hashes after it fit."""
    prev = None
    for path in files(root):
        found = lines(path)
        for number, line in enumerate(found):
            changes = {"actor": "somebody else"} if path == files(root)[1] and number == 4 else {}
            if prev is not None:
                found[number] = rehashed(line, prev=prev, **changes)
            prev = json.loads(found[number])["hash"]
        put(path, found)


def payload_of(number: int, change: Callable[[bytes], bytes]) -> Change:
    """Change the payloads of one segment."""

    def apply(root: Path) -> None:
        path = sorted((root / "payloads").iterdir())[number]
        path.write_bytes(change(path.read_bytes()))

    return apply


def status(line: bytes) -> bytes:
    """The status of an end, changed as text."""
    return line.replace(b'"status":200', b'"status":500')


CHANGES: dict[str, tuple[Change, str]] = {
    "a field changed": (
        edited(1, lambda found: [*found[:4], status(found[4]), *found[5:]]),
        "altered",
    ),
    "a field changed and hashed anew": (
        edited(1, lambda found: [*found[:4], rehashed(found[4], actor="x"), *found[5:]]),
        "altered",
    ),
    "a line spelled otherwise": (
        edited(1, lambda found: [*found[:4], found[4].replace(b":", b": ", 1), *found[5:]]),
        "altered",
    ),
    "a field said twice": (
        edited(
            1, lambda found: [*found[:4], found[4].replace(b"{", b'{"actor":"x",', 1), *found[5:]]
        ),
        "altered",
    ),
    "other ends of lines": (
        edited(1, lambda found: [line.replace(b"\n", b"\r\n") for line in found]),
        "altered",
    ),
    "a line that is none": (edited(1, lambda found: [*found[:4], b"{}\n", *found[5:]]), "altered"),
    "a line removed": (edited(1, lambda found: [*found[:4], *found[5:]]), "removed"),
    "lines removed at a segment's end": (edited(1, lambda found: found[:-2]), "removed"),
    "lines removed at the end": (edited(-1, lambda found: found[:-3]), "truncated"),
    "half of the last line": (edited(-1, lambda found: [*found[:-1], found[-1][:30]]), "truncated"),
    "the closing record removed": (edited(-1, lambda found: found[:-1]), "truncated"),
    "everything removed": (clear, "removed"),
    "the chain written anew": (forge, "altered"),
    "a checkpoint changed": (
        lambda root: put(root / "checkpoints.jsonl", [b'{"heads":{}}x\n']),
        "altered",
    ),
    "a line twice": (edited(1, lambda found: [*found[:4], found[3], *found[4:]]), "inserted"),
    "two lines exchanged": (
        edited(1, lambda found: [*found[:3], found[4], found[3], *found[5:]]),
        "reordered",
    ),
    "two segments exchanged": (swap(1, 2), "replaced"),
    "a segment renamed": (rename, "replaced"),
    "a segment copied": (copy, "inserted"),
    "a segment of another writer": (foreign, "replaced"),
    "a segment removed": (delete(1), "removed"),
    "the first segment removed": (delete(0), "removed"),
    "a payload changed": (payload_of(1, lambda data: data.replace(b"xxx", b"yxx", 1)), "altered"),
    "a payload removed": (payload_of(1, lambda data: data.split(b"\n", 1)[1]), "removed"),
    "a payload blanked": (
        payload_of(1, lambda data: _blank(data.split(b"\n")[0]) + b"\n" + data.split(b"\n", 1)[1]),
        "removed",
    ),
}


def _blank(line: bytes) -> bytes:
    kept = payloads.read(line)
    assert kept is not None
    return (b'{"sequence":%d,"erased":true}' % kept.sequence).ljust(len(line))


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_is_detected_and_located(name: str, tmp_path: Path) -> None:
    """Its kind and its file, and the record where there is one."""
    root = await written(tmp_path)
    change, kind = CHANGES[name]
    change(root)
    verification = verify(root)
    assert not verification.ok
    assert kind in {problem.kind for problem in verification.problems}, verification.problems
    assert all(problem.writer in ("", "one", "two") for problem in verification.problems)
    assert all(problem.file for problem in verification.problems)


async def test_the_altered_record_itself_is_named(tmp_path: Path) -> None:
    """Not its neighbour; also when its own hash was made to fit."""
    root = await written(tmp_path)
    path = files(root)[2]
    found = lines(path)
    sequence = int(found[5].split(b'"sequence":')[1].split(b",")[0])
    put(path, [*found[:5], rehashed(found[5], actor="x"), *found[6:]])
    [problem] = verify(root).problems
    assert (problem.sequence, problem.kind, problem.file) == (sequence, "altered", path.name)


async def test_an_erasure_keeps_the_chain_whole(tmp_path: Path) -> None:
    """The payload is gone from every file, its record is not; the erasure is named by a record."""
    with running_log(tmp_path) as log:
        await fill(log, 3)
        [found] = reader(log).newest(Kind.END, "decision_id", "dec_1")
        sequence = found.record["sequence"]
        log.add(Entry(Kind.ERASURE, 1.0, fields={"payloads": {"one": [sequence]}}))
        await log.flushed()
        assert payloads.erase(log.layout, Segment("one", 0), [sequence]) == 1
        [found] = reader(log).newest(Kind.END, "decision_id", "dec_1")
        assert found.payload is None
        assert next(reader(log).newest(Kind.END, "decision_id", "dec_2")).payload is not None
        log.add(end(9))
        await log.flushed()
        assert verify(tmp_path).ok  # while it is written to
    verification = verify(tmp_path)
    assert (verification.ok, verification.erased) == (True, 1)
    kept = b"".join(path.read_bytes() for path in (tmp_path / "payloads").iterdir())
    assert (kept.count(b'"id": "dec_1"'), kept.count(b'"id": "dec_2"')) == (0, 1)


async def test_a_torn_checkpoint_is_no_problem_and_the_next_one_stands_alone(
    tmp_path: Path,
) -> None:
    """A crash may tear it; it is cut when the next one is added."""
    await written(tmp_path)
    path = tmp_path / "checkpoints.jsonl"
    count = verify(tmp_path).checkpoints
    assert count >= 1
    path.write_bytes(path.read_bytes() + b'{"heads":{"one":{"ha')
    assert verify(tmp_path).ok
    with running_log(tmp_path, "two") as log:
        await fill(log, 1)
    verification = verify(tmp_path)
    assert (verification.problems, verification.checkpoints) == ([], count + 1)


def test_where_there_is_no_log_is_said(tmp_path: Path) -> None:
    """An empty directory is not a whole log."""
    with pytest.raises(Unreadable):
        verify(tmp_path)


async def test_what_is_no_segment_is_told(tmp_path: Path) -> None:
    """A stranger's file among the segments, and payloads without records."""
    root = await written(tmp_path)
    (root / "segments" / "notes.txt").write_text("hello")
    (root / "payloads" / "two-000000.jsonl").write_text("")
    assert [(problem.file, problem.kind) for problem in verify(root).problems] == [
        ("notes.txt", "inserted"),
        ("two-000000.jsonl", "inserted"),
    ]
    assert Problem("", None, "notes.txt", "inserted", "this is no segment of the log") in (
        verify(root).problems
    )
    assert parse_name("notes.txt") is None
