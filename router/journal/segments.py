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


def prune(
    directory: Path, kept_bytes: int, kept_days: float, now_s: float, spare: Path | None
) -> None:
    """Remove the oldest files while there is too much, and files that are too old.

    Nothing that was written to in the last hour goes: another process may still have it open.
    """
    found = []
    for path in segments(directory):
        with suppress(FileNotFoundError):
            status = path.stat()
            found.append((path, status.st_size, status.st_mtime))
    total = sum(size for _, size, _ in found)
    for path, size, changed_s in found:
        if path == spare or changed_s > now_s - 3600:
            continue
        if total > kept_bytes or changed_s < now_s - kept_days * _DAY_S:
            path.unlink(missing_ok=True)
            total -= size


def sync_directory(directory: Path) -> None:
    """Make a new file's name durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
