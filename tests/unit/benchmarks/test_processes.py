"""What a benchmark starts ends with it, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from benchmarks.processes import ended_by_signals

ROOT = Path(__file__).resolve().parents[3]
_AT_WORK = """
import sys, tempfile, time
from pathlib import Path
from benchmarks.processes import ended_by_signals, running, to_its_end
from serving.bringup.edge import free_port

def serve(told):
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.gateway.stand_in", "--port", str(port)]
    with tempfile.TemporaryDirectory(dir=told.parent) as scratch:
        with running(command, f"http://127.0.0.1:{port}/") as pid:
            told.write_text(f"{pid} {scratch}")
            time.sleep(60)

def run(told):
    program = "import os, sys, time; from pathlib import Path;"
    program += f"Path({str(told)!r}).write_text(f'{{os.getpid()}} /none'); time.sleep(60)"
    to_its_end([sys.executable, "-c", program])

def serve_in_a_loop(told):
    import asyncio
    async def main():
        serve(told)
    asyncio.run(main())

globals()[sys.argv[1]](Path(sys.argv[2]))
"""


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("how", "number"),
    [
        ("serve", signal.SIGTERM),
        ("serve", signal.SIGHUP),
        ("serve", signal.SIGINT),
        ("serve_in_a_loop", signal.SIGTERM),
        ("run", signal.SIGTERM),
    ],
)
def test_what_a_benchmark_started_ends_with_it(how: str, number: int, tmp_path: Path) -> None:
    """A signal to the benchmark alone: its server ends too, and its files go."""
    told = tmp_path / "told"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _AT_WORK, how, str(told)]
    benchmark = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    _until(lambda: told.exists() and told.read_text() != "")
    server, scratch = told.read_text().split()
    assert psutil.pid_exists(int(server))
    benchmark.send_signal(number)
    status = benchmark.wait(60)
    assert status == (128 + number if number != signal.SIGINT else -signal.SIGINT)
    assert not psutil.pid_exists(int(server))
    assert not Path(scratch).exists()


def test_a_signals_own_action_is_put_back() -> None:
    """Afterwards the process is ended by signals as before."""
    before = signal.getsignal(signal.SIGTERM)
    with ended_by_signals():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_thread_changes_no_handlers() -> None:
    """A thread cannot, and does not fail for it."""
    before = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def work() -> None:
        with ended_by_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
