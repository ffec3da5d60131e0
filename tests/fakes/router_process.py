"""A whole router over fake engines and providers, called through its ASGI door; no Ray."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from adapters.aliases import RoutingTable
from serving.config.settings import Settings
from serving.internal.server import tcp_listener
from serving.router.compose import RouterProcess

HOST = "http://127.0.0.1"


@asynccontextmanager
async def router(
    state: Path,
    config: Mapping[str, Any],
    table: RoutingTable,
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[httpx.AsyncClient, RouterProcess]]:
    """A router with this configuration and table, and a client of it."""
    settings = Settings.model_validate({"state_dir": str(state), "router": dict(config)})
    process = RouterProcess(settings, "router-1", environ or {})
    process.holder.apply(table)
    process.start()
    door: Any = process.door
    transport = httpx.ASGITransport(door)
    try:
        async with httpx.AsyncClient(transport=transport, base_url=HOST, timeout=60) as client:
            yield client, process
    finally:
        await process.aclose()


@asynccontextmanager
async def listening(
    state: Path, config: Mapping[str, Any], table: RoutingTable
) -> AsyncIterator[str]:
    """A router on a real port; its URL."""
    async with router(state, config, table) as (_, process):
        with tcp_listener("127.0.0.1") as listener:
            app: Any = process.door
            server = uvicorn.Server(uvicorn.Config(app, lifespan="off", ws="none", log_config=None))
            serving = asyncio.create_task(server.serve([listener]))
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.005)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True
            await serving
