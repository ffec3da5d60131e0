"""`python -m benchmarks.slow`: what others notice of two hundred clients that are slow on purpose.

The real HAProxy with what `haproxy.sh` adds, and the real router before a stand-in engine, in one
process on loopback. Of the slow clients a quarter never ends its headers, a quarter never ends its
body, and half ask for a stream of 10 MB, more than sockets hold, and read none of it but its head.
Beside them four clients send whole chats one after the other. Prints their latency without and with
the slow ones, who of these were given up, and when they were gone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import orjson

from adapters.aliases import Alias, Replica, RoutingTable, engine_name
from serving.router.compose import RouterProcess
from tests.fakes.engine import FakeEngine, Says
from tests.fakes.fronted import fronted
from tests.fakes.router_process import router
from tests.fakes.running_router import served

BASE, LONG = "tiny", "long"
_AT_ONCE = 4
_LIMIT_S = 6.0
_COMING_S = 0.06
"""Between two slow clients: one process plays all parts, and what it sends them first is work."""
_WATCH_S = 60.0
_POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"


def _chat(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}], **more}


async def _others(front: str, requests: int) -> list[float]:
    """Seconds of each request of clients that behave; raises for one that failed."""
    found: list[float] = []

    async def one(client: httpx.AsyncClient) -> None:
        for _ in range(requests // _AT_ONCE):
            began = time.perf_counter()
            answer = await client.post(f"{front}/v1/chat/completions", json=_chat(BASE))
            answer.raise_for_status()
            found.append(time.perf_counter() - began)

    async with httpx.AsyncClient(timeout=60, trust_env=False) as client:
        await asyncio.gather(*(one(client) for _ in range(_AT_ONCE)))
    return found


def _slow_ones(front: str, number: int) -> list[socket.socket]:
    host, port = front.removeprefix("http://").split(":")
    body = orjson.dumps(_chat(LONG, stream=True))
    stream = _POST + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    kinds = (_POST[:30], _POST + b"Content-Length: 5000\r\n\r\n{", stream, stream)
    found = []
    for each in range(number):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect((host, int(port)))
        one.sendall(kinds[each % len(kinds)])
        found.append(one)
        time.sleep(_COMING_S)
    return found


def _streams(held: Sequence[socket.socket]) -> int:
    """How many got the head of a stream; nothing more is read of it."""
    for one in held:
        one.settimeout(0.05)
    begun = 0
    for one in held:
        with contextlib.suppress(TimeoutError, ConnectionError):
            begun += one.recv(16).startswith(b"HTTP/1.1 200")
    return begun


def _told(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    worst = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"p50 {statistics.median(ordered) * 1000:.1f} ms, p99 {worst * 1000:.1f} ms"


async def _gone(process: RouterProcess) -> float:
    """Seconds until the router holds none of the slow ones any more."""
    began = time.perf_counter()
    while process.door.receiving or process.door.under_way:
        if time.perf_counter() - began > _WATCH_S:
            raise SystemExit(f"slow clients still hold places after {_WATCH_S:g} s")
        await asyncio.sleep(0.1)
    return time.perf_counter() - began


async def _run(state: Path, slow: int, requests: int) -> None:
    words = Says(" ".join(["word" * 4000] * 640))
    digest = "d" * 64
    name = engine_name(LONG, digest)
    limits = {"limits": {"body_timeout_s": _LIMIT_S, "write_timeout_s": _LIMIT_S}}
    async with FakeEngine({BASE: Says("one two three"), name: words}) as engine:
        secret = "in-process"  # noqa: S105 - nobody else gets to that port
        place = Replica(id="r1", url=engine.url, secret=secret, resident=frozenset({name}))
        long = Alias(name=LONG, live=digest, versions=(digest,))
        table = RoutingTable(revision=1, base_id=BASE, aliases={LONG: long}, replicas=(place,))
        async with (
            router(state / "state", limits, table) as (_, process),
            served(process.door) as url,
            fronted(state / "run", url, headers_s=int(_LIMIT_S)) as front,
        ):
            await _others(front, _AT_ONCE * 5)
            print(f"alone:            {_told(await _others(front, requests))}")
            held = await asyncio.to_thread(_slow_ones, front, slow)
            print(f"beside {slow} slow:  {_told(await _others(front, requests))}, none failed")
            reading = await asyncio.to_thread(_streams, held)
            print(f"slow ones gone:   {await _gone(process):.1f} s later (limits {_LIMIT_S:g} s)")
            given_up = process.door.given_up
            print(f"slow readers:     {reading} streams had begun, {given_up} were given up")
            for one in held:
                one.close()


def main() -> None:
    """Run once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slow", type=int, default=200)
    parser.add_argument("--requests", type=int, default=400)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gw-") as state:
        asyncio.run(_run(Path(state), given.slow, given.requests))


if __name__ == "__main__":
    main()
