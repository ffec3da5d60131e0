"""`python -m benchmarks.records`: what it costs that a request is on record before it is answered.

One router process for each setting, in front of a provider that answers at once. The settings take
turns, so that what else the machine does falls on all of them: `none` keeps no records, `async`
writes them behind the answer, `before_first_byte` has them on disk before the answer leaves.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.gateway.cases import CASES as EVERY_CASE
from benchmarks.gateway.cases import HOST, Gateway, loaded
from benchmarks.gateway.installing import cache
from benchmarks.gateway.peers import Place, ours
from benchmarks.gateway.stand_in import MODEL
from benchmarks.gateway.table import Measured
from benchmarks.processes import pin, running
from serving.bringup.edge import free_port

MODES = ("none", "async", "before_first_byte")
CASES = [case for case in EVERY_CASE if not case.stream]


def _start(stack: ExitStack, provider: str, mode: str, scratch: Path) -> Gateway:
    """A router with this setting."""
    place = Place(free_port(), provider, scratch / mode, cache())
    server = ours(place, mode)
    url = f"http://{HOST}:{place.port}{server.health}"
    pid = stack.enter_context(running(server.command, url))
    pin(pid, lambda _: {0})
    return Gateway(place.port, server, pid)


def _measure(turns: int, seconds: float, scratch: Path) -> dict[tuple[str, str], list[Measured]]:
    results: dict[tuple[str, str], list[Measured]] = {}
    with ExitStack() as stack:
        port = free_port()
        provider = f"http://{HOST}:{port}"
        stand_in = [sys.executable, "-m", "benchmarks.gateway.stand_in", "--port", str(port)]
        pin(stack.enter_context(running(stand_in, f"{provider}/")), lambda _: {1})
        routers = {mode: _start(stack, provider, mode, scratch) for mode in MODES}
        for gateway in routers.values():
            loaded(gateway, CASES[-1], 2.0)  # warm
        for number in range(turns):
            for case in CASES:
                # Whoever goes first in one turn goes last in the next.
                for mode in MODES if number % 2 else reversed(MODES):
                    found = loaded(routers[mode], case, seconds)
                    results.setdefault((case.name, mode), []).append(found)
                    print(f"  {case.name:26} {mode:18} {found.figures}", flush=True)
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
                *(
                    (t.figures.requests_per_s, t.cpu_ms, t.figures.p50_ms, t.figures.p99_ms)
                    for t in found
                ),
                strict=True,
            )
        ]
        failed = sum(turn.figures.failed for turn in found)
        print(
            f"| {case} | {mode} | {middle[0]:.0f} | {middle[1]:.2f} | {middle[2]:.2f} "
            f"| {middle[3]:.2f} | {failed} |"
        )


if __name__ == "__main__":
    main()
