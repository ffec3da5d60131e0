"""The real HAProxy, with what is added to Ray Serve's configuration, before the real door."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from adapters.aliases import Replica, RoutingTable
from tests.fakes.engine import FakeEngine, Says
from tests.fakes.fronted import fronted
from tests.fakes.router_process import router
from tests.fakes.running_router import served

BASE = "tiny"
CHAT: dict[str, Any] = {"model": BASE, "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
async def endpoint(tmp_path: Path) -> AsyncIterator[tuple[str, FakeEngine]]:
    """HAProxy, the door and an engine."""
    async with FakeEngine({BASE: Says("one two three")}) as engine:
        place = Replica(id="r1", url=engine.url, secret="s")
        table = RoutingTable(revision=1, base_id=BASE, replicas=(place,))
        limits = {"limits": {"body_timeout_s": 3.0}}
        async with (
            router(tmp_path / "state", limits, table) as (_, process),
            served(process.door) as url,
            fronted(tmp_path / "run", url) as front,
        ):
            yield front, engine


async def raw(url: str, request: bytes) -> bytes:
    """What comes back on a connection until it ends."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(60):
        try:
            return await reader.read()
        finally:
            writer.close()
            await writer.wait_closed()


async def test_websockets_and_steering_headers(tmp_path: Path) -> None:
    """Offers of WebSockets hear 426 and JSON; what steers Ray Serve does not reach it."""
    seen: list[dict[bytes, bytes]] = []

    async def app(scope: dict[str, Any], _: Any, send: Any) -> None:
        seen.append(dict(scope["headers"]))
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    async with served(app) as url, fronted(tmp_path / "run", url) as front:
        async with httpx.AsyncClient(timeout=60) as client:
            steering = {
                "x-request-timeout-seconds": "0.001",
                "x-request-disconnect-disabled": "?1",
                "serve_multiplexed_model_id": "x",
                "x-request-id": "mine-1",
            }
            assert (await client.get(front, headers=steering)).text == "ok"
            odd = {b"x-request-id": b"\xff\xfe"}
            assert (await client.get(front, headers=odd)).text == "ok"
        assert seen[0][b"x-request-id"] == b"mine-1"
        assert not {name for name in seen[0] if b"request-" in name and name != b"x-request-id"}
        assert b"serve_multiplexed_model_id" not in seen[0]
        assert b"x-request-id" not in seen[1]
        answer = await raw(
            front,
            b"GET /v1/responses HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n",
        )
        assert len(seen) == 2
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 426")
    assert orjson.loads(body)["error"]["code"] == "websocket_not_supported"


async def test_two_hundred_slow_clients_do_not_keep_others_out(
    endpoint: tuple[str, FakeEngine],
) -> None:
    """Slow headers and bodies are given up, stalled readers wait; others are served all along."""
    front = endpoint[0]
    host, port = front.removeprefix("http://").split(":")
    body = orjson.dumps({**CHAT, "stream": True})
    post = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
    whole = post + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    halves = (post[:30], post + b"Content-Length: 5000\r\n\r\n{", whole, whole)
    slow: list[socket.socket] = []
    for number in range(200):
        each = socket.create_connection((host, int(port)), 60)
        each.sendall(halves[number % len(halves)])
        slow.append(each)
    try:
        quick = orjson.dumps(CHAT)
        request = post + b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(quick), quick)
        for _ in range(20):
            # In a thread: on this loop, busy with the others, it would connect and then say nothing
            # for a while, and be given up as one of them.
            answer = await asyncio.to_thread(_ask, (host, int(port)), request)
            assert answer.startswith(b"HTTP/1.1 200"), answer
        async with asyncio.timeout(60):
            ends = [await asyncio.to_thread(_end, each) for each in slow[:2]]
        assert [end.split(b" ")[1] for end in ends] == [b"408", b"408"]
        # Of headers that never come HAProxy knows no path, and answers in its own words.
        assert orjson.loads(ends[1].partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"
    finally:
        for each in slow:
            each.close()


async def test_headers_that_trickle_are_given_up(endpoint: tuple[str, FakeEngine]) -> None:
    """A client that sends something again and again is never quiet: all headers have one limit."""
    host, port = endpoint[0].removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n")

    async def trickle() -> None:
        while True:
            writer.write(b"X-More: 1\r\n")
            await asyncio.sleep(0.2)

    sending = asyncio.create_task(trickle())
    try:
        async with asyncio.timeout(60):
            assert (await reader.read(12)) == b"HTTP/1.1 408"
    finally:
        sending.cancel()
        writer.close()


def _ask(place: tuple[str, int], request: bytes) -> bytes:
    with socket.create_connection(place, 60) as connection:
        connection.sendall(request)
        return _end(connection)


def _end(connection: socket.socket) -> bytes:
    connection.settimeout(60)
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


async def test_old_clients_get_no_chunk_sizes_through_it(endpoint: tuple[str, FakeEngine]) -> None:
    """HTTP/1.0 from end to end (D29)."""
    body = orjson.dumps({**CHAT, "stream": True})
    answer = await raw(
        endpoint[0],
        b"POST /v1/chat/completions HTTP/1.0\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body),
    )
    _, _, text = answer.partition(b"\r\n\r\n")
    lines = [line for line in text.split(b"\n") if line]
    assert all(line.startswith((b"data: ", b": ")) for line in lines), lines
