"""Pushing bytes that are known is a statement of the wanted stage: a way back for pipelines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.registry import Stage
from adapters.registry.lifecycle import State
from tests.fakes.adapter_path import AdapterPath
from tests.fakes.fleet import FakeFleet


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[AdapterPath]:
    """Two replicas."""
    made = AdapterPath(tmp_path, FakeFleet("r0", "r1"))
    yield made
    await made.aclose()


def live(path: AdapterPath) -> str | None:
    """What routers answer the alias with."""
    return path.table.aliases["returns"].live


def shares(path: AdapterPath) -> list[tuple[str, str, float]]:
    """What routers give a share to."""
    found = path.table.aliases["returns"].candidates
    return [(each.digest, each.stage, each.percent) for each in found]


async def test_an_older_version_pushed_again_is_live_again_by_a_flip(path: AdapterPath) -> None:
    """A, B, A: no load, no probe, and the answer comes when A serves."""
    for seed in (1, 2):
        await path.push("returns", seed)
    before = path.fleet.count("load"), path.fleet.count("probe")
    outcome = await path.rollout.push("returns", path.adapter(1), wait=True)
    assert (outcome.state, outcome.known) == (State.LIVE, True)
    assert live(path) == path.digest(1)
    assert (path.fleet.count("load"), path.fleet.count("probe")) == before
    assert path.registry.alias("returns").previous == path.digest(2)


async def test_a_flip_does_not_need_somebody_who_waits(path: AdapterPath) -> None:
    """A pipeline that asks for 202 finds the version where it asked for it to be."""
    for seed in (1, 2):
        await path.push("returns", seed)
    outcome = await path.rollout.push("returns", path.adapter(1))
    assert (outcome.state, live(path)) == (State.LIVE, path.digest(1))


async def test_a_canary_pushed_as_live_is_promoted(path: AdapterPath) -> None:
    """The share ends, the alias points at it."""
    await path.push("returns", 1)
    await path.push("returns", 2, stage="canary", percent=20.0)
    outcome = await path.push("returns", 2)
    assert (outcome.state, outcome.known) == (State.LIVE, True)
    assert (live(path), shares(path)) == (path.digest(2), [])


async def test_a_candidate_goes_to_the_stage_and_share_that_were_asked_for(
    path: AdapterPath,
) -> None:
    """Shadow to canary, another share, and back; the same again changes nothing."""
    await path.push("returns", 1)
    await path.push("returns", 2, stage="shadow", percent=10.0)
    for stage, percent in (("canary", 10.0), ("canary", 30.0), ("shadow", 5.0)):
        outcome = await path.push("returns", 2, stage=stage, percent=percent)
        assert outcome.state == stage
        assert shares(path) == [(path.digest(2), stage, percent)]
        epoch = path.registry.epoch()
        await path.push("returns", 2, stage=stage, percent=percent)
        assert path.registry.epoch() == epoch
    assert live(path) == path.digest(1)


async def test_without_a_share_a_candidate_keeps_its_own(path: AdapterPath) -> None:
    """It gets that of an automatic canary, or keeps the one that somebody gave it."""
    await path.push("returns", 1)
    await path.push("returns", 2, stage="shadow")
    assert shares(path) == [(path.digest(2), "shadow", path.config.ladder.canary_percent)]
    await path.push("returns", 2, stage="shadow", percent=3.0)
    await path.push("returns", 2, stage="shadow")
    assert shares(path) == [(path.digest(2), "shadow", 3.0)]


@pytest.mark.parametrize("stage", ["canary", "shadow"])
async def test_what_is_live_and_wanted_as_a_candidate_is_rolled_back_from(
    path: AdapterPath, stage: Stage
) -> None:
    """What was live before is again; where nothing was, nothing is."""
    await path.push("returns", 1)
    await path.push("returns", 2)
    for seed, left in ((2, path.digest(1)), (1, None)):
        outcome = await path.push("returns", seed, stage=stage, percent=5.0)
        assert (outcome.state, outcome.known) == (State(stage), True)
        assert live(path) == left
    assert {digest for digest, _, _ in shares(path)} == {path.digest(1), path.digest(2)}


async def test_the_version_before_is_loaded_when_it_is_wanted_back_so(path: AdapterPath) -> None:
    """The publish that brings it back is not held up by the one that asked for it."""
    await path.push("returns", 1)
    await path.push("returns", 2)
    await path.rollout.retirer.withdraw("returns", [path.digest(1)], by="trim", forget=False)
    await path.idle()
    async with asyncio.timeout(20):
        outcome = await path.push("returns", 2, stage="canary")
    assert (outcome.state, live(path)) == (State.CANARY, path.digest(1))


async def test_a_version_under_way_goes_where_it_was_asked_to_last(path: AdapterPath) -> None:
    """The same bytes come again, for another stage, before their publish has ended."""
    await path.push("returns", 1)
    path.fleet.load_s, loads = 0.3, path.fleet.count("load")
    first = asyncio.create_task(path.rollout.push("returns", path.adapter(2)))
    while path.fleet.count("load") == loads:  # noqa: ASYNC110 - the fake has no event for it
        await asyncio.sleep(0.005)
    await path.rollout.push("returns", path.adapter(2), stage="canary", percent=7.0, wait=True)
    await first
    await path.idle()
    assert live(path) == path.digest(1)
    assert shares(path) == [(path.digest(2), "canary", 7.0)]


async def test_a_flip_waits_for_the_publish_before_it(path: AdapterPath) -> None:
    """Pushes go live in the order they came: A, B, C, A ends with A."""
    for seed in (1, 2):
        await path.push("returns", seed)
    path.fleet.load_s = 0.1
    await path.rollout.push("returns", path.adapter(3))
    outcome = await path.rollout.push("returns", path.adapter(2), wait=True)
    await path.idle()
    assert (outcome.state, live(path)) == (State.LIVE, path.digest(2))
    assert path.registry.alias("returns").previous == path.digest(3)


async def test_what_is_found_again_stays_where_somebody_put_it(path: AdapterPath) -> None:
    """Without ``restage`` nothing is flipped: an old entry of the watched store is no statement."""
    for seed in (1, 2):
        await path.push("returns", seed)
    await path.push("returns", 1, restage=False)
    assert live(path) == path.digest(2)
