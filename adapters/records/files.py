"""Where a log lies: ``segments/<writer>-<n>.jsonl``, and the payloads of the same name.

Processes of one machine share a directory, never a file: each is a writer of its own and holds a
lock on the segment that it appends to, which the kernel takes away when the process is gone.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from adapters.atomic import sweep

_ODD = re.compile(r"[^A-Za-z0-9._]+")
_NAME = re.compile(r"(?P<writer>[A-Za-z0-9._-]{1,100})-(?P<number>\d{6,12})\.jsonl")
_WRITER_LENGTH = 80


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file of a log, by its writer and its number."""

    writer: str
    number: int

    @property
    def name(self) -> str:
        """The file's name, of the records and of their payloads."""
        return f"{self.writer}-{self.number:06d}.jsonl"


@dataclass(frozen=True, slots=True)
class Layout:
    """The directories of one log."""

    root: Path

    @property
    def segments(self) -> Path:
        """Records, one a line."""
        return self.root / "segments"

    @property
    def payloads(self) -> Path:
        """What records commit to, one a line."""
        return self.root / "payloads"

    @property
    def checkpoints(self) -> Path:
        """Where each chain stood, one moment a line."""
        return self.root / "checkpoints.jsonl"

    @property
    def tree(self) -> Path:
        """Hashes of the Merkle tree over all records."""
        return self.root / "tree"

    @property
    def index(self) -> Path:
        """Sidecars that can be made again from the rest."""
        return self.root / "index"

    def make(self) -> None:
        """Raises ``OSError`` when a directory cannot be made."""
        for directory in (self.root, self.segments, self.payloads, self.index):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def sweep(self) -> None:
        """Remove what processes were writing when they were killed. Raises ``OSError``."""
        for directory in (self.root, self.index):
            sweep(directory)

    def records_of(self, segment: Segment) -> Path:
        """Where a segment's records are."""
        return self.segments / segment.name

    def payloads_of(self, segment: Segment) -> Path:
        """Where its payloads are."""
        return self.payloads / segment.name

    def found(self) -> list[Segment]:
        """Every segment, by writer and number. Raises ``OSError`` when it cannot be listed."""
        try:
            # A pipe or a device with such a name would be read for ever.
            names = [entry.name for entry in os.scandir(self.segments) if _is_file(entry)]
        except FileNotFoundError:
            return []
        return sorted(found for name in names if (found := parse_name(name)) is not None)


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads nowhere
        return False


def parse_name(name: str) -> Segment | None:
    """The segment that a file's name means; None when it means none."""
    found = _NAME.fullmatch(name)
    return None if found is None else Segment(found["writer"], int(found["number"]))


def writer_name(text: str) -> str:
    """A text as it may stand in a file's name."""
    return _ODD.sub("-", text).strip("-")[-_WRITER_LENGTH:] or "writer"


def by_writer(segments: Iterable[Segment]) -> dict[str, list[Segment]]:
    """Each writer's segments, in order."""
    found: dict[str, list[Segment]] = {}
    for segment in sorted(segments):
        found.setdefault(segment.writer, []).append(segment)
    return found


def take(handle: int) -> bool:
    """Lock an open segment for this process's lifetime; False when another one has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(path: Path) -> bool:
    """Whether a living process appends to this segment."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not take(handle)
    finally:
        os.close(handle)
