"""Where in a segment the records are that somebody asks for: by decision, tenant, subject, kind.

A closed segment has two immutable sidecars, sorted arrays that are mapped and never read whole; an
open one is indexed in memory as it grows. All of it can be made again from the segment.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from adapters.atomic import writing
from adapters.records import payloads
from adapters.records.files import Layout, Segment
from adapters.records.line import Kind, Record, read_line, seconds

_LINES = np.dtype(
    [("at", "<f8"), ("offset", "<u8"), ("size", "<u4"), ("payload", "<i8"), ("payload_size", "<u4")]
)
_KEYS = np.dtype([("key", "<u8"), ("line", "<u4")])
_NONE = -1


class IndexEntry(NamedTuple):
    """Where one record is, and its payload."""

    at: float
    """The record's time, seconds since the epoch."""
    offset: int
    size: int
    """Of the line without its end, bytes."""
    payload: int = _NONE
    """Offset in the payload file; negative: the record has none."""
    payload_size: int = 0

    @property
    def has_payload(self) -> bool:
        """Whether the record committed to a payload."""
        return self.payload >= 0


class SegmentIndex(Protocol):
    """Answers for one segment. Places are in the order of the file."""

    def lines_of(self, key: int) -> Sequence[int]:
        """Line numbers with a key, ascending."""
        ...

    def place(self, line: int) -> IndexEntry:
        """Where a line is."""
        ...

    def span(self) -> tuple[float, float]:
        """The earliest and the latest time of a record; zeros for an empty segment.

        Mostly those of the first and the last: but a clock may be set back between them.
        """
        ...

    def by_time(self, lines: Sequence[int]) -> Sequence[int]:
        """Ascending line numbers, the oldest record first."""
        ...

    def count(self) -> int:
        """How many lines there are."""
        ...


def key_of(name: str, value: str) -> int:
    """What stands for a name and a value in an index; a rare other one may have the same."""
    text = f"{name}\x00{value}".encode("utf-8", "replace")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def keys(record: Record) -> Iterator[int]:
    """Everything that a record is found by."""
    kind = record["kind"]
    yield _frequent("kind", kind)
    for subject in record.get("subjects", ()):
        yield key_of(f"{kind}/subject", str(subject))
    for name in ("decision_id", "request_id"):
        value = record.get(name)
        if isinstance(value, str):
            yield key_of(f"{kind}/{name}", value)
    for name in ("tenant", "target"):
        value = record.get(name)
        if isinstance(value, str):
            yield _frequent(f"{kind}/{name}", value)
    target = record.get("target")
    if isinstance(target, str) and "@" in target:
        yield _frequent(f"{kind}/target", target.partition("@")[0])


@lru_cache(maxsize=4096)
def _frequent(name: str, value: str) -> int:
    """Of a name that has few values."""
    return key_of(name, value)


class OpenIndex:
    """Of a segment that grows. Written by one thread; others may read meanwhile.

    Arrays of numbers: the garbage collector has nothing in them to walk through.
    """

    def __init__(self) -> None:
        self._at = array("d")
        self._offsets = array("Q")
        self._sizes = array("L")
        self._payloads = array("q")
        self._payload_sizes = array("L")
        self._keys = array("Q")
        self._key_lines = array("L")
        self._span = (math.inf, -math.inf)

    def add(self, record: Record, place: IndexEntry) -> None:
        """Take the next line."""
        number = len(self._at)
        self._span = min(self._span[0], place.at), max(self._span[1], place.at)
        self._at.append(place.at)
        self._offsets.append(place.offset)
        self._sizes.append(place.size)
        self._payloads.append(place.payload)
        self._payload_sizes.append(place.payload_size)
        for key in keys(record):
            # The line comes first: there is no key without one.
            self._key_lines.append(number)
            self._keys.append(key)

    def lines_of(self, key: int) -> Sequence[int]:
        """Line numbers with a key, ascending."""
        # A copy: an array that somebody looks into cannot grow.
        found = np.nonzero(np.frombuffer(self._keys.tobytes(), np.uint64) == np.uint64(key))[0]
        return [self._key_lines[int(place)] for place in found]

    def place(self, line: int) -> IndexEntry:
        """Where a line is."""
        return IndexEntry(
            self._at[line],
            self._offsets[line],
            self._sizes[line],
            self._payloads[line],
            self._payload_sizes[line],
        )

    def span(self) -> tuple[float, float]:
        """The earliest and the latest time of a record."""
        return self._span if self._at else (0.0, 0.0)

    def by_time(self, lines: Sequence[int]) -> Sequence[int]:
        """Ascending line numbers, the oldest record first."""
        return _by_time(lines, np.frombuffer(self._at.tobytes(), np.float64))

    def count(self) -> int:
        """How many lines there are."""
        return len(self._at)

    def save(self, layout: Layout, segment: Segment) -> None:
        """Write the sidecars. Raises ``OSError``; then there are none."""
        lines = np.empty(len(self._at), _LINES)
        columns = (self._at, self._offsets, self._sizes, self._payloads, self._payload_sizes)
        for name, column in zip(_LINES.names or (), columns, strict=True):
            lines[name] = column
        table = np.empty(len(self._keys), _KEYS)
        table["key"], table["line"] = self._keys, self._key_lines
        table.sort(order=("key", "line"))
        keys_path, lines_path = _sidecars(layout, segment)
        # The lines come last: who finds them finds the keys too.
        _put(keys_path, table)
        _put(lines_path, lines)


