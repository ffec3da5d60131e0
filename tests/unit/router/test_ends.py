"""However a request ends, its books and its record say so: seen from outside, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from adapters.aliases import Replica
from router.budgets.accounts import Metric
from router.delivery import Outgoing
from router.exchange import Account, Exchange
from router.respond import Client
from router.wire.asgi import Bodies, Message
from router.wire.endpoint import Usage
from router.wire.events import Events, Piece
from serving.router.compose import RouterProcess
from tests.fakes.engine import FakeEngine, Says
from tests.fakes.exchanges import BASE_ID, exchange, table
from tests.fakes.router_process import router
from tests.fakes.running_router import served

HELLO = [{"role": "user", "content": "How do I return a lamp?"}]
CHAT: dict[str, Any] = {"model": "base", "messages": HELLO, "max_tokens": 9}
LIMITS = {"limits": [{"name": "all", "window": "total", "tokens": 1_000_000}], "authority": "local"}


@asynccontextmanager
async def running(
    root: Path, says: Says, **config: Any
) -> AsyncIterator[tuple[str, RouterProcess, FakeEngine]]:
    """A router on a port, with budgets, and an engine that says this."""
    async with FakeEngine({BASE_ID: says}) as engine:
        places = (Replica(id="r1", url=engine.url, secret="s"),)
        config = {"budgets": LIMITS, **config}
        async with (
            router(root, config, table(replicas=places)) as (_, process),
            served(process.door) as url,
        ):
            yield url, process, engine


async def until(holds: Callable[[], object]) -> None:
    """Wait for it."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - what it looks at has no event
            await asyncio.sleep(0.01)


def tokens(process: RouterProcess) -> tuple[int, int]:
    """What a router's budget counts as spent, and as set aside."""
    [found] = [
        each
        for each in process._accounting.leased_limits.all()
        if each.account.metric is Metric.TOKENS
    ]
    return found.spent, found.held


async def newest(url: str) -> dict[str, Any]:
    """The newest decision's record."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        listed = (await client.get("/admin/v1/decisions?limit=1")).json()["data"]
        return dict((await client.get(f"/admin/v1/decisions/{listed[0]['id']}")).json())


async def metric(url: str, name: str) -> float:
    """What a scrape says."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        lines = (await client.get("/metrics")).text.splitlines()
    (value,) = [line.split()[-1] for line in lines if line.split("{")[0].split()[:1] == [name]]
    return float(value)


async def test_who_waits_for_an_engine_is_counted(tmp_path: Path) -> None:
    """The queue ahead of the engines has a limit and a metric (law 9)."""
    says = Says("one two three", pause_after=1)
    fairness = {"max_in_flight_per_replica": 1}
    async with running(tmp_path, says, fairness=fairness) as (url, process, engine):
        first, _ = await begun(url, {**CHAT, "stream": True})
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            second = asyncio.create_task(client.post("/v1/chat/completions", json=CHAT))
            await until(lambda: process.door.under_way == 2)
            await until(lambda: process.holder.queues.queued() == 1)
            assert (await metric(url, "graftwork_queued_requests")) == 1
            says.go.set()
            assert (await second).status_code == 200
        assert (await metric(url, "graftwork_queued_requests")) == 0
        assert len(engine.requests) == 2
        first.close()


