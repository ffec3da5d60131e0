"""Bodies on their way to the registry: what the client did wrong is not the registry's silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.aliases import Peer, RoutingTable
from router.admin.proxy import AdminProxy
from router.admit.keys import LOCAL
from router.errors import TooLarge
from router.replicas.fair import FairLimits, FairQueues
from router.replicas.table import TableHolder
from router.wire.asgi import ASGIApp, ClientLeft, Message, Scope
from tests.fakes.running_router import served

LIMIT = 4096
PIECE: Message = {"type": "http.request", "body": b"x" * 1024, "more_body": True}
LEFT: Message = {"type": "http.disconnect"}


async def takes_all(_: Any, receive: Any, send: Any) -> None:
    """A registry with no limit of its own: it answers when it has the whole body."""
    while (message := await receive())["type"] == "http.request" and message.get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 201, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


@asynccontextmanager
async def in_front_of(registry: ASGIApp) -> AsyncIterator[AdminProxy]:
    """The proxy, and a server of this app."""
    async with served(registry) as url:
        holder = TableHolder(FairQueues(FairLimits()))
        peer = Peer(id="registry", url=url, secret="s")
        holder.apply(RoutingTable(revision=1, base_id="tiny", registry=peer))
        made = AdminProxy(holder, (), LIMIT)
        yield made
        await made.aclose()


@pytest.fixture
async def proxy() -> AsyncIterator[AdminProxy]:
    """In front of one that takes everything."""
    async with in_front_of(takes_all) as made:
        yield made


def asked(method: str, path: bytes) -> Scope:
    """Of an operator without a key."""
    return {
        "method": method,
        "raw_path": path,
        "headers": [],
        "caller": LOCAL,
        "request_id": "req_1",
    }


async def pushed(proxy: AdminProxy, *messages: Message) -> int:
    """The status that is passed on for a body in these pieces, whose length nobody declared."""
    waiting = list(messages)
    statuses = []

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await proxy.forward(asked("POST", b"/admin/v1/adapters/returns/versions"), receive, send)
    return int(statuses[0])


async def test_a_body_over_the_limit_is_the_clients_mistake(proxy: AdminProxy) -> None:
    """413, though the HTTP library only sees that a body broke off; the limit itself fits (D26)."""
    last = {**PIECE, "more_body": False}
    assert await pushed(proxy, *[PIECE] * 3, last) == 201
    with pytest.raises(TooLarge, match="4096 bytes"):
        await pushed(proxy, *[PIECE] * 5, last)


async def test_a_client_that_leaves_is_nobodys_failure(proxy: AdminProxy) -> None:
    """It hears nothing, and nothing is said of the registry."""
    with pytest.raises(ClientLeft):
        await pushed(proxy, PIECE, LEFT)


async def test_a_stream_that_nobody_follows_any_more_ends() -> None:
    """Quiet as it is: the registry hears at once that its client has left."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def events(_: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b": connected", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        ended.set()

    async def receive() -> Message:
        await begun.wait()
        return LEFT

    async def send(message: Message) -> None:
        if message.get("body"):
            begun.set()

    async with in_front_of(events) as proxy, asyncio.timeout(60):
        with pytest.raises(ClientLeft):
            await proxy.forward(asked("GET", b"/admin/v1/events"), receive, send)
        await ended.wait()
