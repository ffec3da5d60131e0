"""More adapters than places: who is resident, who is cold, and what one pass may change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.aliases import engine_name
from adapters.registry.lifecycle import State
from adapters.traffic import VersionTraffic
from tests.fakes.adapter_path import FAST, AdapterPath
from tests.fakes.fleet import FakeFleet

TIGHT = FAST.model_copy(
    update={"capacity": 2, "keep_previous": 0, "min_residence_s": 0.0, "tenant_floor": 0}
)


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[AdapterPath]:
    """One replica with two places and three aliases, pushed in order."""
    path = AdapterPath(tmp_path, FakeFleet("r0"), TIGHT)
    for seed in (1, 2, 3):
        await path.push(f"alias-{seed}", seed)
    yield path
    await path.aclose()


def name(path: AdapterPath, seed: int) -> str:
    """Engine name of an alias's only version."""
    return engine_name(f"alias-{seed}", path.digest(seed))


def wanted(path: AdapterPath, seed: int) -> None:
    """A request named the version while nobody held it."""
    path.rollout.heat.observe({name(path, seed): VersionTraffic(wanted=1)})


async def test_a_publish_finds_room_by_making_the_coldest_cold(path: AdapterPath) -> None:
    """The third push goes live; the first is unloaded, and its alias is still live (law 3)."""
    assert path.fleet.holding("r0") == {name(path, 2), name(path, 3)}
    assert path.registry.version("alias-1", path.digest(1)).state is State.LIVE
    assert path.table.aliases["alias-1"].live == path.digest(1)


async def test_a_cold_version_that_is_wanted_comes_in(path: AdapterPath) -> None:
    """The next pass loads it in place of the least recently used one."""
    wanted(path, 1)
    reports = await path.reconciler.converge()
    assert path.fleet.holding("r0") == {name(path, 1), name(path, 3)}
    assert reports["r0"].converged


async def test_the_place_of_a_publish_under_way_is_kept(path: AdapterPath) -> None:
    """What was made cold for it does not come back before it is loaded."""
    path.fleet.join("r1")
    await path.reconciler.converge()
    assert path.fleet.holding("r1") == path.fleet.holding("r0") == {name(path, 2), name(path, 3)}
    passes: list[asyncio.Task[object]] = []

    def between(what: str, replica: str | None, _: str) -> None:
        if what == "unload" and replica is not None:
            passes.append(asyncio.create_task(path.reconciler.converge()))

    path.fleet.rules.append(between)
    before = len(path.fleet.calls)
    await path.push("alias-4", 4)
    await asyncio.gather(*passes)
    assert len(passes) == 2
    loads = [call for call in path.fleet.calls[before:] if call[0] == "load"]
    assert {call[2] for call in loads} == {name(path, 4)}


async def test_what_is_being_published_makes_no_room_for_others(path: AdapterPath) -> None:
    """Nobody has asked for it yet, and still it was not used longest ago."""
    asked: list[float] = []

    def look(what: str, *_: object) -> None:
        if what == "load":
            asked.append(path.rollout.heat.idle_s(name(path, 4)))

    path.fleet.rules.append(look)
    await path.push("alias-4", 4)
    assert asked
    assert max(asked) < 60


async def test_without_demand_nothing_moves(path: AdapterPath) -> None:
    """A pass over a full replica does not churn."""
    before = path.fleet.count("load")
    for _ in range(3):
        reports = await path.reconciler.converge()
        assert reports["r0"].converged
    assert path.fleet.count("load") == before


async def test_who_was_just_used_does_not_make_room(tmp_path: Path) -> None:
    """A wanted cold version waits while everybody resident is hot; the replica still counts
    as converged.
    """
    patient = TIGHT.model_copy(update={"min_residence_s": 60.0})
    path = AdapterPath(tmp_path, FakeFleet("r0"), patient)
    for seed in (1, 2, 3):
        await path.push(f"alias-{seed}", seed)
    held = set(path.fleet.holding("r0"))
    wanted(path, 1)
    reports = await path.reconciler.converge()
    assert path.fleet.holding("r0") == held
    assert (reports["r0"].cold, reports["r0"].converged) == ([name(path, 1)], True)
    await path.aclose()


async def test_one_pass_swaps_a_few_only(tmp_path: Path) -> None:
    """Each load stalls decoding, so that a burst of cold names is taken in slowly."""
    settings = TIGHT.model_copy(update={"capacity": 4, "swaps_per_pass": 1})
    path = AdapterPath(tmp_path, FakeFleet("r0"), settings)
    for seed in range(8):
        await path.push(f"alias-{seed}", seed)
    for seed in range(4):
        wanted(path, seed)
    before = path.fleet.count("load")
    await path.reconciler.converge()
    assert path.fleet.count("load") == before + 1
    await path.aclose()


async def test_a_pinned_alias_stays(tmp_path: Path) -> None:
    """However cold, its live version never leaves for want of room."""
    pinned = TIGHT.model_copy(update={"pinned": ("alias-1",)})
    path = AdapterPath(tmp_path, FakeFleet("r0"), pinned)
    for seed in (1, 2, 3):
        await path.push(f"alias-{seed}", seed)
    assert path.fleet.holding("r0") == {name(path, 1), name(path, 3)}
    await path.aclose()


async def test_a_tenants_only_adapter_stays(tmp_path: Path) -> None:
    """The floor per tenant holds against another tenant's many pushes."""
    shared = TIGHT.model_copy(update={"tenant_floor": 1, "tenants": {"alias-1": "quiet"}})
    path = AdapterPath(tmp_path, FakeFleet("r0"), shared)
    for seed in (1, 2, 3):
        await path.push(f"alias-{seed}", seed)
    assert name(path, 1) in path.fleet.holding("r0")
    await path.aclose()


async def test_a_version_in_use_is_not_unloaded(path: AdapterPath) -> None:
    """Law 1 holds for want of room as well: the next coldest leaves instead."""
    path.fleet.requests[name(path, 2)] = 1
    wanted(path, 1)
    await path.reconciler.converge()
    assert path.fleet.holding("r0") == {name(path, 1), name(path, 2)}
