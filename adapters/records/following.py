"""Follows what writers append, from the last record that a checkpoint named: hashes of leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from adapters.records.files import Layout, Segment
from adapters.records.line import GENESIS, Kind, Record, read_line

_BLOCK = 1 << 20


@dataclass(slots=True)
class Position:
    """How far one writer's records were followed."""

    sequence: int = -1
    """Of the last record."""
    hash: str = GENESIS
    is_closed: bool = False
    """Its last record says that nothing follows."""
    segment: int = -1
    """Number of the file that it is in."""
    offset: int = 0
    """Where the next line begins there, bytes."""


def follow(layout: Layout, segments: list[Segment], position: Position) -> list[bytes]:
    """Hashes of the records after ``position``, which is moved. Whole lines only.

    Ends before a record that does not continue the chain: nobody vouches for that. Raises
    ``OSError``.
    """
    found: list[bytes] = []
    for segment in _from(layout, segments, position):
        if segment.number != position.segment:
            position.segment, position.offset = segment.number, 0
        for record, end in _records(layout, segment, position.offset):
            if record is not None and record["sequence"] == position.sequence + 1:
                if record["prev"] != position.hash:
                    break
                found.append(bytes.fromhex(record["hash"]))
                position.sequence, position.hash = record["sequence"], record["hash"]
                position.is_closed = closes(record)
            elif record is not None and record["sequence"] == position.sequence:
                position.is_closed = closes(record)
            position.offset = end
    return found


def closes(record: Record) -> bool:
    """Whether this is the last record of a log that was ended in good order."""
    return bool(record["kind"] == Kind.CHECKPOINT and record.get("about") == "closed")


def first_of(layout: Layout, segment: Segment) -> Record | None:
    """The first record of a segment; None when it has none. Raises ``OSError``."""
    with layout.records_of(segment).open("rb") as file:
        return read_line(file.readline().rstrip(b"\n"))


def _from(layout: Layout, segments: list[Segment], position: Position) -> list[Segment]:
    """The segments that hold what follows; of a fresh position, found by their first records."""
    if position.segment >= 0:
        return [each for each in segments if each.number >= position.segment]
    for at in reversed(range(len(segments))):
        first = first_of(layout, segments[at])
        if first is not None and first["sequence"] <= position.sequence:
            return segments[at:]
    return segments


def _records(layout: Layout, segment: Segment, offset: int) -> Iterator[tuple[Record | None, int]]:
    """Each whole line's record and where the line ends."""
    with layout.records_of(segment).open("rb") as file:
        file.seek(offset)
        rest = b""
        while block := file.read(_BLOCK):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                offset += len(line) + 1
                yield read_line(line), offset
