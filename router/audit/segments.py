"""The files of a journal: names that sort by time, and which of them may go."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

SUFFIX = ".journal"
_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_DAY_S = 86_400.0


def segment_path(directory: Path, writer: str, number: int, at_s: float) -> Path:
    """A new segment's path. Processes of one machine share the directory, never a file."""
    name = _ODD.sub("-", writer)[-80:]
    return directory / f"{int(at_s * 1000):013d}-{name}-{number:06d}{SUFFIX}"


def segments(directory: Path) -> list[Path]:
    """Every segment, the oldest first."""
    try:
        return sorted(path for path in directory.iterdir() if path.suffix == SUFFIX)
    except FileNotFoundError:
        return []


def prune(directory: Path, kept_bytes: int, kept_days: float, now_s: float, open_s: float) -> None:
    """Remove the oldest files while there is too much, and files that are too old.

    Each writer's newest file stays for ``open_s`` after its last line: it may still be open.
    """
    found = []
    for path in segments(directory):
        with suppress(FileNotFoundError):
            status = path.stat()
            found.append((path, status.st_size, status.st_mtime))
    total = sum(size for _, size, _ in found)
    newest = {_writer(path): path for path, _, _ in found}
    for path, size, changed_s in found:
        if newest[_writer(path)] == path and changed_s > now_s - open_s:
            continue
        if total > kept_bytes or changed_s < now_s - kept_days * _DAY_S:
            path.unlink(missing_ok=True)
            total -= size


def _writer(path: Path) -> str:
    return path.name.partition("-")[2].rpartition("-")[0]


def sync_directory(directory: Path) -> None:
    """Make a new file's name durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
