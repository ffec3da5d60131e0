"""One writer's open segment: groups of sealed records, each wholly on disk or not there at all."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.atomic import sync, write_all
from adapters.records import payloads
from adapters.records.files import Layout, Segment, take
from adapters.records.index import IndexEntry, OpenIndex
from adapters.records.line import GENESIS, Entry, Record, canonical, seal

# O_DSYNC: a write returns when it is on disk. One system call where write and fdatasync would be
# two, each with a wait for the interpreter's lock afterwards.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_DURABLE = os.O_DSYNC


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain stands: the next sequence, and the hash that its record continues."""

    sequence: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class Sealed:
    """A group as it goes to disk."""

    records: tuple[tuple[float, Record], ...]
    """Each with its time, seconds since the epoch."""
    lines: tuple[bytes, ...]
    payload_lines: tuple[bytes | None, ...]
    head: Head
    """After the group."""


def seal_group(writer: str, head: Head, entries: Iterable[Entry]) -> Sealed:
    """Chain a group. Raises ``ValueError`` for an entry that has no canonical form."""
    sequence, prev = head.sequence, head.hash
    records: list[tuple[float, Record]] = []
    lines: list[bytes] = []
    kept: list[bytes | None] = []
    for entry in entries:
        payload, commitment = None, None
        if entry.payload is not None:
            payload, commitment = payloads.line(sequence, entry.payload)
        line, record = seal(entry, writer, sequence, prev, commitment)
        prev = record["hash"]
        records.append((entry.at, record))
        lines.append(line)
        kept.append(payload)
        sequence += 1
    return Sealed(tuple(records), tuple(lines), tuple(kept), Head(sequence, prev))


def seal_any(writer: str, head: Head, entries: Sequence[Entry]) -> Sealed:
    """The same; an entry that has no canonical form is recorded without its fields."""
    try:
        return seal_group(writer, head, entries)
    except (ValueError, TypeError):
        # One odd entry must not take its neighbours along.
        fit = [entry if _fits(entry) else _plain(entry) for entry in entries]
        return seal_group(writer, head, fit)


def _fits(entry: Entry) -> bool:
    try:
        canonical([entry.fields, entry.request_id, entry.decision_id, entry.actor])
    except (ValueError, TypeError):
        return False
    return True


def _plain(entry: Entry) -> Entry:
    text = ascii(dict(entry.fields))[:2048]
    return Entry(entry.kind, entry.at, fields={"unencodable": text}, payload=entry.payload)


class OpenSegment:
    """A new file that this process has locked. Raises ``OSError`` where it cannot be made."""

    def __init__(self, layout: Layout, segment: Segment) -> None:
        self.segment = segment
        self._layout = layout
        self._handle = _create(layout.records_of(segment), _DURABLE)
        self._payloads: int | None = None
        self._size = 0
        self._payload_size = 0
        self._dirty = False
        self._unsynced = False
        self.index = OpenIndex()

    @property
    def size(self) -> int:
        """Records and payloads on disk, bytes."""
        return self._size + self._payload_size

    def append(self, group: Sealed) -> None:
        """Have a group's records on disk, and its payloads with the system. Raises ``OSError``.

        Payloads are written first, so that no crash of the process parts them from their records;
        ``sync_payloads`` has them outlive the machine's, and nobody waits for it.

        When it is tried again, what was written of it is taken back first: no line is there twice.
        """
        self.take_back()
        self._dirty = True
        kept = b"".join(line for line in group.payload_lines if line is not None)
        if kept:
            write_all(self._payload_file(), kept)
            self._unsynced = True
        write_all(self._handle, b"".join(group.lines))
        self._dirty = False
        self._remember(group)

    @property
    def has_unsynced(self) -> bool:
        """Whether payloads are with the system, and a power cut would take them."""
        return self._unsynced

    def sync_payloads(self) -> None:
        """Have every payload on disk. Raises ``OSError``."""
        if self._unsynced and self._payloads is not None:
            os.fdatasync(self._payloads)
            self._unsynced = False

    def take_back(self) -> None:
        """Cut what an append left half done, if one did. Raises ``OSError``."""
        if not self._dirty:
            return
        os.ftruncate(self._handle, self._size)
        if self._payloads is not None:
            os.ftruncate(self._payloads, self._payload_size)
        os.fsync(self._handle)
        self._dirty = False

    def _payload_file(self) -> int:
        if self._payloads is None:
            self._payloads = _create(self._layout.payloads_of(self.segment))
        return self._payloads

    def _remember(self, group: Sealed) -> None:
        for (at, record), line, payload in zip(
            group.records, group.lines, group.payload_lines, strict=True
        ):
            where, size = (-1, 0) if payload is None else (self._payload_size, len(payload) - 1)
            self.index.add(record, IndexEntry(at, self._size, len(line) - 1, where, size))
            self._size += len(line)
            self._payload_size += 0 if payload is None else len(payload)

    def close(self) -> None:
        """Nothing more is appended."""
        os.close(self._handle)
        if self._payloads is not None:
            os.close(self._payloads)


def _create(path: Path, more_flags: int = 0) -> int:
    """An empty file that is there after a crash too, locked. Raises ``OSError``."""
    handle = os.open(path, _FLAGS | more_flags, 0o600)
    try:
        _claim(handle, path)
        sync(path.parent)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _claim(handle: int, path: Path) -> None:
    if os.fstat(handle).st_size or not take(handle):
        raise FileExistsError(f"{path} is another writer's")
