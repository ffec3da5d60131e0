"""The adapter's path on PostgreSQL: every step's transaction, and a process that dies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.registry.lifecycle import State
from tests.fakes.adapter_path import AdapterPath, Fate, Killed
from tests.fakes.fleet import FakeFleet
from tests.fakes.postgres import NewDatabase


@pytest.fixture
async def path(tmp_path: Path, migrated_postgres: NewDatabase) -> AsyncIterator[AdapterPath]:
    """Two replicas, and the registry on a server."""
    url = migrated_postgres()
    made = AdapterPath(tmp_path, FakeFleet("r0", "r1"), database_url=url)
    yield made
    await made.aclose()


def state(path: AdapterPath, seed: int) -> State:
    """Where the version is."""
    return path.registry.version("returns", path.digest(seed)).state


async def test_a_whole_life(path: AdapterPath) -> None:
    """Pushed, replaced, brought back, tried on a share, promoted, retired."""
    for seed in (1, 2):
        assert (await path.push("returns", seed)).state is State.LIVE
    await path.rollout.rollback("returns", by="test")
    await path.push("returns", 3, stage="shadow", percent=10.0)
    await path.rollout.canary("returns", path.digest(3), 25.0, by="test")
    await path.rollout.promote("returns", path.digest(3), by="test")
    await path.idle()
    assert path.table.aliases["returns"].live == path.digest(3)
    assert path.registry.alias("returns").previous == path.digest(1)
    await path.push("returns", 1)
    assert path.table.aliases["returns"].live == path.digest(1)
    await path.rollout.retire("returns", by="test")
    await path.idle()
    assert path.fleet.holding("r0") == set()
    actors = {line.actor for line in path.registry.history("returns")}
    assert {"test", "rollout"} <= actors


@pytest.mark.parametrize("step", range(1, 15, 3))
async def test_a_process_that_dies_is_continued(path: AdapterPath, step: int) -> None:
    """Before and after commits, as on SQLite; the successor's claim takes over what was locked."""
    await path.push("returns", 1)
    path.registry.fate = fate = Fate(dies_at=step)
    try:
        await path.rollout.push("returns", path.adapter(2), wait=True)
        await path.idle()
    except Killed:
        pass
    assert fate.steps >= step
    await path.restart()
    await path.idle()
    await path.push("returns", 2)
    assert state(path, 2) is State.LIVE
    assert path.fleet.holding("r0") >= {path.registry.version("returns", path.digest(2)).name}
