"""Writes records in groups from a thread of its own: the request path only appends to a queue."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from adapters.records.config import RecordsConfig
from router.audit.frame import encode
from router.audit.segments import prune, segment_path, sync_directory

_RETRY_S = 0.1
_PATIENCE_S = 5.0
_HEADROOM = 2
"""Records of refused requests find room beyond ``max_queued``, up to so many times of it."""
_MAX_GROUP = 1000
_log = logging.getLogger("graftwork.journal")


class Journal:
    """One writer of one directory. ``add`` belongs to one event loop; the rest is thread-safe.

    Args:
        directory: where segments are; made when it is missing.
        writer: unique name of this process.
        config: limits and times.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        directory: Path,
        writer: str,
        config: RecordsConfig,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.directory = directory
        self._writer = writer
        self._config = config
        self._clock = clock
        self._queue: deque[bytes] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._waiting: deque[tuple[int, asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()
        self._file: int | None = None
        self._size = 0
        self._opened_s = 0.0
        self._number = 0
        self.added = 0
        self.durable = 0
        """How many of the added ones survive a crash by now."""
        self.lost = 0
        """Records that found no room at all, or were left when the disk failed at the end."""

    @property
    def queued(self) -> int:
        """Records that wait for the disk."""
        return len(self._queue)

    def choked(self) -> str | None:
        """Why no new request should be taken on; None when there is room."""
        if len(self._queue) < self._config.max_queued:
            return None
        return (
            f"{len(self._queue)} decision records wait for the disk below {self.directory}; see "
            "whether it is full or slow."
        )

    def add(self, record: bytes) -> None:
        """Take one record, as ``frame.to_json`` makes it. Never waits."""
        if len(self._queue) >= self._config.max_queued * _HEADROOM:
            self.lost += 1
            return
        self.added += 1
        self._queue.append(record)
        if not self._wake.is_set():
            self._wake.set()

    async def flushed(self, timeout_s: float = _PATIENCE_S) -> bool:
        """Wait until everything added so far is on disk; False: it is not yet."""
        target = self.added
        if self.durable >= target or self._thread is None:
            return self.durable >= target
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._waiting.append((target, loop, done))
        self._wake.set()
        try:
            async with asyncio.timeout(timeout_s):
                await done
        except TimeoutError:
            return False
        return True

    def start(self) -> None:
        """Begin to write. Raises ``OSError`` when the directory cannot be made."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is left, then stop. Blocks; a failing disk is tried once more."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._closing.wait(self._config.sync_ms / 1000)
            self._wake.clear()
            while group := self._take():
                self._write(group)
            self._tell()
            if self._closing.is_set() and not self._queue:
                break
        if self._file is not None:
            os.close(self._file)

    def _take(self) -> list[bytes]:
        return [self._queue.popleft() for _ in range(min(len(self._queue), _MAX_GROUP))]

    def _write(self, group: list[bytes]) -> None:
        data = b"".join(map(encode, group))
        while True:
            try:
                self._append(data)
                break
            except OSError as error:
                _log.error("the journal below %s cannot be written: %s", self.directory, error)
                self._abandon_segment()
                if self._closing.wait(_RETRY_S):
                    self.lost += len(group)
                    break
        self.durable += len(group)
        self._tell()

    def _append(self, data: bytes) -> None:
        handle = self._segment(len(data))
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        os.fdatasync(handle)
        self._size += len(data)

    def _segment(self, needed: int) -> int:
        now = self._clock()
        if self._file is not None and (
            self._size + needed > self._config.segment_bytes
            or now - self._opened_s > self._config.segment_age_s
        ):
            self._abandon_segment()
        if self._file is None:
            path = segment_path(self.directory, self._writer, self._number, now)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
            self._file = os.open(path, flags, 0o600)
            self._number += 1
            self._size, self._opened_s = 0, now
            sync_directory(self.directory)
            config = self._config
            # No file is written to when it is older than `segment_age_s`.
            open_s = config.segment_age_s + _RETRY_S + 60
            prune(self.directory, config.kept_bytes, config.kept_days, now, open_s)
        return self._file

    def _abandon_segment(self) -> None:
        """Go on in a new file; a group that was half written stays behind as a torn tail."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _tell(self) -> None:
        """Wake up who waits for what is durable now."""
        while self._waiting and self._waiting[0][0] <= self.durable:
            _, loop, done = self._waiting.popleft()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_finish, done)


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
