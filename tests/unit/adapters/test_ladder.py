"""The promotion ladder on a real registry, a real rollout and a fleet that behaves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

import pytest

from adapters.aliases import engine_name
from adapters.config import LadderSettings
from adapters.errors import QuorumNotReached
from adapters.ladder.evidence import MOST_ROUTERS, Evidence
from adapters.ladder.steps import Ladder
from adapters.registry.lifecycle import State
from adapters.traffic import LATENCY_BOUNDS_S, VersionTraffic, bucket
from tests.fakes.adapter_path import FAST, AdapterPath
from tests.fakes.fleet import FakeFleet

SETTINGS = LadderSettings(
    auto_promote=True, min_shadowed=10, min_requests=30, min_requests_to_roll_back=10
)


def counted(requests: int = 0, errors: int = 0, shadowed: int = 0, agreement: float = 0.0,
            seconds: float = 0.1) -> VersionTraffic:  # fmt: skip
    """What one router counted for one version."""
    latency = [0] * (len(LATENCY_BOUNDS_S) + 1)
    latency[bucket(seconds)] = requests - errors
    return VersionTraffic(
        requests=requests,
        errors=errors,
        latency=tuple(latency),
        shadowed=shadowed,
        agreement=agreement,
    )


class World:
    """An adapter path with a ladder, and one router that counts."""

    def __init__(self, root: Path, settings: LadderSettings) -> None:
        self.path = AdapterPath(root, FakeFleet("r0", "r1"), FAST)
        self.evidence = Evidence()
        self.now = 0.0
        self.ladder = Ladder(
            self.path.registry,
            self.path.rollout,
            self.evidence,
            settings,
            self.path.events,
            lambda: self.now,
        )
        self.counts: dict[str, VersionTraffic] = {}

    def name(self, seed: int) -> str:
        """Engine name of a version of the one alias."""
        return engine_name("returns", self.path.digest(seed))

    async def hear(self, **counts: VersionTraffic) -> None:
        """The router's counters reach these values (``v1``, ``v2``), and the ladder looks."""
        for key, count in counts.items():
            self.counts[self.name(int(key[1:]))] = count
        self.evidence.feed({"router": self.counts})
        await self.ladder.tick()

    def state(self, seed: int) -> State:
        """State of a version."""
        return self.path.registry.version("returns", self.path.digest(seed)).state


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Version 1 live, everything automatic."""
    world = World(tmp_path, SETTINGS)
    await world.path.push("returns", 1)
    await world.ladder.tick()
    yield world
    await world.path.aclose()


async def candidate(world: World, stage: str, percent: float) -> None:
    """Version 2 arrives as a candidate, and the ladder notices it."""
    await world.path.push("returns", 2, stage=stage, percent=percent)
    await world.ladder.tick()


async def test_a_good_candidate_climbs_from_shadow_over_canary_to_live(world: World) -> None:
    """Nobody has to do anything: agreement makes it a canary, health makes it live."""
    await candidate(world, "shadow", 50)
    await world.hear(v1=counted(100), v2=counted(shadowed=20, agreement=18))
    assert world.state(2) is State.CANARY
    await world.hear()
    await world.hear(v1=counted(200), v2=counted(requests=40, shadowed=20, agreement=18))
    assert world.state(2) is State.LIVE
    assert world.state(1) is State.SUPERSEDED


async def test_a_shadow_that_disagrees_is_withdrawn(world: World) -> None:
    """Its answers were never shown, and never will be."""
    await candidate(world, "shadow", 50)
    await world.hear(v2=counted(shadowed=20, agreement=2))
    await world.path.rollout.idle()
    assert world.state(2) is State.RETIRED
    assert world.state(1) is State.LIVE


async def test_a_failing_canary_is_withdrawn(world: World) -> None:
    """Errors beyond doubt end it before it has answered the promotion minimum."""
    await candidate(world, "canary", 20)
    await world.hear(v1=counted(200), v2=counted(requests=15, errors=12))
    await world.path.rollout.idle()
    assert world.state(2) is State.RETIRED


async def test_only_what_happened_in_the_stage_counts(world: World) -> None:
    """Failures from before the stage are not held against the candidate."""
    await world.hear(v1=counted(200), v2=counted(requests=50, errors=50))
    await candidate(world, "canary", 20)
    await world.hear(v1=counted(300), v2=counted(requests=60, errors=50))
    assert world.state(2) is State.CANARY


async def test_a_new_live_version_that_fails_is_rolled_back_and_quarantined(world: World) -> None:
    """The alias flips back by itself, and the bad version is not offered for a rollback again."""
    await world.hear(v1=counted(200))
    await world.path.push("returns", 2)
    await world.ladder.tick()
    await world.hear(v2=counted(requests=20, errors=15))
    assert world.path.registry.alias("returns").live == world.path.digest(1)
    assert world.state(2) is State.QUARANTINED
    assert world.path.registry.alias("returns").previous is None


async def test_a_slow_new_live_version_is_rolled_back(world: World) -> None:
    """Latency far above the version before counts as worse."""
    await world.hear(v1=counted(200, seconds=0.1))
    await world.path.push("returns", 2)
    await world.ladder.tick()
    await world.hear(v2=counted(requests=40, seconds=1.0))
    assert world.state(2) is State.QUARANTINED


async def test_a_rollback_by_hand_is_not_undone(world: World) -> None:
    """Who rolled back on purpose knows why; the older version is not compared."""
    await world.path.push("returns", 2)
    await world.ladder.tick()
    await world.path.rollout.rollback("returns")
    await world.ladder.tick()
    await world.hear(v1=counted(requests=40, errors=40), v2=counted(requests=40))
    assert world.state(1) is State.LIVE


async def test_the_watch_ends(world: World) -> None:
    """After ``watch_live_s`` a version is settled: later trouble is for alerts, not for a flip."""
    await world.hear(v1=counted(200))
    await world.path.push("returns", 2)
    await world.ladder.tick()
    world.now = SETTINGS.watch_live_s + 1
    await world.hear(v2=counted(requests=40, errors=40))
    assert world.state(2) is State.LIVE


async def test_by_default_nothing_climbs_by_itself(tmp_path: Path) -> None:
    """Promotion is automatic only where it was asked for."""
    world = World(tmp_path, LadderSettings(min_shadowed=10))
    await world.path.push("returns", 1)
    await candidate(world, "shadow", 50)
    await world.hear(v2=counted(shadowed=20, agreement=20))
    assert world.state(2) is State.SHADOW
    await world.path.aclose()


@pytest.fixture
async def first(tmp_path: Path) -> AsyncIterator[World]:
    """Nothing live, nothing automatic but what the alias's route says."""
    settings = SETTINGS.model_copy(update={"auto_promote": False})
    world = World(tmp_path, settings)
    world.ladder.routes = {"returns": ("shadow", "canary", "live")}
    yield world
    await world.path.aclose()


