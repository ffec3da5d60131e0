"""Bodies on their way to the registry: what the client did wrong is not the registry's silence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.aliases import Peer, RoutingTable
from router.admin.proxy import AdminProxy
from router.admit.keys import LOCAL
from router.errors import TooLarge
from router.replicas.fair import FairLimits, FairQueues
from router.replicas.table import TableHolder
from router.wire.asgi import ClientLeft, Message
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


@pytest.fixture
async def proxy() -> AsyncIterator[AdminProxy]:
    """The proxy in front of it."""
    async with served(takes_all) as url:
        holder = TableHolder(FairQueues(FairLimits()))
        registry = Peer(id="registry", url=url, secret="s")
        holder.apply(RoutingTable(revision=1, base_id="tiny", registry=registry))
        made = AdminProxy(holder, (), LIMIT)
        yield made
        await made.aclose()


async def pushed(proxy: AdminProxy, *messages: Message) -> int:
    """The status that is passed on for a body in these pieces, whose length nobody declared."""
    waiting = list(messages)
    statuses = []

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "method": "POST",
        "raw_path": b"/admin/v1/adapters/returns/versions",
        "headers": [],
        "caller": LOCAL,
        "request_id": "req_1",
    }
    await proxy.forward(scope, receive, send)
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
