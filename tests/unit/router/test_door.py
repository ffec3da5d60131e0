"""The door with real sockets: old and odd clients, misspelt paths, what nobody foresaw."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from backports import zstd

from adapters.aliases import Replica, RoutingTable
from router.wire.asgi import ClientLeft, Message, Send, SlowReaders, send_body
from router.wire.protocols import WholeAnswers
from serving.router.compose import RouterProcess
from tests.fakes.asgi_client import ask
from tests.fakes.clock import run_in_fake_time
from tests.fakes.engine import FakeEngine, Says
from tests.fakes.router_process import router
from tests.fakes.running_router import served

BASE = "tiny"
CHAT: dict[str, Any] = {"model": BASE, "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[tuple[str, RouterProcess]]:
    """A router on a port, with an engine behind it."""
    async with FakeEngine({BASE: Says("one two three")}) as engine:
        place = Replica(id="r1", url=engine.url, secret="s")
        table = RoutingTable(revision=1, base_id=BASE, replicas=(place,))
        async with router(tmp_path, {}, table) as (_, process), served(process.door) as url:
            yield url, process


async def raw(url: str, request: bytes) -> tuple[bytes, bytes]:
    """Send bytes, read to the end of the connection: head and body."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


# HTTP/1.0


@pytest.mark.parametrize("stream", [True, False])
async def test_an_old_client_gets_no_chunk_sizes(
    door: tuple[str, RouterProcess], stream: bool
) -> None:
    """HTTP/1.0 has no chunks: the answer has its length, and is the answer alone."""
    body = orjson.dumps({**CHAT, "stream": stream})
    request = (
        b"POST /v1/chat/completions HTTP/1.0\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    head, answer = await raw(door[0], request)
    assert b"transfer-encoding" not in head.lower()
    assert b"content-length: %d" % len(answer) in head.lower()
    if stream:
        lines = [line for line in answer.split(b"\n") if line]
        assert all(line.startswith((b"data: ", b": ")) for line in lines)
        assert b"data: [DONE]" in lines
    else:
        assert orjson.loads(answer)["choices"]


async def test_an_old_client_gets_lists_too(door: tuple[str, RouterProcess]) -> None:
    """What has a length already keeps it."""
    head, answer = await raw(door[0], b"GET /v1/models HTTP/1.0\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert orjson.loads(answer)["object"] == "list"


async def _streamed(send: Send, *parts: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def test_answers_to_old_clients_share_a_limit() -> None:
    """What is held of all of them is bounded; who finds no room hears which version to speak."""
    answers, told = WholeAnswers(limit_bytes=10), list[list[Message]]([[], [], []])
    scope = {"type": "http", "method": "POST", "path": "/v1/messages"}

    async def tell(number: int, message: Message) -> None:
        told[number].append(message)

    first, second, third = (partial(tell, number) for number in range(3))
    with answers.held(scope, first) as slow:
        await slow({"type": "http.response.start", "status": 200, "headers": []})
        await slow({"type": "http.response.body", "body": b"123456", "more_body": True})
        assert answers.held_bytes == 6
        with answers.held(scope, second) as short:
            await _streamed(short, b"12", b"34")
        with pytest.raises(ClientLeft), answers.held(scope, third) as long:
            await _streamed(long, b"123", b"45")
        assert answers.held_bytes == 6
        await slow({"type": "http.response.body", "body": b"7890"})
    assert answers.held_bytes == 0
    assert [each[1]["body"] for each in told[:2]] == [b"1234567890", b"1234"]
    start, body = told[2]
    assert start["status"] == 426
    assert (b"upgrade", b"HTTP/1.1") in start["headers"]
    assert orjson.loads(body["body"])["error"]["message"] == "So long an answer needs HTTP/1.1."


async def test_an_answer_with_its_length_is_not_held() -> None:
    """It passes as it comes, however long it is."""
    answers, told = WholeAnswers(limit_bytes=1), list[Message]()

    async def tell(message: Message) -> None:
        told.append(message)

    with answers.held({}, tell) as send:
        await send_body(send, 200, b"12345", b"text/plain")
        assert answers.held_bytes == 0
    assert [each["type"][14:] for each in told] == ["start", "body"]


# WebSockets


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions", "/nowhere"])
async def test_an_offer_of_websockets_is_declined_at_once(
    door: tuple[str, RouterProcess], path: str
) -> None:
    """426 and JSON, so that a client that tries them first goes on by HTTP."""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    head, body = await raw(door[0], request.encode())
    assert head.startswith(b"HTTP/1.1 426")
    assert orjson.loads(body)["error"]["code"] == "websocket_not_supported"
    assert b"upgrade: HTTP/1.1" in head


async def test_a_server_that_speaks_websockets_declines_too(
    door: tuple[str, RouterProcess],
) -> None:
    """Where the server took the handshake for one, its denial has the same body."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "websocket", "path": "/v1/responses", "headers": []}
    await door[1].door({**scope, "extensions": {"websocket.http.response": {}}}, receive, send)
    start, body = sent
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 426)
    assert orjson.loads(body["body"])["error"]["code"] == "websocket_not_supported"
    sent.clear()
    await door[1].door(scope, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


# Packed bodies


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd.compress), ("identity", bytes)]
)
async def test_packed_requests_are_answered(
    door: tuple[str, RouterProcess], encoding: str, pack: Any
) -> None:
    """As Codex and others send them; what packed them does not reach the target."""
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"{door[0]}/v1/chat/completions",
            content=pack(orjson.dumps(CHAT)),
            headers={"content-type": "application/json", "content-encoding": encoding},
        )
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "one two three"


# Paths


@pytest.mark.parametrize(
    "path",
    [
        "/v1/v1/chat/completions",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/chat/completions/",
        "//v1//v1/v1/chat/completions//",
    ],
)
async def test_a_misspelt_path_is_answered(door: tuple[str, RouterProcess], path: str) -> None:
    """A base URL with ``/v1`` too often, or a slash too many, still means the endpoint."""
    reply = await ask(door[1].door, path, CHAT)
    assert reply.status == 200
    assert reply.json()["choices"]


async def test_a_misspelt_list_is_answered(door: tuple[str, RouterProcess]) -> None:
    """What is not inference too."""
    for path in ("/v1/models/", "/v1/v1/models", "/v1//models"):
        assert (await ask(door[1].door, path, None)).json()["object"] == "list"


@pytest.mark.parametrize(
    ("path", "right"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/messages", "/v1/messages"),
        ("/V1/Chat/Completions", "/v1/chat/completions"),
        ("//admin/v1/adapters", "/admin/v1/adapters"),
        ("/admin/v1/adapters/", "/admin/v1/adapters"),
        ("/healthz/", "/healthz"),
    ],
)
async def test_another_misspelt_path_is_told_the_right_one(
    door: tuple[str, RouterProcess], path: str, right: str
) -> None:
    """404 that names it. The admin plane is never answered under another spelling."""
    reply = await ask(door[1].door, path, None)
    assert reply.status == 404
    assert f"'{right}'" in reply.json()["error"]["message"]


async def test_methods_of_a_path(door: tuple[str, RouterProcess]) -> None:
    """405 with ``Allow``; plain ``OPTIONS`` says the same."""
    async with httpx.AsyncClient() as client:
        wrong = await client.put(f"{door[0]}/v1/chat/completions", json={})
        asked = await client.options(f"{door[0]}/v1/models")
        head = await client.head(f"{door[0]}/v1/models")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert wrong.json()["error"]["code"] == "method_not_allowed"
    assert (asked.status_code, asked.headers["allow"]) == (204, "GET")
    assert (head.status_code, head.content) == (200, b"")


# What nobody foresaw


async def test_whatever_breaks_is_an_answer_and_a_record(
    door: tuple[str, RouterProcess],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A defect before any target is asked: a shaped 500, the traceback in the log, a record."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(door[1].door._pipeline.intents, "classify", broken)
    reply = await ask(door[1].door, "/v1/messages", {**CHAT, "max_tokens": 5})
    assert reply.status == 500
    assert reply.json()["error"]["type"] == "api_error"
    assert "secret" not in reply.body.decode()
    assert "ZeroDivisionError: secret" in caplog.text
    found = await ask(
        door[1].door, f"/admin/v1/decisions/{reply.headers['x-graftwork-decision-id']}", None
    )
    assert (found.json()["status"], found.json()["error"]) == (500, "internal_error")


async def test_a_resource_that_breaks_is_an_answer(
    door: tuple[str, RouterProcess],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The same where no inference is: request id, envelope, and nothing of the exception."""

    async def broken(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(door[1].records, "newest", broken)
    reply = await ask(door[1].door, "/admin/v1/decisions", None, {"x-request-id": "mine"})
    assert (reply.status, reply.headers["x-request-id"]) == (500, "mine")
    assert reply.json()["error"]["code"] == "internal_error"
    assert "ZeroDivisionError: secret" in caplog.text


# Slow clients


async def test_a_reader_that_takes_nothing_is_given_up(tmp_path: Path) -> None:
    """A client that stops reading holds its slot for the write timeout, and no longer."""
    async with FakeEngine({BASE: Says("one two three")}) as engine:
        place = Replica(id="r1", url=engine.url, secret="s")
        table = RoutingTable(revision=1, base_id=BASE, replicas=(place,))
        limits = {"limits": {"write_timeout_s": 0.2}}
        async with router(tmp_path, limits, table) as (_, process):
            admission, took = process.door._pipeline.admission, []

            async def door(scope: dict[str, Any], receive: Any, send: Any) -> None:
                async def stuck(message: dict[str, Any]) -> None:
                    took.append(admission.under_way)
                    if message["type"] == "http.response.body":
                        await asyncio.Event().wait()
                    await send(message)

                await process.door(scope, receive, stuck)

            async with asyncio.timeout(60):
                reply = await ask(door, "/v1/chat/completions", {**CHAT, "stream": True})
            assert took == [1, 1]
            assert (admission.under_way, process.door._slow.given_up) == (0, 1)
            found = await ask(
                process.door,
                f"/admin/v1/decisions/{reply.headers['x-graftwork-decision-id']}",
                None,
            )
            assert (found.json()["status"], found.json()["error"]) == (499, "client_left")


def test_only_the_slow_are_given_up() -> None:
    """Who takes something in time is never cut, and a cancel from elsewhere stays one."""

    async def takes(_: Message) -> None:
        await asyncio.sleep(0.9)

    async def never(_: Message) -> None:
        await asyncio.Event().wait()

    async def scene() -> None:
        slow = SlowReaders(1)
        for number in range(6):
            await slow.guarded(takes)({"n": number})
        with pytest.raises(ClientLeft):
            await slow.guarded(never)({})
        stuck = asyncio.ensure_future(SlowReaders(60).guarded(never)({}))
        await asyncio.sleep(0)
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        assert slow.given_up == 1

    run_in_fake_time(scene())