async def test_the_first_version_of_a_route_climbs_by_itself(first: World) -> None:
    """In the shadow it is compared with whoever answers; as a canary with its own failures."""
    await candidate(first, "shadow", 50)
    await first.hear(v2=counted(shadowed=20, agreement=18))
    assert first.state(2) is State.CANARY
    await first.hear()
    await first.hear(v2=counted(requests=29, shadowed=20, agreement=18))
    assert first.state(2) is State.CANARY, "too few"
    await first.hear(v2=counted(requests=40, shadowed=20, agreement=18))
    assert first.state(2) is State.LIVE


async def test_the_first_version_of_a_route_is_withdrawn_when_it_fails(first: World) -> None:
    """Though there is nothing to compare its failures with."""
    await candidate(first, "canary", 20)
    await first.hear(v2=counted(requests=15, errors=12))
    await first.path.rollout.idle()
    assert first.state(2) is State.RETIRED


async def test_a_route_leaves_steps_out(first: World) -> None:
    """From the shadow straight to live, where its ladder says so."""
    first.ladder.routes = {"returns": ("shadow", "live")}
    await candidate(first, "shadow", 50)
    await first.hear(v2=counted(shadowed=20, agreement=18))
    assert first.state(2) is State.LIVE


async def test_a_ladder_without_live_waits_for_a_person(first: World) -> None:
    """It ends where it ends."""
    first.ladder.routes = {"returns": ("canary",)}
    await candidate(first, "canary", 20)
    await first.hear(v2=counted(requests=40))
    assert first.state(2) is State.CANARY


# Decisions that came too late


async def test_a_verdict_on_one_version_never_takes_back_another(world: World) -> None:
    """In one look a candidate goes live in the place of the version that did badly."""
    await world.path.push("returns", 2)
    await world.hear(v1=counted(200))
    await world.path.push("returns", 3, stage="canary", percent=20)
    await world.hear()
    await world.hear(v2=counted(40, errors=30), v3=counted(requests=60))
    assert world.state(3) is State.LIVE
    assert world.state(2) is not State.QUARANTINED


