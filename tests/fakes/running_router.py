"""A whole router process on loopback, as the deployment wires it, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn

from adapters.aliases import Peer, RoutingTable
from serving.config.settings import Settings
from serving.internal.server import InternalServer, tcp_listener
from serving.registry.accounts.surface import AccountsSurface
from serving.registry.compose import RegistryProcess
from serving.router.compose import RouterProcess


@asynccontextmanager
async def running_router(
    settings: Settings,
    identity: str = "router-1",
    *,
    registry: Peer | None = None,
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[str, RouterProcess]]:
    """Serve one; yields its URL and itself."""
    process = RouterProcess(settings, identity, environ or {})
    process.holder.apply(RoutingTable(revision=1, base_id="tiny", registry=registry))
    process.start()
    try:
        async with served(process.door) as url:
            yield url, process
    finally:
        await process.aclose()


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """Serve an ASGI app as Ray Serve's own server does; yields its URL."""
    with tcp_listener("127.0.0.1") as listener:
        listener.listen(1024)
        config = uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
            timeout_keep_alive=90,  # a client that pauses must not meet the end of its connection
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def running_books(settings: Settings) -> AsyncIterator[tuple[Peer, AccountsSurface]]:
    """A whole registry that has nothing to watch and to seed, for its books."""
    watch = settings.adapters.watch.model_copy(update={"enabled": False})
    adapters = settings.adapters.model_copy(update={"watch": watch})
    process = RegistryProcess(
        settings.model_copy(update={"adapters": adapters, "seed_adapters": None})
    )
    server = InternalServer("127.0.0.1")
    await server.start(process.surface)
    await process.start(server.peer("registry"))
    try:
        yield server.peer("registry"), process.accounts
    finally:
        await server.stop()
        await process.aclose()


def settings_with(state_dir: Path, **router: Any) -> Settings:
    """Settings of a router that keeps its state below a folder."""
    return Settings.model_validate({"state_dir": str(state_dir), "router": router})


@asynccontextmanager
async def internal_surface(process: RouterProcess, identity: str) -> AsyncIterator[Peer]:
    """Serve what other routers ask of one."""
    server = InternalServer("127.0.0.1")
    await server.start(process.surface)
    try:
        yield server.peer(identity)
    finally:
        await server.stop()
