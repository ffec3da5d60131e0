"""Files that are looked at again and again while the process runs."""

from __future__ import annotations

from pathlib import Path

Mark = tuple[int, int, int]


def mark_of(path: Path | None) -> Mark | None:
    """What changes with a file; None where there is none."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
