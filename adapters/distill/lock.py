"""Who works on a job's directory: one process, for as long as it lives, whatever it dies of."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from adapters.distill.job import LOCK_FILE

_PATIENCE_S = 2.0


class Taken(Exception):
    """A living process holds it."""


class JobLock:
    """The exclusive hold on one directory; the kernel ends it with the process.

    Raises ``Taken`` when another process has it, ``OSError`` when the file cannot be written.
    """

    def __init__(self, directory: Path) -> None:
        # Not closed on exec or fork on purpose: it belongs to the process that trains.
        self._descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            _take(self._descriptor)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()} {socket.gethostname()}".encode(), 0)
        except BaseException:
            os.close(self._descriptor)
            raise

    def close(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def holder(directory: Path) -> int | None:
    """The process that works there, or None; 0 for one of another machine."""
    with _opened(directory / LOCK_FILE) as descriptor:
        if descriptor is None:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, _, host = os.pread(descriptor, 512, 0).decode(errors="replace").partition(" ")
            return int(pid) if pid.isdigit() and host == socket.gethostname() else 0
        return None


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> None:
    """Wait a little: whoever only looks holds it for a moment too."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise Taken from None
            time.sleep(0.02)
        else:
            return
