"""What the registry tells about copies on nodes, over the real composition."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from adapters.aliases import Peer
from adapters.config import WatchSettings
from adapters.format.manifest import Manifest, digest_directory
from adapters.registry import Snapshot
from serving.config.settings import Settings
from serving.internal.paths import METRICS
from serving.internal.reports import EngineReport, Staging
from serving.registry.compose import RegistryProcess
from serving.registry.metrics import RegistryCollector
from tests.fakes.tiny_adapter import BASE, tiny_adapter


def process_below(tmp_path: Path) -> RegistryProcess:
    """A registry over a bucket."""
    bucket = (tmp_path / "bucket").as_uri()
    settings = Settings(state_dir=tmp_path / "state")
    adapters = settings.adapters.model_copy(
        update={"watch": WatchSettings(enabled=False), "content": bucket}
    )
    return RegistryProcess(settings.model_copy(update={"adapters": adapters}))


async def test_a_database_that_stalls_holds_up_the_metrics_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines and routers are heard on the same event loop."""
    process = process_below(tmp_path)
    await process.start(Peer(id="registry", url="http://127.0.0.1:1", secret="s"))
    snapshot, begun, over = process.adapters.registry.snapshot, threading.Event(), threading.Event()
    in_time: list[bool] = []

    def stalls() -> Snapshot:
        begun.set()
        in_time.append(over.wait(60))
        return snapshot()

    try:
        transport = httpx.ASGITransport(process.surface)
        async with httpx.AsyncClient(transport=transport, base_url="http://registry") as client:
            monkeypatch.setattr(process.adapters.registry, "snapshot", stalls)
            asked = asyncio.create_task(client.get(METRICS))
            await asyncio.to_thread(begun.wait)
            over.set()
            assert (await asked).status_code == 200
        assert all(in_time)
    finally:
        over.set()
        await process.aclose()


async def test_the_staging_areas_have_a_metric(tmp_path: Path) -> None:
    """Law 9: each replica's node by its report, the registry's own by looking."""
    process = process_below(tmp_path)
    await process.start(Peer(id="registry", url="http://127.0.0.1:1", secret="s"))
    try:
        files = tiny_adapter(tmp_path / "adapter")
        process.adapters.store.put(files, "returns", digest_directory(files), Manifest())
        peer = Peer(id="engine-1", url="http://127.0.0.1:2", secret="s")
        staging = Staging(versions=3, size_bytes=700)
        report = EngineReport(peer=peer, base=BASE, max_model_len=64, staging=staging)
        process.service.membership.engine_reported(report)
        registry = CollectorRegistry()
        registry.register(RegistryCollector(process.service))

        def value(family: str, replica: str) -> float | None:
            return registry.get_sample_value(f"graftwork_staged_{family}", {"replica": replica})

        assert (value("versions", "engine-1"), value("bytes", "engine-1")) == (3, 700)
        assert value("versions", "registry") == 1
        assert (value("bytes", "registry") or 0) > 100
    finally:
        await process.aclose()
