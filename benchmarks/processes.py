"""Start a server, wait until it answers, pin it to cores, stop it with all its children.

Servers end with the benchmark however that ends: SIGTERM and SIGHUP unwind it like an error.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

import psutil  # type: ignore[import-untyped]

_START_S = 240.0
_STOP_S = 60.0
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP)


class NotStarted(RuntimeError):
    """The server ended at its start, or did not answer in time; the message has its last words."""


class Ended(SystemExit):
    """A signal ended the benchmark; its code is the usual one, 128 and the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within it SIGTERM and SIGHUP raise ``Ended``, so that what was started is stopped.

    A benchmark that starts processes of any kind does it within this: a signal's own action
    would end the benchmark alone. Outside the main thread it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _end) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _: FrameType | None) -> None:
    for each in _ENDING:  # what is being ended is not ended a second time
        signal.signal(each, signal.SIG_IGN)
    raise Ended(number)


def to_its_end(command: list[str]) -> int:
    """Run a command like this one; its exit status. When this process ends first, so does that."""
    with ended_by_signals():
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            return process.wait()
        finally:
            _stop(process)


@contextmanager
def running(command: list[str], url: str, env: dict[str, str] | None = None) -> Iterator[int]:
    """Run ``command`` until the block ends; yields its pid once ``url`` answers 200.

    Raises:
        NotStarted: it does not come up.
    """
    with ended_by_signals(), _running(command, url, env) as pid:
        yield pid


@contextmanager
def _running(command: list[str], url: str, env: dict[str, str] | None) -> Iterator[int]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        try:
            _await(url, process, log.fileno())
            yield process.pid
        finally:
            _stop(process)


def _await(url: str, process: subprocess.Popen[bytes], log: int) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            tail = os.pread(log, 4000, max(0, os.fstat(log).st_size - 4000)).decode(
                errors="replace"
            )
            raise NotStarted(f"the server ended at start:\n{tail}")
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(url, timeout=2).close()  # noqa: S310 - our own loopback URL
            return
        time.sleep(0.5)
    raise NotStarted(f"{url} did not answer in {_START_S:.0f} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    children = _family(process.pid)
    try:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
    finally:  # an impatient Ctrl-C ends the waiting, not the killing
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


def _family(pid: int) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    return []


def pin(pid: int, core_of: Callable[[str], set[int]]) -> None:
    """Pin every thread of a process and its descendants to the cores that its title asks for."""
    for process in _family(pid):
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            cores = core_of(" ".join(process.cmdline()) or process.name())
            for thread in Path(f"/proc/{process.pid}/task").iterdir():
                os.sched_setaffinity(int(thread.name), cores)


def cpu_seconds(pid: int, wanted: Callable[[str], bool]) -> float:
    """CPU time so far of a process's descendants whose title is wanted, seconds."""
    total = 0.0
    for process in _family(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            if wanted(" ".join(process.cmdline()) or process.name()):
                times = process.cpu_times()
                total += times.user + times.system
    return total
