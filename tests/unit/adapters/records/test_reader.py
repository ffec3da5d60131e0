"""The reader: a record is found through the index, and what nobody asked for is not read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from adapters.records import reader as reading
from adapters.records.line import Kind
from tests.fakes.records import files, fill, reader, running_log


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