class ClosedIndex:
    """Of a segment that is complete, from its sidecars."""

    def __init__(self, lines: Any, table: Any) -> None:
        self._lines = lines
        self._table = table

    def lines_of(self, key: int) -> Sequence[int]:
        """Line numbers with a key, ascending."""
        column = self._table["key"]
        wanted = np.uint64(key)
        first = int(np.searchsorted(column, wanted, "left"))
        last = int(np.searchsorted(column, wanted, "right"))
        return [int(line) for line in self._table["line"][first:last]]

    def place(self, line: int) -> IndexEntry:
        """Where a line is."""
        at, offset, size, payload, payload_size = self._lines[line].item()
        return IndexEntry(at, offset, size, payload, payload_size)

    def span(self) -> tuple[float, float]:
        """The earliest and the latest time of a record."""
        return self._span

    @cached_property
    def _span(self) -> tuple[float, float]:
        times = self._lines["at"]
        return (float(times.min()), float(times.max())) if len(times) else (0.0, 0.0)

    def by_time(self, lines: Sequence[int]) -> Sequence[int]:
        """Ascending line numbers, the oldest record first."""
        return _by_time(lines, self._lines["at"])

    def count(self) -> int:
        """How many lines there are."""
        return len(self._lines)


def _by_time(lines: Sequence[int], times: Any) -> Sequence[int]:
    own = times[np.fromiter(lines, np.int64, len(lines))]
    if len(own) < 2 or bool((own[:-1] <= own[1:]).all()):
        return lines
    return [lines[int(place)] for place in np.argsort(own, kind="stable")]


def load(layout: Layout, segment: Segment, size: int) -> ClosedIndex | None:
    """The sidecars of a segment of ``size`` bytes; None when there are none that fit it."""
    keys_path, lines_path = _sidecars(layout, segment)
    try:
        lines = np.load(lines_path, mmap_mode="r", allow_pickle=False)
        table = np.load(keys_path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if lines.dtype != _LINES or table.dtype != _KEYS or not len(lines):
        return None
    end = int(lines[-1]["offset"]) + int(lines[-1]["size"]) + 1
    return ClosedIndex(lines, table) if end == size else None


class Tail:
    """Reads a segment that another process appends to, or that lost its sidecars."""

    def __init__(self, layout: Layout, segment: Segment) -> None:
        self._layout = layout
        self._segment = segment
        self._offset = 0
        self._payload_offset = 0
        self._payloads: dict[int, tuple[int, int]] = {}
        self.index = OpenIndex()
        self.ended = False
        """Its last record says that its writer closed it."""

    def follow(self) -> None:
        """Take in what is new; whole lines only. Raises ``OSError``."""
        path = self._layout.records_of(self._segment)
        if path.stat().st_size <= self._offset:
            return
        # Payloads are written first: those of every record that is seen now are there.
        new = _new_lines(path, self._offset)
        self._follow_payloads()
        for offset, text in new:
            self._offset = offset + len(text) + 1
            record = read_line(text)
            if record is not None:
                self._take(record, offset, len(text))

    def _take(self, record: Record, offset: int, size: int) -> None:
        where, payload_size = self._payloads.pop(record["sequence"], (_NONE, 0))
        place = IndexEntry(seconds(record["time"]), offset, size, where, payload_size)
        self.index.add(record, place)
        self.ended = record["kind"] == Kind.CHECKPOINT and record.get("about") == "closed"

    def _follow_payloads(self) -> None:
        for offset, text in _new_lines(
            self._layout.payloads_of(self._segment), self._payload_offset
        ):
            self._payload_offset = offset + len(text) + 1
            kept = payloads.read(text)
            if kept is not None:
                self._payloads[kept.sequence] = (offset, len(text))


def _new_lines(path: Path, offset: int) -> list[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return []
    found = []
    for text in data.split(b"\n")[:-1]:
        found.append((offset, text))
        offset += len(text) + 1
    return found


def _sidecars(layout: Layout, segment: Segment) -> tuple[Path, Path]:
    stem = segment.name.removesuffix(".jsonl")
    return layout.index / f"{stem}.keys.npy", layout.index / f"{stem}.lines.npy"


def _put(path: Path, table: Any) -> None:
    # It can be made again, so nobody waits for the disk.
    with writing(path, durable=False) as draft, draft.open("wb") as file:
        np.save(file, table, allow_pickle=False)


def size_of(layout: Layout, segment: Segment) -> int:
    """Bytes of a segment's sidecars on disk."""
    size = 0
    for path in _sidecars(layout, segment):
        with suppress(FileNotFoundError):
            size += path.stat().st_size
    return size


def forget(layout: Layout, segment: Segment) -> None:
    """Remove the sidecars of a segment that is gone."""
    for path in _sidecars(layout, segment):
        path.unlink(missing_ok=True)