async def begun(url: str, body: dict[str, Any]) -> tuple[asyncio.StreamWriter, bytes]:
    """A connection on which an answer's first bytes came."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    raw = orjson.dumps(body)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(raw)}"
    writer.write(f"{head}\r\nContent-Type: application/json\r\n\r\n".encode() + raw)
    async with asyncio.timeout(30):
        seen = await reader.readuntil(b"one")
    return writer, seen


@pytest.mark.parametrize("abruptly", [True, False])
async def test_a_client_that_leaves_between_first_and_last_byte(
    tmp_path: Path, abruptly: bool
) -> None:
    """The engine stops, what came is paid, nothing stays set aside, and the record says why."""
    says = Says("one two three", pause_after=1)
    async with running(tmp_path, says) as (url, process, engine):
        writer, _ = await begun(url, {**CHAT, "stream": True})
        assert process.door.under_way == 1
        assert tokens(process)[1] > 0
        if abruptly:
            sock: socket.socket = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.close()
        await until(lambda: engine.left_early == 1)
        await until(lambda: process.door.under_way == 0 and tokens(process)[1] == 0)
        spent, _ = tokens(process)
        record = await newest(url)
        assert (record["status"], record["error"]) == (499, "client_left")
        (attempt,) = record["attempts"]
        assert attempt["outcome"] == "cancelled"
        assert attempt["estimated"]
        assert attempt["input_tokens"] + attempt["output_tokens"] == spent > 0


async def test_more_than_there_is_room_for_are_turned_away_after_their_bodies_came(
    tmp_path: Path,
) -> None:
    """All are admitted while nobody is under way; then only as many as may begin do (law 9)."""
    says = Says("one two three", pause_after=1)
    limits = {"max_concurrent_requests": 2}
    config = {"limits": limits, "governance": {"safety": {"enabled": False}}}
    async with running(tmp_path, says, **config) as (url, process, engine):
        host, port = url.removeprefix("http://").split(":")
        raw = orjson.dumps({**CHAT, "stream": True})
        head = (
            "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
        ).encode()
        waiting = [await asyncio.open_connection(host, int(port)) for _ in range(5)]
        for _, writer in waiting:
            writer.write(head + raw[:1])
        await until(lambda: process.door.receiving == 5)
        for _, writer in waiting:
            writer.write(raw[1:])
        await until(lambda: process.door.receiving == 0 and len(engine.requests) == 2)
        assert process.door.under_way == 2
        assert (await metric(url, "graftwork_engine_connections")) == 2
        assert (await metric(url, "graftwork_queued_requests")) == 0
        says.go.set()
        async with asyncio.timeout(30):
            answers = await asyncio.gather(*(reader.read() for reader, _ in waiting))
        assert len(engine.requests) == 2
        statuses = sorted(int(each.split()[1]) for each in answers)
        assert statuses == [200, 200, 503, 503, 503]
        assert sum(b'"overloaded"' in each for each in answers) == 3
        for _, writer in waiting:
            writer.close()


# What nobody foresaw


class Whatever:
    """An answer that is a stream."""

    status = 200
    content_type = "text/event-stream"
    usage = Usage()

    def chunks(self) -> AsyncIterator[Piece]:
        """One event, then something nobody foresaw."""
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[Piece]:
        yield Events(b'data: {"choices":[]}\n\n')
        raise ZeroDivisionError

    async def aclose(self) -> None:
        """Nothing is open."""


async def _at_once(_: Account) -> None:
    """The begin is on disk."""


async def _never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def test_what_nobody_foresaw_ends_a_stream_with_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The client gets its API's error and no end as of an answer; the record calls it broken."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    found: Exchange = exchange("base")
    client = Client({}, _never, send, Bodies(1024, 1.0))
    answer: Outgoing = Whatever()
    with pytest.raises(ZeroDivisionError) as caught:
        await client.pass_on(found, answer, (), _at_once)
    client.fail(found, caught.value)
    assert (found.account.status, found.account.error) == (200, "internal_error")
    await client.finish(found)
    last = sent[-1]
    assert not last.get("more_body", False)
    assert b'"code":"internal_error"' in last["body"]
    assert "unexpected error" in caplog.text


async def test_what_nobody_foresaw_at_the_door_has_the_shape_of_an_error(tmp_path: Path) -> None:
    """Not the server's own page."""
    async with running(tmp_path, Says("one")) as (url, process, _):
        process.door._ids.new = lambda _: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            answer = await client.post(
                "/v1/chat/completions", json=CHAT, headers={"x-request-id": "mine"}
            )
            assert answer.status_code == 500
            assert answer.json()["error"]["code"] == "internal_error"
            assert answer.headers["x-request-id"] == "mine"
