"""`make bench`: what Graftwork costs in front of vLLM, against vLLM's own server, in one run.

Both run at the same time and serve the embedded base with the same engine arguments; the load goes
to one and then to the other, several times, so that what else the machine does meets both alike.
Two layouts: every process anywhere ("shared cores"), and vLLM's processes on core 0 with everything
else on core 1 ("free core"), where the router does not take CPU from the engine. The load generator
runs on core 1 in both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import Figures, post, run
from benchmarks.processes import pin, running
from serving.bringup.edge import free_port
from serving.embedded import BASE_MODEL_ID

_HOST = "127.0.0.1"
_PATH = "/v1/chat/completions"
_CONFIG = "config/local.yaml"


def _body(tokens: int, *, stream: bool) -> bytes:
    messages = [{"role": "user", "content": "What are your opening hours?"}]
    body = {"model": BASE_MODEL_ID, "messages": messages, "max_tokens": tokens, "temperature": 0}
    return json.dumps({**body, "stream": stream, "ignore_eos": True}).encode()


CASES: dict[str, tuple[int, bytes]] = {
    "c=1, 1 token": (1, _body(1, stream=False)),
    "c=16, 1 token": (16, _body(1, stream=False)),
    "c=16, 32 tokens streamed": (16, _body(32, stream=True)),
}


def _engine_on_core_0(title: str) -> set[int]:
    engine = "VLLM" in title or "ServeReplica:graftwork:engine" in title
    return {0} if engine or "benchmarks.native_server" in title else {1}


def _anywhere(_: str) -> set[int]:
    return set(range(os.cpu_count() or 1))


@dataclass(frozen=True)
class Pair:
    """One case in one round, on both servers, one right after the other."""

    theirs: Figures
    ours: Figures

    @property
    def ratio(self) -> float:
        """Our requests per second as a share of theirs."""
        return self.ours.requests_per_s / self.theirs.requests_per_s

    @property
    def added_ms(self) -> float:
        """What we add at p50, milliseconds."""
        return self.ours.p50_ms - self.theirs.p50_ms


def _once(port: int, case: str, seconds: float) -> Figures:
    clients, body = CASES[case]
    request = post(_HOST, port, _PATH, body)
    asyncio.run(run(_HOST, port, request, clients, min(1.0, seconds)))  # warm
    return asyncio.run(run(_HOST, port, request, clients, seconds))


def _case(native: int, ours: int, case: str, given: argparse.Namespace) -> list[Pair]:
    """Rounds that alternate: what else the machine does meets both alike."""
    pairs = []
    for _ in range(given.rounds):
        pair = Pair(_once(native, case, given.seconds), _once(ours, case, given.seconds))
        print(f"    vLLM {pair.theirs}\n    ours {pair.ours}", flush=True)
        pairs.append(pair)
    return pairs


def _print(layout: str, case: str, pairs: list[Pair]) -> str:
    def middle(value: Callable[[Pair], float]) -> float:
        return statistics.median(map(value, pairs))

    ratios = sorted(pair.ratio for pair in pairs)
    return (
        f"| {layout} | {case} | {middle(lambda p: p.theirs.requests_per_s):.0f} "
        f"| {middle(lambda p: p.ours.requests_per_s):.0f} "
        f"| {middle(lambda p: p.ratio):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) "
        f"| {middle(lambda p: p.theirs.p50_ms):.1f} | {middle(lambda p: p.added_ms):+.2f} |"
    )


def _layouts(pids: tuple[int, int], ports: tuple[int, int], given: argparse.Namespace) -> None:
    layouts: dict[str, Callable[[str], set[int]]] = {
        "free core": _engine_on_core_0,
        "shared cores": _anywhere,
    }
    rows = []
    for layout, core_of in layouts.items():
        for pid in pids:
            pin(pid, core_of)
        for case in CASES:
            print(f"  {layout}, {case}", flush=True)
            with _on_one_core():
                pairs = _case(*ports, case, given)
            rows.append(_print(layout, case, pairs))
    print("\nMedians of the rounds; of the ratio also the lowest and the highest.\n")
    print("| layout | case | vLLM req/s | Graftwork req/s | ratio | vLLM p50 ms | added p50 ms |")
    print("| --- | --- | --: | --: | --: | --: | --: |")
    print("\n".join(rows))


@contextmanager
def _native() -> Iterator[tuple[int, int]]:
    """vLLM's own server: pid and port."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.native_server", "--port", str(port)]
    url = f"http://{_HOST}:{port}/health"
    with running(command, url, {"VLLM_LOGGING_LEVEL": "WARNING"}) as pid:
        yield pid, port


@contextmanager
def _graftwork() -> Iterator[tuple[int, int]]:
    """The whole system: pid and port."""
    port = free_port()
    with tempfile.TemporaryDirectory() as state:
        command = [sys.executable, "-m", "serving.cli", "serve", "--config", _CONFIG]
        command += ["--port", str(port), "--state-dir", str(Path(state) / "state")]
        with running(command, f"http://{_HOST}:{port}/readyz") as pid:
            yield pid, port


@contextmanager
def _on_one_core() -> Iterator[None]:
    """The load generator keeps to core 1 while it measures; servers start on all of them."""
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {1} if len(every) > 1 else {0})
    try:
        yield
    finally:
        os.sched_setaffinity(0, every)


def main() -> None:
    """Start both, measure both by turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="per case, round and server")
    parser.add_argument("--rounds", type=int, default=5, help="alternations per case")
    given = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores", flush=True)
    with _native() as native, _graftwork() as ours:
        pids, ports = zip(native, ours, strict=True)
        _layouts(pids, ports, given)


if __name__ == "__main__":
    main()
