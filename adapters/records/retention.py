"""What a log may hold on the disk: the oldest segments go, named by a record before they do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from adapters.records import index
from adapters.records.config import RecordsConfig
from adapters.records.files import Layout, Segment, by_writer, is_held
from adapters.records.holds import Holds
from adapters.records.line import Kind, Record, read_line
from adapters.records.sealing import Sealer

_DAY_S = 86_400.0
_BLOCK = 4096
_TAIL_BYTES = 1 << 20
_SIGN = b'"about":"removed"'

State = Callable[[dict[str, object]], None]
"""Has a statement of the log itself on disk. Raises ``OSError``."""


@dataclass(frozen=True, slots=True)
class _File:
    segment: Segment
    size: int
    changed_s: float


def prune(layout: Layout, config: RecordsConfig, now_s: float, state: State, sealer: Sealer) -> int:
    """Remove the oldest segments while there is too much, and those that are too old; how many.

    Each writer loses its oldest first, so that what is left of its chain has no gap. What a living
    process appends to stays, and what no checkpoint covers, or has a record on legal hold.
    Raises ``OSError``.
    """
    holds = Holds(layout)
    # A hold that was answered for keeps what it covers: none comes between the look and the deed.
    with holds.locked():
        return _pruned(layout, config, now_s, state, sealer, holds)


def _pruned(
    layout: Layout,
    config: RecordsConfig,
    now_s: float,
    state: State,
    sealer: Sealer,
    holds: Holds,
) -> int:
    files = _files(layout)
    doomed = _doomed(layout, files, config, now_s, holds)
    ends = {segment: _end_of(layout, segment) for segment in doomed}
    doomed = _covered(doomed, ends, sealer)
    if not doomed:
        return 0
    left = by_writer({file.segment for file in files} - set(doomed))
    removed = _carried(layout, doomed, lambda writer: writer in left or sealer.names(writer))
    for segment in doomed:
        ended = ends[segment]
        if ended is not None:
            removed[segment.writer] = [segment.number, ended["sequence"], ended["hash"]]
    state({"about": "removed", "files": [s.name for s in doomed], "removed": removed})
    for segment in doomed:
        for path in (layout.payloads_of(segment), layout.records_of(segment)):
            path.unlink(missing_ok=True)
        index.forget(layout, segment)
    return len(doomed)


def _covered(
    doomed: list[Segment], ends: Mapping[Segment, Record | None], sealer: Sealer
) -> list[Segment]:
    """Those that checkpoints cover to their ends: a tree cannot grow over what is not there."""

    def is_open(segment: Segment) -> bool:
        ended = ends[segment]
        return ended is not None and ended["sequence"] > sealer.reached(segment.writer)

    if any(map(is_open, doomed)):
        sealer.seal()
    stuck = {segment.writer for segment in doomed if is_open(segment)}
    return [segment for segment in doomed if segment.writer not in stuck]


def removals(record: Record) -> Mapping[str, list[Any]]:
    """What a record says that retention removed; empty for every other record.

    By writer: the last segment's number, the last sequence and its hash.
    """
    if record["kind"] != Kind.CHECKPOINT or record.get("about") != "removed":
        return {}
    found = record.get("removed")
    return found if isinstance(found, dict) else {}


def _files(layout: Layout) -> list[_File]:
    """The oldest first."""
    found = []
    for segment in layout.found():
        size, changed_s = 0, 0.0
        for path in (layout.records_of(segment), layout.payloads_of(segment)):
            with suppress(FileNotFoundError):
                status = path.stat()
                # A small file takes a block: many are not few bytes.
                size += max(status.st_size, _BLOCK)
                changed_s = max(changed_s, status.st_mtime)
        size += max(index.size_of(layout, segment), _BLOCK)
        found.append(_File(segment, size, changed_s))
    return sorted(found, key=lambda file: (file.changed_s, file.segment))


def _doomed(
    layout: Layout, files: list[_File], config: RecordsConfig, now_s: float, holds: Holds
) -> list[Segment]:
    total = sum(file.size for file in files)
    first = {writer: found[0] for writer, found in by_writer(f.segment for f in files).items()}
    doomed: list[Segment] = []
    for file in files:
        segment = file.segment
        too_old = file.changed_s < now_s - config.kept_days * _DAY_S
        if total <= config.kept_bytes and not too_old:
            continue
        if first[segment.writer] != segment or is_held(layout.records_of(segment)):
            continue
        if holds.covers(segment):
            continue
        doomed.append(segment)
        total -= file.size
        first[segment.writer] = Segment(segment.writer, segment.number + 1)
    return doomed


def _carried(
    layout: Layout, doomed: list[Segment], is_known: Callable[[str], bool]
) -> dict[str, list[Any]]:
    """What segments that go say of writers that something else speaks of: it is said again."""
    found: dict[str, list[Any]] = {}
    for segment in doomed:
        for record in _statements(layout, segment):
            for writer, removed in removals(record).items():
                if is_known(writer) and removed[1] > found.get(writer, (0, -1))[1]:
                    found[writer] = removed
    return found


def _statements(layout: Layout, segment: Segment) -> list[Record]:
    with suppress(FileNotFoundError):
        data = layout.records_of(segment).read_bytes()
        if _SIGN in data:
            lines = (read_line(line) for line in data.split(b"\n") if _SIGN in line)
            return [record for record in lines if record is not None]
    return []


def _end_of(layout: Layout, segment: Segment) -> Record | None:
    """The last record of a segment."""
    with suppress(FileNotFoundError), layout.records_of(segment).open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
        for line in reversed(file.read().split(b"\n")):
            if (record := read_line(line)) is not None:
                return record
    return None
