"""A person's name in files that nobody asked for it: log lines, and freed pages of databases."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote, quote_plus

from serving.config.settings import Settings

_SHORTEST = 3
"""A shorter name is in every file by chance."""
_PIECE = 1 << 22
_BUSY_S = 20.0


class StrayCopies:
    """The log files and SQLite files of one state directory, as a room that can be erased from.

    Log lines keep their length: what is written to them meanwhile is not disturbed.
    """

    counted_as = "stray_copies"

    def __init__(self, settings: Settings) -> None:
        self._logs = settings.log.directory or settings.state_dir / "logs"
        self._state = settings.state_dir

    async def found(self, subject: str) -> int:
        """In how many places it stands."""
        return await asyncio.to_thread(self._find, subject)

    async def erase(self, subject: str) -> int:
        """Overwrite it in logs, and have databases give freed pages back. Raises ``OSError``."""
        return await asyncio.to_thread(self._erase, subject)

    def _find(self, subject: str) -> int:
        needles = _spellings(subject)
        files = [*_files(self._logs), *self._databases()]
        return sum(1 for path in files for _ in _places(path, needles))

    def _erase(self, subject: str) -> int:
        needles, count = _spellings(subject), 0
        for path in _files(self._logs):
            for offset, length in list(_places(path, needles)):
                with path.open("r+b") as file:
                    file.seek(offset)
                    file.write(b"*" * length)
                    file.flush()
                    os.fsync(file.fileno())
                count += 1
        for path in self._databases():
            if any(True for _ in _places(path, needles)):
                _vacuum(path.with_name(path.name.removesuffix("-wal")))
                count += 1
        return count

    def _databases(self) -> list[Path]:
        return sorted([*self._state.glob("*.db"), *self._state.glob("*.db-wal")])


def _spellings(subject: str) -> list[bytes]:
    """As it stands in text, in JSON and in addresses."""
    if len(subject) < _SHORTEST:
        return []
    texts = {
        subject,
        json.dumps(subject)[1:-1],
        json.dumps(subject, ensure_ascii=False)[1:-1],
        quote(subject, safe=""),
        quote(subject),
        quote_plus(subject),
    }
    # The longest first: another one may be a part of it.
    return sorted((text.encode() for text in texts), key=len, reverse=True)


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


def _places(path: Path, needles: list[bytes]) -> Iterator[tuple[int, int]]:
    """(offset, length) of every occurrence; none in a file that is gone."""
    if not needles:
        return
    overlap = len(needles[0]) - 1
    with suppress(FileNotFoundError), path.open("rb") as file:
        base, data = 0, b""
        while piece := file.read(_PIECE):
            data += piece
            for needle in needles:
                at = data.find(needle)
                while at >= 0:
                    yield base + at, len(needle)
                    at = data.find(needle, at + 1)
            keep = data[len(data) - overlap :] if overlap else b""
            base, data = base + len(data) - len(keep), keep


def _vacuum(path: Path) -> None:
    """Write a database anew, without freed pages. Raises ``OSError``."""
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_S)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("VACUUM")
            busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        raise OSError(f"{path} cannot be written anew: {error}") from error
    if busy:
        # What a reader still sees stays in the log, and the pragma does not raise for it.
        raise OSError(f"{path} cannot be written anew: somebody reads what was there before")
