"""`make bench-gateway`: CPU and latency of one router process, beside LiteLLM's, in one run.

The provider behind both answers at once, so what is measured is the gateway alone. Ours classifies
the intent, filters and ranks candidates, reserves and settles a budget and keeps a durable decision
record; LiteLLM passes a named model through. The gateway has core 0 to itself; the provider and the
clients share core 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gateway import peer
from benchmarks.gateway.stand_in import MODEL
from benchmarks.load import Figures, post, run
from benchmarks.processes import cpu_seconds, pin, running
from serving.bringup.edge import free_port

_HOST = "127.0.0.1"
_PATH = "/v1/chat/completions"
_OBJECTS = ("lamp", "kettle", "chair", "jacket", "phone", "desk", "kayak", "tent", "blender", "rug")
_ASKS = (
    "How do I return the {} that I bought last week?",
    "Where is my order with the {}?",
    "Do you have a {} in stock in another colour?",
    "What discount do I get when I buy two of the {}?",
    "Write me a short poem about a {}.",
    "My {} arrived broken, and I would like my money back, please.",
    "Compare a {} with what people used in the nineteenth century.",
    "When does the shop that sells the {} open on Sundays?",
)


@dataclass(frozen=True)
class Case:
    """One load: ``rate`` requests a second over all clients, or as fast as it goes."""

    name: str
    clients: int
    rate: float | None = None


CASES = (
    Case("c=1", 1),
    Case("c=16, 40 req/s", 16, 40),
    Case("c=16, 150 req/s", 16, 150),
    Case("c=16, as fast as it goes", 16),
)


@dataclass(frozen=True)
class Measured:
    """One case in front of one gateway."""

    figures: Figures
    cpu_ms: float
    """CPU time of the gateway's processes for each request, milliseconds."""


def requests_of(port: int, model: str) -> list[bytes]:
    """Different questions, as the bytes of POSTs."""
    texts = [ask.format(thing) for thing in _OBJECTS for ask in _ASKS]
    bodies = (
        {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 16}
        for text in texts
    )
    return [post(_HOST, port, _PATH, json.dumps(body).encode()) for body in bodies]


def _measure(port: int, model: str, seconds: float, pid: int | None) -> dict[str, Measured]:
    requests = requests_of(port, model)
    asyncio.run(run(_HOST, port, requests, 16, min(3.0, seconds)))  # warm
    results = {}
    for case in CASES:
        pace_s = case.clients / case.rate if case.rate else 0.0
        before = cpu_seconds(pid, _every) if pid else 0.0
        figures = asyncio.run(run(_HOST, port, requests, case.clients, seconds, pace_s))
        spent = cpu_seconds(pid, _every) - before if pid else 0.0
        answered = figures.requests_per_s * seconds
        results[case.name] = Measured(figures, spent * 1000 / answered)
        print(f"  {case.name:26} {figures}  CPU {results[case.name].cpu_ms:.2f} ms", flush=True)
    return results


def _every(_: str) -> bool:
    return True


def _gateway(
    name: str, command: list[str], port: int, health: str, model: str, seconds: float
) -> dict[str, Measured]:
    print(name, flush=True)
    url = f"http://{_HOST}:{port}{health}"
    with running(command, url, {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}) as pid:
        pin(pid, lambda _: {0})
        return _measure(port, model, seconds, pid)


def _all(seconds: float, home: Path, scratch: Path) -> dict[str, dict[str, Measured]]:
    provider = free_port()
    stand_in = [sys.executable, "-m", "benchmarks.gateway.stand_in", "--port", str(provider)]
    with running(stand_in, f"http://{_HOST}:{provider}/") as pid:
        pin(pid, lambda _: {1} if (os.cpu_count() or 1) > 1 else {0})
        url = f"http://{_HOST}:{provider}/v1"
        print("no gateway", flush=True)
        results = {"none": _measure(provider, MODEL, seconds, None)}
        port = free_port()
        ours = [sys.executable, "-m", "benchmarks.gateway.ours", "--port", str(port)]
        ours += ["--provider", url, "--state-dir", str(scratch / "state")]
        results["Graftwork"] = _gateway("Graftwork", ours, port, "/healthz", "auto", seconds)
        try:
            binary = peer.install(home)
        except peer.NotInstallable as why:
            print(f"LiteLLM left out: {why}")
            return results
        port = free_port()
        theirs = peer.command(binary, port, url, scratch)
        results["LiteLLM"] = _gateway(
            peer.PACKAGE, theirs, port, "/health/liveliness", MODEL, seconds
        )
        return results


def main() -> None:
    """Measure all, print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="per case")
    default_home = Path(tempfile.gettempdir()) / "graftwork-bench-litellm"
    parser.add_argument(
        "--peer-home", type=Path, default=default_home, help="environment of the peer"
    )
    given = parser.parse_args()
    os.sched_setaffinity(0, {1} if (os.cpu_count() or 1) > 1 else {0})
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        results = _all(given.seconds, given.peer_home, Path(scratch))
    print("\n| case | gateway | req/s | CPU ms/request | added p50 ms | added p99 ms | failed |")
    print("| --- | --- | --: | --: | --: | --: | --: |")
    for case in CASES:
        bare = results["none"][case.name].figures
        for name, measured in results.items():
            it, cpu_ms = measured[case.name].figures, measured[case.name].cpu_ms
            print(
                f"| {case.name} | {name} | {it.requests_per_s:.0f} | {cpu_ms:.2f} "
                f"| {it.p50_ms - bare.p50_ms:+.2f} | {it.p99_ms - bare.p99_ms:+.2f} "
                f"| {it.failed} |"
            )


if __name__ == "__main__":
    main()
