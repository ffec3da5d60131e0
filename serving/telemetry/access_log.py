"""One structured line for every request, written in batches off the hot path; bounded."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TextIO

from prometheus_client import Counter

from serving.config.settings import Settings

_FLUSH_S = 0.2
_OPENED = b'{"event":"request",'
_MAX_BUFFERED = 50_000


class AccessLog:
    """Buffers records and appends them to ``requests-<pid>.jsonl``, or to standard error."""

    def __init__(self, settings: Settings, dropped: Counter) -> None:
        self._log = settings.log
        self._directory = settings.log.directory or settings.state_dir / "logs"
        self._dropped = dropped
        self._buffer: list[bytes] = []
        self._task: asyncio.Task[None] | None = None

    def write(self, record: bytes) -> None:
        """Take one JSON object; when the disk cannot follow, lines are dropped and counted."""
        if len(self._buffer) >= _MAX_BUFFERED:
            self._dropped.inc()
            return
        self._buffer.append(record)

    def start(self) -> None:
        """Begin to flush in the background."""
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_FLUSH_S)
            await self._flush()

    async def _flush(self) -> None:
        lines, self._buffer = self._buffer, []
        if lines:
            try:
                await asyncio.to_thread(self._append, lines)
            except OSError:  # a full disk must not stop the answers
                self._dropped.inc(len(lines))

    def _append(self, lines: list[bytes]) -> None:
        text = b"".join(_OPENED + line[1:] + b"\n" for line in lines)
        if self._log.destination == "stderr":
            _write(sys.stderr, text)
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / f"requests-{os.getpid()}.jsonl"
        _rotate(path, self._log.max_file_bytes, self._log.files_kept)
        with path.open("ab") as file:
            file.write(text)

    async def aclose(self) -> None:
        """Write what is left."""
        if self._task is not None:
            self._task.cancel()
        await self._flush()


def _write(stream: TextIO, text: bytes) -> None:
    stream.write(text.decode())
    stream.flush()


def _rotate(path: Path, max_bytes: int, kept: int) -> None:
    if not path.exists() or path.stat().st_size < max_bytes:
        return
    for number in range(kept - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.1"))
