"""What all stages of a request cost together: CPU a request, and where its time goes by heading.

    python -m benchmarks.governance.stages [--requests N]

One router in this process, as the deployment wires it, without Ray and HAProxy; requests are given
to its door one after the other, so that the process's CPU between two moments is one request's,
whatever thread spent it. The provider is another process, on another core, that answers at once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import uvloop

from benchmarks.gateway.ours import PROVIDER, alone, settings
from benchmarks.gateway.stand_in import MODEL
from benchmarks.processes import pin, running
from router.stages import TARGET, Heading
from serving.bringup.edge import free_port
from serving.config.settings import Settings
from serving.heap import settle_heap
from serving.router.compose import RouterProcess

_HOST = "127.0.0.1"
_WARM = 200
_START_S = 120.0
SENTENCE = (
    "Our order of the third of May has not arrived, and the shop says that it was handed over to "
    "the carrier on Monday; please tell us where it is, or send the two lamps again. "
)
"""Thirty-eight tokens or so; nothing personal is in it."""


@dataclass
class Measured:
    """One request after the other.

    Attributes:
        cpu_ms: CPU of the process, of each.
        overhead_ms: as the answer says it, of each.
        headings: milliseconds of all together, by heading.
        stages: the same by stage; ``target`` is waiting for the provider.
    """

    cpu_ms: list[float] = field(default_factory=list)
    overhead_ms: list[float] = field(default_factory=list)
    headings: dict[str, float] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)

    def add(self, cpu_s: float, record: Mapping[str, Any]) -> None:
        """Count one request, by its decision record."""
        self.cpu_ms.append(cpu_s * 1000)
        self.overhead_ms.append(sum(record["headings"].values()) * 1000)
        for found, told in ((self.headings, record["headings"]), (self.stages, record["stages"])):
            for name, seconds in told.items():
                found[name] = found.get(name, 0.0) + seconds * 1000

    def shares(self) -> dict[str, float]:
        """Of the time without waiting for targets, by heading, in percent."""
        whole = sum(self.headings.values()) or 1.0
        return {each.value: 100 * self.headings.get(each, 0.0) / whole for each in Heading}


def prompt(tokens: int) -> str:
    """A text of about so many tokens, at four characters each."""
    return (SENTENCE * (tokens * 4 // len(SENTENCE) + 1))[: tokens * 4]


def measure(requests: int, tokens: int = 500, router: Mapping[str, Any] | None = None) -> Measured:
    """Send so many; ``router`` is what configuration says beside the benchmark's own."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        port = free_port()
        stand_in = [sys.executable, "-m", "benchmarks.gateway.stand_in", "--port", str(port)]
        pid = stack.enter_context(running(stand_in, f"http://{_HOST}:{port}/"))
        cores = os.sched_getaffinity(0)
        if len(cores) > 1:
            pin(pid, lambda _: {max(cores)})
            os.sched_setaffinity(0, cores - {max(cores)})
            stack.callback(os.sched_setaffinity, 0, cores)
        wanted = settings(f"http://{_HOST}:{port}/v1", Path(folder))
        if router:
            given = wanted.model_dump(mode="json", exclude_unset=True)
            given["router"] = {**given["router"], **router}
            wanted = Settings.model_validate(given)
        return uvloop.run(_measured(wanted, requests, prompt(tokens)))


async def _measured(wanted: Settings, requests: int, text: str) -> Measured:
    found = Measured()
    router = alone(wanted)
    settle_heap()
    try:
        await _answers(router, text)
        for number in range(-_WARM, requests):
            before = time.process_time()
            identity = await _ask(router, f"{text} Number {number}.")
            spent = time.process_time() - before
            if number >= 0:
                found.add(spent, await router.records.find(identity))
    finally:
        await router.aclose()
    return found


async def _answers(router: RouterProcess, text: str) -> None:
    """Returns when it answers: models load while it starts."""
    deadline = time.monotonic() + _START_S
    while True:
        try:
            await _ask(router, text)
            return
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.2)


async def _ask(router: RouterProcess, text: str) -> str:
    """One whole chat; the decision's id."""
    body = {"model": f"{PROVIDER}/{MODEL}", "messages": [{"role": "user", "content": text}]}
    raw = orjson.dumps(body)
    sent = asyncio.Event()
    headers: dict[bytes, bytes] = {}
    statuses: list[int] = []
    said: list[bytes] = []
    parts = iter([{"type": "http.request", "body": raw, "more_body": False}])

    async def receive() -> dict[str, Any]:
        part = next(parts, None)
        if part is not None:
            return part
        await sent.wait()
        return {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers.update(message["headers"])
            statuses.append(message["status"])
            return
        said.append(message.get("body", b""))
        if not message.get("more_body"):
            sent.set()

    path = "/v1/chat/completions"
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "client": (_HOST, 1),
        "server": (_HOST, 8000),
        "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")],
    }
    await router.door(scope, receive, send)
    if statuses != [200]:
        raise RuntimeError(f"a request was answered with {statuses}: {b''.join(said)[:500]!r}")
    return headers[b"x-graftwork-decision-id"].decode()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=500)
    given = parser.parse_args()
    for names in ("none", "builtin"):
        found = measure(given.requests, given.tokens, with_names(names))
        print(
            f"{given.requests} requests of about {given.tokens} tokens, one after the other; ",
            end="",
        )
        print(f"names are found by: {names}\n")
        _print(found)


def with_names(who: str) -> dict[str, Any]:
    """Configuration under which names of persons and places are found by this."""
    return {"governance": {"pii": {"names": who}}}


def _print(found: Measured) -> None:
    cpu = statistics.quantiles(found.cpu_ms, n=100)
    wall = statistics.quantiles(found.overhead_ms, n=100)
    print("| | p50 ms | p99 ms |\n| --- | ---: | ---: |")
    print(f"| CPU of the process | {cpu[49]:.2f} | {cpu[98]:.2f} |")
    print(f"| overhead, waiting for the disk included | {wall[49]:.2f} | {wall[98]:.2f} |\n")
    print("| stage | mean ms |\n| --- | ---: |")
    for stage, total in sorted(found.stages.items(), key=lambda each: -each[1]):
        if stage != TARGET:
            print(f"| {stage} | {total / len(found.cpu_ms):.4f} |")
    print()


if __name__ == "__main__":
    main()
