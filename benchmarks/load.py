"""A closed-loop HTTP/1.1 load generator that costs little CPU: one connection per client."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httptools


@dataclass(frozen=True)
class Figures:
    """What one run measured. Latencies in milliseconds."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float
    failed: int
    answered: int

    def __str__(self) -> str:
        """One readable line."""
        return (
            f"{self.requests_per_s:8.1f} req/s  p50 {self.p50_ms:7.2f} ms  "
            f"p99 {self.p99_ms:7.2f} ms  failed {self.failed}"
        )


@dataclass(frozen=True)
class _Load:
    requests: Sequence[bytes]
    pace_s: float
    ending: bytes


class _Client(asyncio.Protocol):
    """Sends the next request as soon as the last is answered, or when its turn has come."""

    def __init__(self, load: _Load, until: float, latencies: list[float]) -> None:
        self._requests = itertools.cycle(load.requests)
        self._pace_s = load.pace_s
        self._ending = load.ending
        self._until = until
        self._latencies = latencies
        self._sent = 0.0
        self._tail = b""
        self._ended = False
        self.failed = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        if self._ending:
            self._tail = (self._tail + data)[-len(self._ending) :]

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        tail, self._tail = self._tail, b""
        if self._parser.get_status_code() == 200 and tail == self._ending:
            self._latencies.append(now - self._sent)
        else:
            self.failed += 1
        if now >= self._until:
            self._ended = True
            self._transport.close()
            return
        self._parser = httptools.HttpResponseParser(self)
        # Spread, so that paced clients do not march in step.
        wait_s = self._pace_s * random.uniform(0.5, 1.5) - (now - self._sent)  # noqa: S311
        asyncio.get_running_loop().call_later(max(0.0, wait_s), self._send)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None or not self._ended:
            self.failed += 1
        if not self.done.done():
            self.done.set_result(None)


def post(
    host: str, port: int, path: str, body: bytes, headers: Mapping[str, str] | None = None
) -> bytes:
    """The bytes of one POST."""
    more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
        f"{more}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def run(
    host: str,
    port: int,
    request: bytes | Sequence[bytes],
    clients: int,
    seconds: float,
    pace_s: float = 0.0,
    ending: bytes = b"",
) -> Figures:
    """Keep ``clients`` at work for ``seconds``; returns what that gave.

    Args:
        host: where the server listens.
        port: its port.
        request: one request, or several that each client sends in turn.
        clients: connections, each with one request under way at most.
        seconds: how long.
        pace_s: mean time between two requests of a client; 0: one after the other.
        ending: what every answer has to end with; any other one has failed.
    """
    requests = [request] if isinstance(request, bytes) else request
    load = _Load(requests, pace_s, ending)
    loop, latencies = asyncio.get_running_loop(), list[float]()
    started = time.perf_counter()
    protocols = [
        (
            await loop.create_connection(
                lambda: _Client(load, started + seconds, latencies), host, port
            )
        )[1]
        for _ in range(clients)
    ]
    await asyncio.wait_for(asyncio.gather(*(p.done for p in protocols)), seconds + 60)
    elapsed = time.perf_counter() - started
    cuts = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else [math.nan] * 99
    return Figures(
        requests_per_s=len(latencies) / elapsed,
        p50_ms=cuts[49] * 1000,
        p99_ms=cuts[98] * 1000,
        failed=sum(p.failed for p in protocols),
        answered=len(latencies),
    )
