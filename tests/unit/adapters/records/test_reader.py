"""The reader: a record is found through the index, and what nobody asked for is not read."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import pytest

from adapters.records import reader as reading
from adapters.records.line import Kind
from adapters.records.reader import RecordCursor, RecordFilter, RecordReader
from tests.fakes.records import end, files, fill, reader, running_log


async def test_an_unknown_id_reads_no_record_and_a_known_one_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the log is: anybody may ask for ids that never were (D25)."""
    pieces = 0
    really = reading._piece

    def counted(path: os.PathLike[str], offset: int, size: int) -> bytes:
        nonlocal pieces
        pieces += 1
        return really(path, offset, size)

    monkeypatch.setattr(reading, "_piece", counted)
    with running_log(tmp_path, "one", segment_bytes=65_536) as log:
        await fill(log, 200, padding=1000)
        assert len(files(tmp_path)) > 1, "closed segments and the open one"
        found = reader(log)
        assert list(found.newest(Kind.END, "decision_id", "dec_nobody")) == []
        assert pieces == 0
        for number in (0, 199):
            [one] = found.newest(Kind.END, "decision_id", f"dec_{number}")
            assert one.record["decision_id"] == f"dec_{number}"
        # Each record and its payload.
        assert pieces == 4


async def test_a_clock_that_was_set_back_hides_no_record(tmp_path: Path) -> None:
    """Lists stay in the order of time, page by page, over segments and within one."""
    numbers = [*range(5_000, 5_030), *range(30), *range(4_990, 5_000)]
    for segment_bytes in (4_096, 1 << 20):
        root = tmp_path / str(segment_bytes)
        with running_log(root, segment_bytes=segment_bytes) as log:
            for number in numbers:
                log.add(end(number))
                await log.flushed()
            found = reader(log)
            late = [each.record["decision_id"] for each in found.newest(Kind.END, since_s=_at(15))]
            assert late == [f"dec_{number}" for number in sorted(numbers, reverse=True)[:-15]]
            assert _pages(found, 7) == [f"dec_{number}" for number in sorted(numbers)]
            since = RecordFilter([Kind.END], since_s=_at(4_995))
            assert len(list(found.oldest(since))) == 35


def _at(number: int) -> float:
    return end(number).at


def _pages(found: RecordReader, limit: int) -> list[str]:
    """Every end, as somebody reads them who asks for a few at a time."""
    told: list[str] = []
    after: RecordCursor | None = None
    while page := list(islice(found.oldest(RecordFilter([Kind.END], after=after)), limit)):
        told += [str(each.record["decision_id"]) for _, each in page]
        where, last = page[-1]
        after = RecordCursor(where.at, where.writer, last.record["sequence"])
    return told