async def test_a_candidate_that_somebody_retired_is_not_promoted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the move a person decided otherwise."""
    rollout = world.path.rollout
    promote = rollout.promote

    async def late(alias: str, digest: str, *rest: Any, **more: Any) -> Any:
        await rollout.retire(alias, digest)
        await rollout.idle()
        return await promote(alias, digest, *rest, **more)

    await candidate(world, "canary", 20)
    monkeypatch.setattr(rollout, "promote", late)
    await world.hear(v1=counted(100), v2=counted(requests=40))
    assert (world.state(1), world.state(2)) == (State.LIVE, State.RETIRED)


async def test_a_candidate_that_somebody_promoted_is_not_withdrawn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The verdict was on a canary, and it is live now."""
    rollout = world.path.rollout
    withdraw = rollout.retirer.withdraw

    async def late(alias: str, digests: Collection[str], *rest: Any, **more: Any) -> Any:
        if world.path.digest(2) in digests:
            await rollout.promote(alias, world.path.digest(2))
        return await withdraw(alias, digests, *rest, **more)

    await candidate(world, "canary", 20)
    monkeypatch.setattr(rollout.retirer, "withdraw", late)
    await world.hear(v1=counted(200), v2=counted(requests=15, errors=12))
    assert world.state(2) is State.LIVE


# Moves that fail


async def test_a_bad_live_version_is_rolled_back_though_the_first_try_failed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers everybody until then; what did not happen yet is not told of."""
    rollout = world.path.rollout
    rollback, tries = rollout.rollback, 0

    async def fails_once(*rest: Any, **more: Any) -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise QuorumNotReached("no engine replica is alive")
        return await rollback(*rest, **more)

    await world.hear(v1=counted(200))
    await world.path.push("returns", 2)
    await world.ladder.tick()
    monkeypatch.setattr(rollout, "rollback", fails_once)
    await world.hear(v2=counted(requests=20, errors=15))
    assert (world.state(2), _told(world, "rolled-back")) == (State.LIVE, 0)
    await world.ladder.tick()
    assert (world.state(2), _told(world, "rolled-back")) == (State.QUARANTINED, 1)
    assert _told(world, "ladder-failed") == 1
    await world.ladder.tick()
    assert tries == 2


async def test_a_climb_that_failed_is_not_told_of(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told of once, when it happened."""
    rollout = world.path.rollout

    async def fails(*_: Any, **__: Any) -> Any:
        raise QuorumNotReached("no engine replica is alive")

    await candidate(world, "canary", 20)
    with monkeypatch.context() as broken:
        broken.setattr(rollout, "promote", fails)
        await world.hear(v1=counted(100), v2=counted(requests=40))
        await world.ladder.tick()
        assert (world.state(2), _told(world, "candidate-promoted")) == (State.CANARY, 0)
        assert _told(world, "ladder-failed") == 1, "each look would push out all other events"
    await world.ladder.tick()
    assert (world.state(2), _told(world, "candidate-promoted")) == (State.LIVE, 1)


def _told(world: World, kind: str) -> int:
    return sum(each.kind == kind for each in world.path.events.since(0))


# What is counted


def test_a_router_that_was_silent_for_a_while_is_not_counted_twice() -> None:
    """Its past would be held against whatever is on trial when it is back."""
    evidence = Evidence()
    old = counted(requests=100, errors=60)
    assert evidence.feed({"one": {"v1": old}}) == {"v1": old}
    assert evidence.feed({}) == {}
    assert evidence.feed({"one": {}}) == {}, "it is known again, and was not asked yet"
    new = counted(requests=110, errors=60)
    assert evidence.feed({"one": {"v1": new}}) == {"v1": new.since(old)}
    assert evidence.of("v1") == new


def test_what_routers_said_last_is_remembered_of_so_many() -> None:
    """Routers come and go for months, each under a name of its own."""
    evidence = Evidence()
    for number in range(MOST_ROUTERS + 50):
        evidence.feed({f"r{number}": {"v1": counted(requests=1)}})
    assert evidence.of("v1").requests == MOST_ROUTERS + 50
    assert len(evidence._seen) == MOST_ROUTERS
