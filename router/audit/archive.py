"""Reads a journal's directory: what this process wrote, its predecessors, and its neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import orjson

from router.audit.frame import Record, decode
from router.audit.segments import segments

Wanted = Callable[[Record], bool]


class Archive:
    """Looks through segments, the newest first. Blocks: for a thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def newest(
        self,
        limit: int,
        *,
        since_s: float = 0.0,
        containing: tuple[bytes, ...] = (),
        wanted: Wanted = lambda _: True,
    ) -> list[Record]:
        """The newest records by their ``at``, newest first.

        Args:
            limit: how many.
            since_s: none that began before, seconds since the epoch.
            containing: bytes that a line must have, to skip lines without decoding them.
            wanted: which records are meant.
        """
        found: list[Record] = []
        for path, changed_s in self._by_change():
            # A record is written after it began: this file, and all after it, have only older ones.
            if changed_s < since_s or (len(found) >= limit and changed_s < found[-1]["at"]):
                break
            found.extend(
                record
                for record in _backwards(path, containing)
                if record.get("at", 0.0) >= since_s and wanted(record)
            )
            found.sort(key=lambda record: -float(record.get("at", 0.0)))
            del found[limit:]
        return found

    def find(self, field: str, value: str) -> Record | None:
        """The newest record whose top-level field has this value."""
        return next(self.every(field, value), None)

    def every(self, field: str, value: str) -> Iterator[Record]:
        """All records whose top-level field has this value."""
        sign = orjson.dumps({field: value})[1:-1]
        for path, _ in self._by_change():
            for record in _backwards(path, (sign,)):
                if record.get(field) == value:
                    yield record

    def _by_change(self) -> list[tuple[Path, float]]:
        found = []
        for path in segments(self._directory):
            try:
                found.append((path, path.stat().st_mtime))
            except FileNotFoundError:  # retention was faster
                continue
        return sorted(found, key=lambda entry: -entry[1])


def _backwards(path: Path, containing: tuple[bytes, ...]) -> Iterator[Record]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    if not all(sign in data for sign in containing):
        return
    for line in reversed(data.split(b"\n")):
        if all(sign in line for sign in containing) and (record := decode(line)) is not None:
            yield record
