"""The two journeys that are walked, wired as in production, with fakes at the wire."""

from __future__ import annotations

import asyncio
import io
import tarfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.aliases import Replica, RoutingTable
from adapters.records import writer as writing
from tests.fakes.adapter_path import AdapterPath
from tests.fakes.admin_app import registry_admin
from tests.fakes.engine import FakeEngine, Says
from tests.fakes.fleet import FakeFleet
from tests.fakes.router_process import router
from tests.walk.tracer import Tracer, Walk

BASE = "tiny"
_HOST = "http://127.0.0.1"
_WRITTEN_S = 0.2
"""In which a thread has written the request's record."""
_LOADED_S = 0.05
"""In which the loop has heard of what a thread has loaded."""
_ADMIN = "/admin/v1/adapters/returns"


async def request(tracer: Tracer, state: Path) -> Walk:
    """One streamed chat to the base, the first that a fresh router gets."""
    async with FakeEngine({BASE: Says("one two three four")}) as engine:
        place = Replica(id="r1", url=engine.url, secret="s")
        table = RoutingTable(revision=1, base_id=BASE, replicas=(place,))
        with pytest.MonkeyPatch.context() as patch:
            # The log looks for room by the clock, and so sometimes while the request is under way.
            patch.setattr(writing, "ROOM_S", 3600.0)
            return await _one_chat(tracer, state, table)


async def _one_chat(tracer: Tracer, state: Path, table: RoutingTable) -> Walk:
    async with router(state, {}, table) as (client, process):
        assert process.names is not None
        await process.warm()
        await process.names.start()  # else it ends now and then while the request is under way
        await asyncio.sleep(_LOADED_S)
        with tracer.noting() as walk:
            body = {
                "model": BASE,
                "stream": True,
                "messages": [{"role": "user", "content": "Hello"}],
            }
            answer = await client.post("/v1/chat/completions", json=body)
            assert b"data: [DONE]" in answer.content, answer.text
            await asyncio.sleep(_WRITTEN_S)
    return walk


async def adapter(tracer: Tracer, root: Path) -> Walk:
    """A version is pushed, replaced, brought back and retired, over two replicas."""
    path = AdapterPath(root, FakeFleet("one", "two"))
    app: Any = registry_admin(path)
    archives = [_archive(path.adapter(seed)) for seed in (1, 2)]
    transport = httpx.ASGITransport(app)
    try:
        async with httpx.AsyncClient(transport=transport, base_url=_HOST) as client:
            with tracer.noting() as walk:
                for archive in archives:
                    pushed = await client.post(
                        f"{_ADMIN}/versions?wait=live",
                        content=archive,
                        headers={"content-type": "application/x-tar"},
                    )
                    assert pushed.status_code == 201, pushed.text
                    await path.idle()
                for move in ("rollback", "retire"):
                    moved = await client.post(f"{_ADMIN}/{move}", json={})
                    assert moved.status_code == 200, moved.text
                    await path.idle()
    finally:
        await path.aclose()
    return walk


def _archive(directory: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(directory.iterdir()):
            archive.add(path, path.name)
    return packed.getvalue()


def walked(tracer: Tracer, root: Path) -> dict[str, Walk]:
    """Both journeys by the name of the document that tells them."""
    with tracer.installed():
        return {
            "request-path": asyncio.run(request(tracer, root / "router")),
            "adapter-path": asyncio.run(adapter(tracer, root / "registry")),
        }
