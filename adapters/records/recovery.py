"""Closes what a crash left open: a torn last line, and requests that have a begin and no end.

The process that starts next continues the chain of the one that is gone, in a segment of its own:
it names the torn bytes, gives each open request an end with outcome ``lost``, and closes the log.
Nothing that the other wrote is changed.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from adapters.records import payloads
from adapters.records.appending import Head, OpenSegment, seal_group
from adapters.records.files import Layout, Segment, by_writer, take
from adapters.records.line import Entry, Kind, Record, read_line

LOST: Final = "lost"
_TAIL_BYTES = 4096
_UnderWay = dict[str, tuple[str | None, str | None]]


@dataclass(frozen=True, slots=True)
class _Torn:
    """Bytes after the last record of a segment."""

    segment: Segment
    offset: int
    data: bytes


@dataclass(slots=True)
class _Left:
    """What the newest segments of a writer tell."""

    head: Head | None = None
    """None: no record can be read."""
    torn: list[_Torn] = field(default_factory=list)
    under_way: _UnderWay = field(default_factory=dict)
    """By decision: request id and actor."""
    committed: set[int] = field(default_factory=set)
    """Of the newest segment, the records that have payloads."""


def adopt(layout: Layout, own: str, now_s: float) -> dict[str, int]:
    """Close the log of every writer that is gone; by writer, how many requests had no end.

    Raises ``OSError``.
    """
    found = {}
    for writer, segments in by_writer(layout.found()).items():
        if writer != own and (lost := _close(layout, segments, own, now_s)) is not None:
            found[writer] = lost
    return found


def _close(layout: Layout, segments: list[Segment], own: str, now_s: float) -> int | None:
    last = segments[-1]
    following = Segment(last.writer, last.number + 1)
    try:
        handle = os.open(layout.records_of(last), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # retention was faster
        return None
    try:
        # Another process may have closed it since the segments were listed.
        if not take(handle) or layout.records_of(following).exists() or _is_closed(handle):
            return None
        left = _read(layout, segments)
        if left.head is None:
            return None
        left.committed -= _cut_orphans(layout.payloads_of(last), left.head)
        _append(layout, following, left.head, _closing(following, left, own, now_s))
        return len(left.under_way)
    finally:
        os.close(handle)


def _is_closed(handle: int) -> bool:
    """Looked at first: most logs were closed, and their ends are short."""
    size = os.fstat(handle).st_size
    tail = os.pread(handle, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    lines = tail.split(b"\n")
    record = read_line(lines[-2]) if len(lines) > 1 and not lines[-1] else None
    return record is not None and _closes(record)


def _closes(record: Record) -> bool:
    return record["kind"] == Kind.CHECKPOINT and record.get("about") == "closed"


def _append(layout: Layout, segment: Segment, head: Head, entries: list[Entry]) -> None:
    file, group = OpenSegment(layout, segment), seal_group(segment.writer, head, entries)
    try:
        file.append(group)
    finally:
        file.close()


def _read(layout: Layout, segments: list[Segment]) -> _Left:
    """The newest segment may be one that was just made: then the one before it tells more."""
    left = _Left()
    for segment in segments[-2:]:
        _read_one(layout, segment, left)
    return left


def _read_one(layout: Layout, segment: Segment, left: _Left) -> None:
    data = layout.records_of(segment).read_bytes()
    left.committed.clear()  # those of older segments were synced when they were closed
    offset = whole = 0
    for text in data.split(b"\n")[:-1]:
        offset += len(text) + 1
        record = read_line(text)
        if record is None:
            continue
        whole = offset
        left.head = Head(record["sequence"] + 1, record["hash"])
        if record.get("commitment") is not None:
            left.committed.add(record["sequence"])
        _note(left.under_way, record)
    if whole < len(data):
        left.torn.append(_Torn(segment, whole, data[whole:]))


def _note(under_way: _UnderWay, record: Record) -> None:
    decision = record.get("decision_id")
    if record["kind"] == Kind.BEGIN and decision:
        under_way[decision] = (record.get("request_id"), record.get("actor"))
    elif record["kind"] == Kind.END and decision:
        under_way.pop(decision, None)
    elif record["kind"] == Kind.CHECKPOINT and record.get("about") == "opened":
        under_way.clear()
        under_way.update({key: (request, actor) for key, request, actor in record["under_way"]})


def _cut_orphans(path: Path, head: Head) -> set[int]:
    """Sequences of the payloads that are there.

    A payload is written before its record: one without is of a record that never was.
    """
    keep, found = 0, set[int]()
    for offset, text in payloads.lines(path):
        kept = payloads.read(text)
        if kept is not None and kept.sequence < head.sequence:
            keep = offset + len(text) + 1
            found.add(kept.sequence)
    if path.exists() and path.stat().st_size > keep:
        os.truncate(path, keep)
    return found


def _closing(following: Segment, left: _Left, own: str, now_s: float) -> list[Entry]:
    def says(**fields: Any) -> Entry:
        return Entry(Kind.CHECKPOINT, now_s, actor=own, fields=fields)

    under_way = [[key, *ids] for key, ids in left.under_way.items()]
    repairs = [
        says(
            about="repaired",
            file=torn.segment.name,
            offset=torn.offset,
            bytes=len(torn.data),
            sha256=hashlib.sha256(torn.data).hexdigest(),
        )
        for torn in left.torn
    ]
    if left.committed:  # the machine went down before they were synced
        repairs.append(says(about="payloads_lost", payloads=sorted(left.committed)))
    ends = [
        Entry(Kind.END, now_s, request, decision, actor, {"outcome": LOST, "status": 0})
        for decision, (request, actor) in left.under_way.items()
    ]
    opened = says(about="opened", segment=following.number, under_way=under_way)
    return [opened, *repairs, *ends, says(about="closed")]
