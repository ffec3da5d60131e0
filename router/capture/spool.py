"""Exchanges on their way to the registry, on this machine's disk until it has them.

Entries are lines of files in a directory that belongs to one process, which holds a lock on it:
what a process left behind is taken over by another one on the machine. An entry survives
``kill -9`` from the moment that ``add`` returns until ``done`` is told that the registry has it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from adapters.atomic import sync, write_all, write_file
from adapters.corpus.delivery import MAX_LINE_BYTES, subjects_of

SEGMENT_BYTES: Final = 2**20
_LOCK: Final = "lock"
_TRIES: Final = 20
_PAUSE_S: Final = 0.02
"""Between tries to lock a directory: a neighbour's look takes less."""
_NAME: Final = re.compile(r"(\d{12})-([01])-([0-9a-f]{8})\.jsonl")
_log = logging.getLogger("graftwork.router")


@dataclass(frozen=True, slots=True)
class Line:
    """One entry as it is written."""

    data: bytes
    """A line of JSON without its end."""
    urgent: bool
    """It goes last when there is no room."""


@dataclass(slots=True)
class _Segment:
    """One file; ``count`` and ``size`` are of what is in it."""

    path: Path
    urgent: bool
    size: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What is delivered at once. ``paths`` are its files."""

    lines: list[bytes] = field(default_factory=list)
    paths: tuple[Path, ...] = ()


class Spool:
    """Methods block, are thread-safe, and raise ``OSError`` when the disk fails.

    Args:
        root: of all spools of the machine.
        name: of this process's.
        max_bytes: of all its files.
    """

    def __init__(self, root: Path, name: str, max_bytes: int) -> None:
        self._root = root
        self._directory = root / name
        self._max_bytes = max_bytes
        self._segment_bytes = max(1, min(SEGMENT_BYTES, max_bytes // 8))
        self._lock = threading.Lock()
        self._held: int | None = None
        self._segments: list[_Segment] = []
        self._open: dict[bool, tuple[_Segment, int]] = {}
        self._number = 0
        self.dropped = 0
        """Entries that made room for others, or found none."""

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return sum(each.size for each in self._segments)

    @property
    def waiting(self) -> int:
        """Entries that wait."""
        return sum(each.count for each in self._segments)

    # Writing

    def add(self, lines: Sequence[Line]) -> None:
        """Take these; they survive a crash when this returns, but for those that found no room."""
        with self._lock:
            self._begin()
            for urgent in (True, False):
                self._append([each.data for each in lines if each.urgent is urgent], urgent=urgent)

    def _append(self, lines: list[bytes], *, urgent: bool) -> None:
        for line in lines:
            if len(line) > MAX_LINE_BYTES or not self._make_room(len(line) + 1, urgent=urgent):
                self.dropped += 1
                continue
            segment, handle = self._segment(urgent=urgent)
            try:
                write_all(handle, line + b"\n")
            except OSError:
                # A half of a line would make the next one unreadable.
                os.ftruncate(handle, segment.size)
                raise
            segment.size += len(line) + 1
            segment.count += 1
        if lines and urgent in self._open:
            os.fsync(self._open[urgent][1])

    def _segment(self, *, urgent: bool) -> tuple[_Segment, int]:
        found = self._open.get(urgent)
        if found is not None and found[0].size < self._segment_bytes:
            return found
        self._seal(urgent=urgent)
        self._number += 1
        name = f"{self._number:012d}-{urgent:d}-{secrets.token_hex(4)}.jsonl"
        segment = _Segment(self._directory / name, urgent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        handle = os.open(segment.path, flags, 0o600)
        sync(self._directory)
        self._segments.append(segment)
        self._open[urgent] = segment, handle
        return segment, handle

    def _seal(self, *, urgent: bool) -> None:
        found = self._open.pop(urgent, None)
        if found is not None:
            try:
                os.fsync(found[1])
            finally:
                os.close(found[1])

    def _make_room(self, size: int, *, urgent: bool) -> bool:
        """Remove what is worth least, the oldest first; False when all is worth more."""
        while self.size + size > self._max_bytes:
            least = next((each for each in self._segments if not each.urgent), None)
            if least is None and urgent:
                least = next(iter(self._segments), None)
            if least is None:
                return False
            self.dropped += least.count
            self._remove(least)
        return True

    def _remove(self, segment: _Segment) -> None:
        for urgent, (each, _) in list(self._open.items()):
            if each is segment:
                self._seal(urgent=urgent)
        segment.path.unlink(missing_ok=True)
        self._segments.remove(segment)

    # Delivering

    def next(self, max_bytes: int) -> Batch:
        """The oldest that wait, those that matter first; at least a file's, if there is one."""
        with self._lock:
            if self._held is None:
                return Batch()
            lines: list[bytes] = []
            paths: list[Path] = []
            size = 0
            for segment in sorted(self._segments, key=lambda each: not each.urgent):
                if paths and size + segment.size > max_bytes:
                    break
                if any(segment is each for each, _ in self._open.values()):
                    self._seal(urgent=segment.urgent)
                lines += self._read(segment.path)
                paths.append(segment.path)
                size += segment.size
            return Batch(lines, tuple(paths))

    def done(self, batch: Batch) -> None:
        """The registry has them, durably."""
        with self._lock:
            for segment in [each for each in self._segments if each.path in batch.paths]:
                self._remove(segment)

    def _read(self, path: Path) -> list[bytes]:
        with suppress(FileNotFoundError):
            whole, end, _torn = path.read_bytes().rpartition(b"\n")
            return whole.split(b"\n") if end else []
        return []

    # Who else

    def adopt(self) -> int:
        """Take over what processes of this machine left that are gone; how many entries."""
        with self._lock:
            self._begin()
            adopted = 0
            for path in sorted(self._root.iterdir()):
                if path != self._directory and path.is_dir():
                    adopted += self._take_over(path)
            return adopted

    def _take_over(self, directory: Path) -> int:
        try:
            handle = _locked(directory)
        except OSError as error:
            _log.warning("%s cannot be taken over: %s", directory, error)
            return 0
        if handle is None:
            return 0
        adopted = 0
        try:
            for segment in _segments_in(directory, self._read):
                self._number += 1
                name = f"{self._number:012d}-{segment.urgent:d}-{secrets.token_hex(4)}.jsonl"
                target = self._directory / name
                segment.path.rename(target)
                segment.path = target
                self._segments.append(segment)
                adopted += segment.count
            sync(self._directory)
            (directory / _LOCK).unlink(missing_ok=True)
            directory.rmdir()
        finally:
            os.close(handle)
        return adopted

    def _begin(self) -> None:
        if self._held is not None:
            return
        self._held = self._own()
        self._segments = _segments_in(self._directory, self._read)
        self._number = max((_number(each.path) for each in self._segments), default=0)
        sync(self._root)

    def _own(self) -> int:
        """A lock on our directory, which a neighbour may just be looking into, or removing."""
        for _ in range(_TRIES):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                handle = _locked(self._directory)
                if handle is not None:
                    return handle
            time.sleep(_PAUSE_S)
        raise OSError(f"{self._directory} belongs to another process")

    def close(self) -> None:
        """Let go of the directory; an empty one goes."""
        with self._lock:
            for urgent in (True, False):
                self._seal(urgent=urgent)
            if self._held is None:
                return
            if not self._segments:
                with suppress(OSError):
                    (self._directory / _LOCK).unlink(missing_ok=True)
                    self._directory.rmdir()
            os.close(self._held)
            self._held = None

    # Erasure

    def of(self, is_of: Callable[[frozenset[str]], bool]) -> int:
        """How many entries are of these persons."""
        with self._lock:
            paths = [each.path for each in self._segments]
            return sum(_is_of(line, is_of) for path in paths for line in self._read(path))

    def erase(self, is_of: Callable[[frozenset[str]], bool]) -> int:
        """Remove the entries of these persons; how many there were."""
        self.adopt()
        with self._lock:
            return sum(self._without(segment, is_of) for segment in list(self._segments))

    def _without(self, segment: _Segment, is_of: Callable[[frozenset[str]], bool]) -> int:
        lines = self._read(segment.path)
        left = [line for line in lines if not _is_of(line, is_of)]
        if len(left) == len(lines):
            return 0
        if any(segment is each for each, _ in self._open.values()):
            self._seal(urgent=segment.urgent)
        if not left:
            self._remove(segment)
            return len(lines)
        data = b"".join(line + b"\n" for line in left)
        write_file(segment.path, data)
        segment.size, segment.count = len(data), len(left)
        return len(lines) - len(left)


def _is_of(line: bytes, is_of: Callable[[frozenset[str]], bool]) -> bool:
    try:
        return is_of(subjects_of(line))
    except ValueError:
        return False  # nobody will take it either


def _locked(directory: Path) -> int | None:
    """A lock on a directory; None while somebody else has it."""
    handle = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    try:
        there = (directory / _LOCK).stat().st_ino
    except FileNotFoundError:
        there = -1
    if there != os.fstat(handle).st_ino:  # it was taken over and removed in between
        os.close(handle)
        return None
    return handle


def _segments_in(directory: Path, read: Callable[[Path], list[bytes]]) -> list[_Segment]:
    found = []
    for path in sorted(directory.iterdir()):
        named = _NAME.fullmatch(path.name)
        if named is None:
            if path.name != _LOCK:
                path.unlink(missing_ok=True)  # a draft that a crash left
            continue
        segment = _Segment(path, named[2] == "1", path.stat().st_size, len(read(path)))
        if segment.count:
            found.append(segment)
        else:
            path.unlink(missing_ok=True)
    return found


def _number(path: Path) -> int:
    named = _NAME.fullmatch(path.name)
    return int(named[1]) if named else 0
