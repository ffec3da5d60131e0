"""The internal server of a process: when it has ended, the process's health check knows."""

from __future__ import annotations

import asyncio

import pytest
from starlette.applications import Starlette

from serving.internal.server import InternalServer


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
    await asyncio.wait({server._task}, timeout=5)
    with pytest.raises(OSError, match="has ended"):
        server.check()


async def test_a_server_that_was_stopped_is_well() -> None:
    """A process that drains is not replaced for it."""
    server = InternalServer("127.0.0.1")
    await server.start(Starlette())  # type: ignore[arg-type]
    await server.stop()
    server.check()
