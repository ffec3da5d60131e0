"""`python -m benchmarks.records`: what it costs that a request is on record before it is answered.

One router process for each setting, in front of a provider that answers at once. The settings take
turns, so that what else the machine does falls on all of them: `none` keeps no records, `async`
writes them behind the answer, `before_first_byte` has them on disk before the answer leaves.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gateway.__main__ import CASES, Case, requests_of
from benchmarks.gateway.stand_in import MODEL
from benchmarks.load import run
from benchmarks.processes import cpu_seconds, pin, running
from serving.bringup.edge import free_port

MODES = ("none", "async", "before_first_byte")
_HOST = "127.0.0.1"


@dataclass(frozen=True)
class Turn:
    """One setting's turn at one load."""

    p50_ms: float
    p99_ms: float
    requests_per_s: float
    cpu_ms: float
    failed: int


def _start(stack: ExitStack, provider: str, mode: str, scratch: Path) -> tuple[int, int]:
    """A router with this setting: its port and pid."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.gateway.ours", "--port", str(port)]
    command += ["--provider", provider, "--state-dir", str(scratch / mode), "--records", mode]
    pid = stack.enter_context(running(command, f"http://{_HOST}:{port}/healthz"))
    pin(pid, lambda _: {0})
    return port, pid


def _turn(port: int, pid: int, case: Case, seconds: float) -> Turn:
    pace_s = case.clients / case.rate if case.rate else 0.0
    before = cpu_seconds(pid, lambda _: True)
    figures = asyncio.run(
        run(_HOST, port, requests_of(port, "auto"), case.clients, seconds, pace_s)
    )
    spent = cpu_seconds(pid, lambda _: True) - before
    answered = figures.requests_per_s * seconds
    return Turn(
        figures.p50_ms,
        figures.p99_ms,
        figures.requests_per_s,
        spent * 1000 / answered,
        figures.failed,
    )


def _measure(turns: int, seconds: float, scratch: Path) -> dict[tuple[str, str], list[Turn]]:
    results: dict[tuple[str, str], list[Turn]] = {}
    with ExitStack() as stack:
        provider = free_port()
        stand_in = [sys.executable, "-m", "benchmarks.gateway.stand_in", "--port", str(provider)]
        pin(stack.enter_context(running(stand_in, f"http://{_HOST}:{provider}/")), lambda _: {1})
        url = f"http://{_HOST}:{provider}/v1"
        routers = {mode: _start(stack, url, mode, scratch) for mode in MODES}
        for port, _ in routers.values():
            asyncio.run(run(_HOST, port, requests_of(port, "auto"), 16, 2.0))  # warm
        for number in range(turns):
            for case in CASES:
                # Whoever goes first in one turn goes last in the next.
                for mode in MODES if number % 2 else reversed(MODES):
                    found = _turn(*routers[mode], case, seconds)
                    results.setdefault((case.name, mode), []).append(found)
                    print(f"  {case.name:26} {mode:18} {found}", flush=True)
    return results


def main() -> None:
    """Measure all, print one table of medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn")
    given = parser.parse_args()
    os.sched_setaffinity(0, {1} if (os.cpu_count() or 1) > 1 else {0})
    with tempfile.TemporaryDirectory() as scratch:
        results = _measure(given.turns, given.seconds, Path(scratch))
    print(f"\nmodel {MODEL}, {given.turns} turns of {given.seconds:g} s, medians\n")
    print("| case | records | req/s | CPU ms/request | p50 ms | p99 ms | failed |")
    print("| --- | --- | --: | --: | --: | --: | --: |")
    for (case, mode), found in sorted(results.items(), key=lambda each: each[0][0]):
        middle = [
            statistics.median(values)
            for values in zip(
                *((t.requests_per_s, t.cpu_ms, t.p50_ms, t.p99_ms) for t in found), strict=True
            )
        ]
        failed = sum(turn.failed for turn in found)
        print(
            f"| {case} | {mode} | {middle[0]:.0f} | {middle[1]:.2f} | {middle[2]:.2f} "
            f"| {middle[3]:.2f} | {failed} |"
        )


if __name__ == "__main__":
    main()
