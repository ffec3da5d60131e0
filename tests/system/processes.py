"""Which processes belong to a system under test, where they listen, and whether they are gone."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]
from psutil import Process

_GONE = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess)


@dataclass(frozen=True)
class Listening:
    """One listening TCP socket."""

    process: str
    """Name and arguments of its process."""
    host: str
    port: int


def family(leader: int, marker: str) -> list[Process]:
    """Everything that descends from ``leader``, is in its session, or carries the marker.

    Three ways, because processes are reparented, start sessions of their own, and write over the
    environment that they were started with when they set their titles.
    """
    found = {process.pid: process for process in _descendants(leader)}
    for process in psutil.process_iter():
        with contextlib.suppress(*_GONE, ProcessLookupError):
            if os.getsid(process.pid) == leader or marker in process.environ().values():
                found[process.pid] = process
    return list(found.values())


def _descendants(leader: int) -> list[Process]:
    with contextlib.suppress(*_GONE):
        process = Process(leader)
        return [process, *process.children(recursive=True)]
    return []


def alive(processes: Iterable[Process], grace_s: float) -> list[str]:
    """Descriptions of those that are still there after ``grace_s`` at most; zombies are not."""
    deadline = time.monotonic() + grace_s
    left = [process for process in processes if _runs(process)]
    while left and time.monotonic() < deadline:
        time.sleep(0.1)
        left = [process for process in left if _runs(process)]
    return [describe(process) for process in left]


def _runs(process: Process) -> bool:
    with contextlib.suppress(*_GONE):
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    return False


def describe(process: Process) -> str:
    """Name and arguments."""
    with contextlib.suppress(*_GONE):
        return f"{process.pid} {process.name()}: {' '.join(process.cmdline())[:200]}"
    return f"{process.pid} (gone)"


def kill(processes: Iterable[Process]) -> None:
    """Leave nothing behind, whatever the test found."""
    for process in processes:
        with contextlib.suppress(*_GONE):
            process.kill()


def listening(processes: Iterable[Process]) -> list[Listening]:
    """Their listening TCP sockets."""
    sockets = []
    for process in processes:
        with contextlib.suppress(*_GONE):
            name = describe(process)
            sockets += [
                Listening(name, connection.laddr.ip, connection.laddr.port)
                for connection in process.net_connections(kind="tcp")
                if connection.status == psutil.CONN_LISTEN
            ]
    return sockets
