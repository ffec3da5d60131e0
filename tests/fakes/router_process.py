"""A whole router over fake engines and providers, called through its ASGI door; no Ray."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from adapters.aliases import RoutingTable
from serving.config.settings import Settings
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
