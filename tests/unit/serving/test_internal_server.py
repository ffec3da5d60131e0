"""The internal server of a process: when it has ended, the process's health check knows."""

from __future__ import annotations

import asyncio
import socket

import pytest
from starlette.applications import Starlette

from serving.internal.server import InternalServer, tcp_listener


async def test_a_server_that_ended_by_itself_fails_the_health_check() -> None:
    """Otherwise the process would report itself alive while nobody can reach it."""
    server = InternalServer("127.0.0.1")
    server.check()
    await server.start(Starlette())  # type: ignore[arg-type]
    server.check()
    assert server._task is not None
    assert server._server is not None
    server._task.cancel()
    for listening in server._server.servers:
        listening.close()
    await asyncio.wait({server._task}, timeout=60)
    with pytest.raises(OSError, match="has ended"):
        server.check()


async def test_a_server_that_was_stopped_is_well() -> None:
    """A process that drains is not replaced for it."""
    server = InternalServer("127.0.0.1")
    await server.start(Starlette())  # type: ignore[arg-type]
    await server.stop()
    server.check()


async def test_no_answer_waits_for_an_acknowledgement() -> None:
    """What it accepts sends at once (no Nagle): a head and a body are two writes."""
    accepted: asyncio.Queue[int] = asyncio.Queue()

    def look(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw = writer.get_extra_info("socket")
        accepted.put_nowait(raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    with tcp_listener("127.0.0.1") as listener:
        server = await asyncio.start_server(look, sock=listener)
        _, writer = await asyncio.open_connection(*listener.getsockname())
        async with asyncio.timeout(60):
            assert await accepted.get() == 1
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
