"""The store is cleaned of what nobody can want back, and of nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.config import CollectSettings
from adapters.errors import NotInStore
from adapters.publish.rollout import Rollout
from adapters.registry.lifecycle import State
from tests.fakes.adapter_path import FAST, AdapterPath, Fate, Killed
from tests.fakes.fleet import FakeFleet


def collecting(path: AdapterPath, keep_s: float | None = 0.0, **rollout: object) -> AdapterPath:
    """The same path with other settings of the collector."""
    path.config = path.config.model_copy(
        update={
            "rollout": FAST.model_copy(update={"keep_previous": 0, **rollout}),
            "collect": CollectSettings(keep_s=keep_s),
        }
    )
    path.registry.close()
    path.start()
    return path


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[AdapterPath]:
    """Three versions: 3 is live, 2 its predecessor, 1 retired and no longer to be had back."""
    path = collecting(AdapterPath(tmp_path, FakeFleet("r0")))
    for seed in (1, 2, 3):
        await path.push("returns", seed)
    yield path
    await path.aclose()


def stored(path: AdapterPath) -> set[int]:
    """Which of the versions have files."""
    return {seed for seed in (1, 2, 3) if path.store.exists("returns", path.digest(seed))}


async def test_only_what_cannot_be_rolled_back_to_goes(path: AdapterPath) -> None:
    """All three but the live one are retired; the previous one stays."""
    assert path.registry.version("returns", path.digest(2)).state is State.RETIRED
    found = await path.rollout.collect()
    assert [each.name[-12:] for each in found] == [path.digest(1)[:12]]
    assert found[0].size_bytes > 0
    assert stored(path) == {2, 3}
    assert (await path.rollout.rollback("returns")).digest == path.digest(2)


async def test_a_dry_run_touches_nothing(path: AdapterPath) -> None:
    """It says the same as the real one."""
    would = await path.rollout.collect(dry_run=True)
    assert stored(path) == {1, 2, 3}
    assert await path.rollout.collect() == would
    assert await path.rollout.collect() == []


async def test_what_was_collected_can_be_pushed_again(path: AdapterPath) -> None:
    """Promoting it names the remedy; pushing the bytes is the remedy."""
    await path.rollout.collect()
    with pytest.raises(NotInStore, match="push it again"):
        await path.rollout.promote("returns", path.digest(1))
    assert (await path.push("returns", 1)).state is State.LIVE
    actions = [line.action for line in path.registry.history("returns")]
    assert "collect" in actions


@pytest.mark.parametrize("keep_s", [3600.0, None])
async def test_young_versions_stay(path: AdapterPath, keep_s: float | None) -> None:
    """Until they have rested long enough; with null for ever."""
    await path.rollout.aclose()
    collecting(path, keep_s)
    assert await path.rollout.collect() == []
    assert stored(path) == {1, 2, 3}


async def test_everything_of_a_pinned_alias_stays(path: AdapterPath) -> None:
    """Whoever pins an alias wants its past too."""
    await path.rollout.aclose()
    collecting(path, pinned=("returns",))
    assert await path.rollout.collect() == []


async def test_a_version_that_is_coming_back_stays(path: AdapterPath) -> None:
    """Between the look and the removal somebody promoted it."""
    rollout: Rollout = path.rollout
    async with rollout._publishes.hold("returns"):
        look = path.registry.collect
        path.registry.move("returns", path.digest(1), State.PREPARING, by="test")
        version = path.registry.version("returns", path.digest(1))
        assert not look("returns", path.digest(1), before=version.updated_at, by="test")
    await path.restart()
    await path.idle()
    assert stored(path) == {1, 2, 3}


@pytest.mark.parametrize("dies_at", [1, 2])
async def test_a_process_that_dies_leaves_nothing_half_done(
    path: AdapterPath, dies_at: int
) -> None:
    """Just before or after it was written down: the next look finishes the work."""
    path.registry.fate = Fate(dies_at=dies_at)
    with pytest.raises(Killed):
        await path.rollout.collect()
    await path.restart()
    await path.idle()
    assert stored(path) == {1, 2, 3}
    await path.rollout.collect()
    assert stored(path) == {2, 3}
