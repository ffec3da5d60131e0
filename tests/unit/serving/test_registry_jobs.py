"""The registry's background work: a failure is told, and ends nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.aliases import Peer
from adapters.config import WatchSettings
from adapters.errors import RegistryError
from adapters.jobs.periodic import JobStatus
from adapters.registry import Snapshot
from serving.config.settings import Settings
from serving.registry.compose import RegistryProcess
from serving.registry.service import RegistryService

PEER = Peer(id="registry", url="http://127.0.0.1:1", secret="s")


class Registry:
    """Stands before the real one: fails as often as told."""

    def __init__(self, service: RegistryService) -> None:
        self._read = service.adapters.registry.snapshot
        self.failures = 0

    def snapshot(self) -> Snapshot:
        """As the real one, when nothing is to fail."""
        if self.failures:
            self.failures -= 1
            raise RegistryError("server closed the connection unexpectedly")
        return self._read()


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[RegistryService]:
    """A registry process's service without engines, at work."""
    settings = Settings(state_dir=tmp_path, seed_adapters=None)
    adapters = settings.adapters.model_copy(update={"watch": WatchSettings(enabled=False)})
    process = RegistryProcess(settings.model_copy(update={"adapters": adapters}))
    await process.start(PEER)
    yield process.service
    await process.aclose()


async def test_one_failed_read_does_not_end_the_publishing(
    service: RegistryService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who waits for the table hears it; the next table comes; the health check stays well."""
    registry = Registry(service)
    monkeypatch.setattr(service.adapters.registry, "snapshot", registry.snapshot)
    before = await service.tables.refresh()
    caplog.set_level(logging.INFO, "graftwork.jobs")
    registry.failures = 1
    with pytest.raises(RegistryError, match="closed the connection"):
        await service.tables.refresh()
    service.check()
    async with asyncio.timeout(60):
        assert await service.tables.refresh() > before
    assert "job_failed" in [record.message for record in caplog.records]
    assert "job-failed" in [event.kind for event in service.adapters.events.since(0)]


async def test_stopping_leaves_nobody_behind(tmp_path: Path) -> None:
    """No task of ours outlives the service."""
    process = RegistryProcess(Settings(state_dir=tmp_path))
    await process.start(PEER)
    waiting = asyncio.create_task(process.service.tables.refresh())
    await process.aclose()
    await asyncio.gather(waiting, return_exceptions=True)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_books_are_tidied_without_anybody_reporting(service: RegistryService) -> None:
    """Old counts go although no router is there; a report never waits for it."""
    async with asyncio.timeout(60):
        while not (tidy := _status(service, "tidy-books")).last_success:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert tidy.failures == 0


def _status(service: RegistryService, name: str) -> JobStatus:
    return next(found for found in service.jobs.statuses() if found.name == name)
