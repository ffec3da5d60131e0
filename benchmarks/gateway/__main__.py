"""`make bench-gateway`: CPU and latency of one router process beside four other gateways.

In front of a provider that answers at once, so what is measured is the gateway alone. Ours has
everything on that is on by default: it looks for personal data and unsafe text, classifies the
intent, asks the rules, filters and ranks candidates, holds two budgets and keeps durable records;
the others pass a named model through. All run at once on core 0 and are loaded by turns, so what
else the machine does meets all alike; the provider and the clients share core 1.

A peer that cannot be installed is left out, with the reason. For all of it, on a quiet machine:

    make bench-gateway ARGS='--seconds 6 --rounds 5'
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from benchmarks.gateway.cases import CASES, HOST, AnswersWrongly, Case, Gateway, check, measure
from benchmarks.gateway.installing import NotInstallable, cache
from benchmarks.gateway.peers import PEERS, Peer, Place, Server, ours
from benchmarks.gateway.table import BARE, Rounds, left_out
from benchmarks.processes import NotStarted, pin, running
from serving.bringup.edge import free_port

_OURS = "Graftwork"
_CORES = os.cpu_count() or 1


def _started(start: Peer, place: Place, stack: ExitStack) -> Gateway:
    """Raises ``NotInstallable``, ``NotStarted`` or ``AnswersWrongly``."""
    server = start(place)
    url = f"http://{HOST}:{place.port}{server.health}"
    with ExitStack() as own:  # what answers wrongly is not left running beside the others
        pid = own.enter_context(running(server.command, url, dict(server.env)))
        pin(pid, lambda _: {0})
        gateway = Gateway(place.port, server, pid)
        check(gateway)
        stack.push(own.pop_all())
    return gateway


def _all(
    peers: Mapping[str, Peer], given: argparse.Namespace, scratch: Path, stack: ExitStack
) -> tuple[dict[str, Gateway], dict[str, str]]:
    """What runs now, by name, and why others do not."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.gateway.stand_in", "--port", str(port)]
    provider = f"http://{HOST}:{port}"
    pid = stack.enter_context(running(command, f"{provider}/"))
    pin(pid, lambda _: {_CORES - 1})
    gateways, reasons = {BARE: Gateway(port, Server(command), None)}, {}
    for name, start in {_OURS: ours, **peers}.items():
        place = Place(free_port(), provider, scratch, given.peer_home)
        try:
            gateways[name] = _started(start, place, stack)
        except (NotInstallable, NotStarted, AnswersWrongly) as why:
            if name == _OURS:
                raise
            reasons[name] = str(why)
        print(f"{name}: {'left out' if name in reasons else 'answers'}", flush=True)
    return gateways, reasons


def rounds(gateways: Mapping[str, Gateway], given: argparse.Namespace) -> Rounds:
    """Measure all by turns; another one is first in each round."""
    found = Rounds()
    order = list(gateways)
    for number in range(given.rounds):
        for case in _wanted(given):
            print(f"round {number + 1} of {given.rounds}, {case.name}", flush=True)
            for name in order:
                one = measure(gateways[name], case, given.seconds)
                found.add(case.name, name, one)
                print(f"  {name:12} {one.figures}  CPU {one.cpu_ms:.2f} ms", flush=True)
        order = [*order[1:], order[0]]
    return found


def _wanted(given: argparse.Namespace) -> list[Case]:
    return [case for case in CASES if given.only in case.name]


def main() -> None:
    """Measure all, print one table."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("make bench-gateway", description=__doc__, formatter_class=raw)
    parser.add_argument("--seconds", type=float, default=4.0, help="per case, round and gateway")
    parser.add_argument("--rounds", type=int, default=3, help="alternations per case")
    parser.add_argument("--peer", nargs="*", choices=PEERS, default=list(PEERS), metavar="PEER")
    parser.add_argument("--only", default="", help="cases with these words in their names")
    parser.add_argument("--peer-home", type=Path, default=cache(), help="the peers' environments")
    given = parser.parse_args()
    os.sched_setaffinity(0, {_CORES - 1})
    print(f"{platform.processor() or platform.machine()}, {_CORES} cores", flush=True)
    wanted = {name: PEERS[name] for name in given.peer}
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        gateways, reasons = _all(wanted, given, Path(scratch), stack)
        found = rounds(gateways, given)
    print("\nMedians of the rounds.\n")
    print(found.table([case.name for case in _wanted(given)], list(gateways)))
    if reasons:
        print(f"\n{left_out(reasons)}")


if __name__ == "__main__":
    main()
