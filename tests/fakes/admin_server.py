"""The real admin app on a fake fleet, served from another thread, for blocking clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal

from serving.internal.server import tcp_listener
from tests.fakes.adapter_path import AdapterPath
from tests.fakes.admin_app import registry_admin
from tests.fakes.fleet import FakeFleet

_T = TypeVar("_T")


@dataclass(frozen=True)
class AdminServer:
    """A running admin plane."""

    url: str
    path: AdapterPath
    portal: BlockingPortal

    def push(self, alias: str, seed: int) -> str:
        """Publish a version from within; returns its digest."""
        return self.portal.call(self.path.push, alias, seed).digest


@contextmanager
def in_thread(manager: AbstractAsyncContextManager[_T]) -> Iterator[tuple[_T, BlockingPortal]]:
    """Enter an async context manager on an event loop in another thread."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(manager) as value:
        yield value, portal


@contextmanager
def admin_server(root: Path) -> Iterator[AdminServer]:
    """Serve the admin plane over two fake engines."""
    with in_thread(_serving(root)) as ((url, path), portal):
        yield AdminServer(url, path, portal)


@asynccontextmanager
async def _serving(root: Path) -> AsyncIterator[tuple[str, AdapterPath]]:
    path = AdapterPath(root, FakeFleet("one", "two"))
    with tcp_listener("127.0.0.1") as listener:
        config = uvicorn.Config(_app(path), ws="none", log_config=None, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listener]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", path
        path.events.close()
        server.should_exit = True
        await serving
    await path.aclose()


def _app(path: AdapterPath) -> Any:
    def replicas() -> list[dict[str, Any]]:
        return [
            {
                "id": name,
                "ready": True,
                "base": "tiny",
                "in_flight": 3,
                "resident": sorted(engine.resident),
            }
            for name, engine in path.fleet.engines.items()
        ]

    return registry_admin(path, replicas)
