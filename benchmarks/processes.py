"""Start a server, wait until it answers, pin it to cores, stop it with all its children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]

_START_S = 240.0
_STOP_S = 60.0


@contextmanager
def running(command: list[str], url: str, env: dict[str, str] | None = None) -> Iterator[int]:
    """Run ``command`` until the block ends; yields its pid once ``url`` answers 200."""
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
            raise RuntimeError(f"the server ended at start:\n{tail}")
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(url, timeout=2).close()  # noqa: S310 - our own loopback URL
            return
        time.sleep(0.5)
    raise RuntimeError(f"{url} did not answer in {_START_S:.0f} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    children = _family(process.pid)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
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
