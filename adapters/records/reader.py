"""Finds records again, whoever wrote them: through indexes, newest first. Blocks: for a thread."""

from __future__ import annotations

import heapq
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from adapters.records import payloads
from adapters.records.files import Layout, Segment, by_writer
from adapters.records.index import ClosedIndex, IndexEntry, SegmentIndex, Tail, key_of, load
from adapters.records.line import Kind, Record, read_line, recorded
from adapters.records.writer import Current

_ROUNDING_S = 1e-5
"""An index has a record's time as it came, a list to the microsecond."""
_MAPPED = 4096
"""Indexes of closed segments that stay mapped."""


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """One record, and what it committed to."""

    at: float
    """The record's time, seconds since the epoch."""
    record: Record
    payload: bytes | None
    """None: it has none, or it was erased."""


class Position(NamedTuple):
    """Where a record stands in a list by time, and in which file."""

    at: float
    """To the microsecond, as records tell it."""
    writer: str
    segment: int
    line: int


class RecordCursor(NamedTuple):
    """A record that a list goes on from: the same on every machine."""

    at: float
    writer: str
    sequence: int

    def is_before(self, where: Position, record: Record) -> bool:
        """Whether a record comes later in the list."""
        return (where.at, where.writer, record["sequence"]) > self


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records somebody wants to see.

    Attributes:
        kinds: of which kinds.
        subject: the hash of whose; None: anybody's, and nobody's.
        since_s: not before, seconds since the epoch.
        after: only what comes after this one.
    """

    kinds: Sequence[Kind]
    subject: str | None = None
    since_s: float = 0.0
    after: RecordCursor | None = None

    def fits(self, where: Position, record: Record) -> bool:
        """Two keys of an index may fall together: the record itself decides."""
        if record["kind"] not in self.kinds:
            return False
        if self.after is not None and not self.after.is_before(where, record):
            return False
        return self.subject is None or self.subject in record.get("subjects", ())

    def lines(self, index: SegmentIndex) -> Iterable[int]:
        """Lines of a segment that may fit."""
        if self.subject is not None:
            keys = [key_of(f"{kind}/subject", self.subject) for kind in self.kinds]
        elif len(self.kinds) > 1:
            return range(index.count())
        else:
            keys = [key_of("kind", kind) for kind in self.kinds]
        return sorted({line for key in keys for line in index.lines_of(key)})


class RecordReader:
    """Reads one directory: what this process wrote, its predecessors, and its neighbours.

    ``current`` is the segment that this process writes: its index is there already.
    """

    def __init__(self, layout: Layout, current: Callable[[], Current | None]) -> None:
        self._layout = layout
        self._current = current
        self._lock = threading.Lock()
        self._tails: dict[Segment, Tail] = {}
        self._closed: OrderedDict[Segment, ClosedIndex] = OrderedDict()

    def newest(
        self,
        kind: Kind,
        name: str | None = None,
        value: str = "",
        *,
        since_s: float = 0.0,
        until_s: float = math.inf,
    ) -> Iterator[FoundRecord]:
        """Records of a kind by their time, the newest first; none out of the range of times.

        Args:
            kind: of which kind.
            name: a field that has to have ``value``: ``decision_id``, ``request_id``, ``tenant``,
                ``target``, for which an adapter's digest may be left out, or ``subject``, of which
                a record may have several.
            value: of that field.
            since_s: seconds since the epoch.
            until_s: the same.
        """
        key = key_of("kind", kind) if name is None else key_of(f"{kind}/{name}", value)
        with self._lock:
            found = self._indexes()
        sources = [
            self._of_segment(segment, index, key, since_s, until_s)
            for segment, index in found
            if index.span()[1] >= since_s
        ]
        for _, segment, place in heapq.merge(*sources, key=lambda each: -each[0]):
            read = self._read(segment, place)
            if read is not None and _is(read.record, kind, name, value):
                yield read

    def oldest(self, wanted: RecordFilter) -> Iterator[tuple[Position, FoundRecord]]:
        """Records by their time, the oldest first, with their places."""
        with self._lock:
            found = sorted(self._indexes(), key=lambda each: each[1].span()[0])
        waiting = [each for each in found if each[1].span()[1] >= wanted.since_s - _ROUNDING_S]
        heap: list[tuple[Position, Iterator[tuple[Position, IndexEntry]], IndexEntry, Segment]] = []
        while waiting or heap:
            while waiting and (not heap or waiting[0][1].span()[0] - _ROUNDING_S <= heap[0][0].at):
                segment, index = waiting.pop(0)
                source = iter(_sorted(segment, index, wanted))
                if (first := next(source, None)) is not None:
                    heapq.heappush(heap, (first[0], source, first[1], segment))
            if not heap:
                continue
            where, source, place, segment = heapq.heappop(heap)
            if (following := next(source, None)) is not None:
                heapq.heappush(heap, (following[0], source, following[1], segment))
            read = self._read(segment, place)
            if read is not None and wanted.fits(where, read.record):
                yield where, read

    def _of_segment(
        self, segment: Segment, index: SegmentIndex, key: int, since_s: float, until_s: float
    ) -> Iterator[tuple[float, Segment, IndexEntry]]:
        for line in reversed(index.by_time(index.lines_of(key))):
            place = index.place(line)
            if place.at < since_s:
                return
            if place.at <= until_s:
                yield place.at, segment, place

    def _read(self, segment: Segment, place: IndexEntry) -> FoundRecord | None:
        try:
            text = _piece(self._layout.records_of(segment), place.offset, place.size)
            record = read_line(text)
            if record is None:
                return None
            kept = None
            if place.has_payload:
                path = self._layout.payloads_of(segment)
                kept = payloads.read(_piece(path, place.payload, place.payload_size))
            return FoundRecord(place.at, record, kept.body if kept is not None else None)
        except FileNotFoundError:  # retention was faster
            return None

    def _indexes(self) -> list[tuple[Segment, SegmentIndex]]:
        """The index of every segment that is there now."""
        segments = self._layout.found()
        newest = {writer: found[-1] for writer, found in by_writer(segments).items()}
        present = set(segments)
        self._tails = {s: tail for s, tail in self._tails.items() if s in present}
        for gone in self._closed.keys() - present:
            del self._closed[gone]
        current = self._current()
        found: list[tuple[Segment, SegmentIndex]] = []
        for segment in segments:
            if current is not None and segment == current.segment:
                found.append((segment, current.index))
                continue
            with suppress(FileNotFoundError):
                found.append((segment, self._index(segment, segment != newest[segment.writer])))
        return found

    def _index(self, segment: Segment, superseded: bool) -> SegmentIndex:
        known = self._closed.get(segment)
        if known is not None:
            self._closed.move_to_end(segment)
            return known
        size = self._layout.records_of(segment).stat().st_size
        loaded = load(self._layout, segment, size) if segment not in self._tails else None
        if loaded is not None:
            return self._keep(segment, loaded)
        tail = self._tails.setdefault(segment, Tail(self._layout, segment))
        tail.follow()
        if superseded or tail.ended:
            with suppress(OSError):  # the index in memory serves as well
                tail.index.save(self._layout, segment)
                if (saved := load(self._layout, segment, size)) is not None:
                    del self._tails[segment]
                    return self._keep(segment, saved)
        return tail.index

    def _keep(self, segment: Segment, index: ClosedIndex) -> ClosedIndex:
        self._closed[segment] = index
        while len(self._closed) > _MAPPED:
            self._closed.popitem(last=False)
        return index


def _sorted(
    segment: Segment, index: SegmentIndex, wanted: RecordFilter
) -> list[tuple[Position, IndexEntry]]:
    found = []
    for line in wanted.lines(index):
        place = index.place(line)
        at = recorded(place.at)
        if at >= wanted.since_s and (wanted.after is None or at >= wanted.after.at):
            found.append((Position(at, segment.writer, segment.number, line), place))
    return sorted(found)


def _is(record: Record, kind: Kind, name: str | None, value: str) -> bool:
    """Two keys may fall together: the record itself decides."""
    if record["kind"] != kind:
        return False
    if name is None:
        return True
    if name == "subject":
        return value in record.get("subjects", ())
    held = record.get(name)
    return held == value or (
        name == "target" and isinstance(held, str) and held.partition("@")[0] == value
    )


def _piece(path: os.PathLike[str], offset: int, size: int) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(handle, size, offset)
    finally:
        os.close(handle)
