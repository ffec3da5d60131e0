"""What comes back while it leaves, copies that leave while others stay, silent replicas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from adapters.aliases import engine_name
from adapters.errors import FleetError, Unreachable
from adapters.registry.lifecycle import State
from tests.fakes.adapter_path import FAST, AdapterPath
from tests.fakes.fleet import FakeFleet

Make = Callable[..., AdapterPath]
REPLICAS = ("r0", "r1")


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Builds adapter paths with other settings; closes them afterwards."""
    made: list[AdapterPath] = []

    def build(*replicas: str, **settings: object) -> AdapterPath:
        root = tmp_path / str(len(made))
        root.mkdir()
        fleet = FakeFleet(*replicas or REPLICAS)
        made.append(AdapterPath(root, fleet, FAST.model_copy(update=settings)))
        return made[-1]

    yield build
    for path in made:
        await path.aclose()


def name(path: AdapterPath, seed: int, alias: str = "returns") -> str:
    """Engine name of the version with this seed."""
    return engine_name(alias, path.digest(seed))


def state(path: AdapterPath, seed: int) -> State:
    """State of the version with this seed."""
    return path.registry.version("returns", path.digest(seed)).state


# Coming back


async def draining(make: Make, **settings: object) -> AdapterPath:
    """Version 1 drains behind a long answer, version 2 is live."""
    path = make(keep_previous=0, **settings)
    await path.push("returns", 1)
    path.fleet.requests[name(path, 1)] = 1
    await path.push("returns", 2)
    assert state(path, 1) is State.DRAINING
    return path


async def test_bytes_that_drain_go_live_again_when_they_are_pushed(make: Make) -> None:
    """They are not "known": who pushes them wants them served, and the long answer goes on."""
    path = await draining(make)
    outcome = await path.push("returns", 1)
    assert (outcome.state, outcome.known) == (State.LIVE, False)
    assert path.table.aliases["returns"].live == path.digest(1)
    assert path.fleet.unloaded_in_use == []
    assert all(name(path, 1) in path.fleet.holding(replica) for replica in REPLICAS)


async def test_a_revived_version_goes_where_the_push_says(make: Make) -> None:
    """Not where it was heading the first time."""
    path = await draining(make)
    outcome = await path.push("returns", 1, stage="canary", percent=5.0)
    assert outcome.state is State.CANARY
    assert path.table.aliases["returns"].live == path.digest(2)


async def test_a_push_waits_for_the_last_step_of_a_drain(make: Make) -> None:
    """Between the last look and the unload nobody turns a version round: it is loaded again."""
    path = await draining(make)
    pushes: list[asyncio.Task[object]] = []

    def pushed(what: str, *_: object) -> None:
        if what == "unload" and not pushes:
            pushes.append(asyncio.ensure_future(path.rollout.push("returns", path.adapter(1))))

    path.fleet.rules.append(pushed)
    path.fleet.requests.clear()
    await path.rollout.retirer.sweep()
    await path.idle()
    await asyncio.gather(*pushes)
    await path.idle()
    assert state(path, 1) is State.LIVE
    assert all(name(path, 1) in path.fleet.holding(replica) for replica in REPLICAS)
    assert "job-failed" not in [event.kind for event in path.events.since(0)]


async def test_a_revival_survives_the_process(make: Make) -> None:
    """From the moment that the push is recorded, a restart continues the publish."""
    path = await draining(make)

    def never(what: str, *_: object) -> None:
        if what == "load":
            raise asyncio.CancelledError

    path.fleet.rules.append(never)
    await path.rollout.push("returns", path.adapter(1))
    path.fleet.rules.clear()
    await path.restart()
    await path.idle()
    assert state(path, 1) is State.LIVE


async def test_the_watched_store_revives_nothing(make: Make) -> None:
    """A directory that lies there is no wish: what an operator retired stays retired."""
    path = await draining(make)
    outcome = await path.push("returns", 1, revive=False)
    assert (outcome.state, outcome.known) == (State.DRAINING, True)


# What a rollback leaves


async def test_routers_do_not_fall_back_on_what_was_rolled_back(make: Make) -> None:
    """A person may return to it; no request is answered by it in the live version's place."""
    path = make()
    for seed in (1, 2):
        await path.push("returns", seed)
    assert path.table.aliases["returns"].previous == path.digest(1)
    await path.rollout.rollback("returns")
    row = path.registry.alias("returns")
    assert (row.previous, row.rolled_back) == (path.digest(2), True)
    assert path.table.aliases["returns"].previous is None
    await path.rollout.promote("returns", path.digest(2))
    assert path.table.aliases["returns"].previous == path.digest(1)


# One copy leaves


def tight(make: Make, *replicas: str) -> AdapterPath:
    """Room for one version on each replica."""
    return make(
        *replicas, capacity=1, keep_previous=0, min_residence_s=0.0, tenant_floor=0, copies=1
    )


async def test_routers_stop_choosing_a_copy_before_it_is_unloaded(make: Make) -> None:
    """The table without it is applied first; then the engine is asked."""
    path = tight(make, "r0")
    await path.push("one", 1)
    await path.push("two", 2)
    steps = [call for call in path.fleet.calls if call[2] == name(path, 1, "one")]
    gone = [what for what, _, _ in steps if what in {"withhold", "unload"}]
    assert gone == ["withhold", "unload"]
    assert path.fleet.withheld == set()
    assert path.fleet.holding("r0") == {name(path, 2, "two")}


async def test_a_router_that_lags_keeps_a_copy_loaded(make: Make) -> None:
    """It may still send requests there: nothing is unloaded, and the copy is offered again."""
    path = tight(make, "r0")
    await path.push("one", 1)
    path.fleet.router_epoch = 1
    outcome = await path.push("two", 2)
    assert outcome.state is State.FAILED
    assert path.fleet.holding("r0") == {name(path, 1, "one")}
    assert path.fleet.withheld == set()


async def test_routers_that_lag_are_waited_for_once(make: Make) -> None:
    """Not once for each copy that might leave instead."""
    path = make("r0", capacity=3, min_residence_s=0.0, tenant_floor=0)
    for seed in (1, 2, 3):
        await path.push(f"alias-{seed}", seed)
    path.fleet.router_epoch = 3
    assert (await path.push("one-more", 4)).state is State.FAILED
    # Once for each try to load.
    assert path.fleet.count("withhold") <= path.settings.load_attempts


async def test_a_copy_moves_although_the_version_is_hot(make: Make) -> None:
    """Only requests on the replica that gives it up keep it there; it is withheld meanwhile."""
    path = make("r0", copies=1, keep_previous=0)
    for number in range(6):
        await path.push(f"alias-{number}", number)
    path.fleet.join("r1")
    moved = next(n for n in range(6) if path.rollout.loader.homes(f"alias-{n}") == ("r1",))
    hot = name(path, moved, f"alias-{moved}")
    path.fleet.requests[hot] = 2
    path.fleet.requests_on = {"r0": path.fleet.requests.copy(), "r1": path.fleet.requests.copy()}
    await path.reconciler.converge()
    assert hot in path.fleet.holding("r0"), "a request still runs there"
    assert path.fleet.withheld == {("r0", hot)}
    path.fleet.requests_on["r0"].clear()
    await path.reconciler.converge()
    assert hot not in path.fleet.holding("r0")
    assert hot in path.fleet.holding("r1")
    assert path.fleet.withheld == set()


async def test_a_copy_that_is_wanted_again_is_offered_again(make: Make) -> None:
    """Its new home left before the move was done."""
    path = make("r0", copies=1, keep_previous=0)
    for number in range(6):
        await path.push(f"alias-{number}", number)
    path.fleet.join("r1")
    path.fleet.requests_on = {"r0": path.fleet.requests}
    for number in range(6):
        path.fleet.requests[name(path, number, f"alias-{number}")] = 1
    await path.reconciler.converge()
    assert path.fleet.withheld
    path.fleet.die("r1")
    await path.reconciler.converge()
    assert path.fleet.withheld == set()


# Replicas that do not answer


def silence(path: AdapterPath, replica: str) -> asyncio.Event:
    """A replica is listed and does not answer; the event: somebody waits for it to."""
    waiting = asyncio.Event()

    def rule(what: str, where: str | None, _: str) -> None:
        if where == replica and what in {"load", "residency", "probe"}:
            if what == "residency":
                waiting.set()
            raise Unreachable(f"{replica} does not answer")

    path.fleet.rules.append(rule)
    return waiting


async def test_a_publish_waits_for_a_dead_replica_to_expire(make: Make) -> None:
    """With a quorum of all, the dead are not counted; the living are enough."""
    path = make(unreachable_timeout_s=60.0)
    waiting = silence(path, "r1")
    push = asyncio.create_task(path.push("returns", 1))
    await asyncio.wait_for(waiting.wait(), 60)
    path.fleet.die("r1")
    assert (await push).state is State.LIVE


async def test_a_replica_that_answers_again_gets_the_version(make: Make) -> None:
    """It was only busy: it is asked once more before the quorum is judged."""
    path = make(unreachable_timeout_s=60.0)
    waiting = silence(path, "r1")
    push = asyncio.create_task(path.push("returns", 1))
    await asyncio.wait_for(waiting.wait(), 60)
    path.fleet.rules.clear()
    assert (await push).state is State.LIVE
    assert name(path, 1) in path.fleet.holding("r1")


async def test_a_replica_that_stays_silent_fails_the_publish(make: Make) -> None:
    """Neither dead nor alive for longer than the setting allows: the quorum is not reached."""
    path = make(unreachable_timeout_s=0.0)
    silence(path, "r1")
    assert (await path.push("returns", 1)).state is State.FAILED


async def test_the_only_replica_may_die_and_be_replaced(make: Make) -> None:
    """A publish that began on it goes on where its successor is."""
    path = make("r0", unreachable_timeout_s=60.0, replicas_timeout_s=60.0)
    waiting = silence(path, "r0")
    push = asyncio.create_task(path.push("returns", 1))
    await asyncio.wait_for(waiting.wait(), 60)
    path.fleet.die("r0")
    path.fleet.join("r2")
    assert (await push).state is State.LIVE
    assert path.fleet.holding("r2") == {name(path, 1)}


async def test_a_refusal_is_no_silence(make: Make) -> None:
    """A replica that answers with an error is not waited for."""
    path = make(unreachable_timeout_s=60.0)

    def refuses(what: str, where: str | None, _: str) -> None:
        if (what, where) == ("load", "r1"):
            raise FleetError("no")

    path.fleet.rules.append(refuses)
    assert (await asyncio.wait_for(path.push("returns", 1), 30)).state is State.FAILED


# Slots of the batch


async def test_live_versions_of_pinned_aliases_keep_a_slot(make: Make) -> None:
    """On every replica, through a new version and a restart; the old version's slot is freed."""
    path = make(pinned=("returns",))
    await path.push("returns", 1)
    await path.push("other", 5)
    await path.reconciler.converge()
    assert path.fleet.pinned("r0") == path.fleet.pinned("r1") == {name(path, 1)}
    await path.push("returns", 2)
    await path.reconciler.converge()
    assert path.fleet.pinned("r0") == {name(path, 2)}
    calls = path.fleet.count("pin")
    await path.reconciler.converge()
    assert path.fleet.count("pin") == calls, "nothing is asked when nothing has changed"
    path.fleet.die("r1")
    path.fleet.join("r1")
    await path.reconciler.converge()
    assert path.fleet.pinned("r1") == {name(path, 2)}


async def test_a_pin_that_fails_is_tried_again(make: Make) -> None:
    """Every slot was in use; the next pass finds one."""
    path = make("r0", pinned=("returns",))
    await path.push("returns", 1)

    def busy(what: str, *_: object) -> None:
        if what == "pin":
            raise FleetError("every slot is in use")

    path.fleet.rules.append(busy)
    await path.reconciler.converge()
    assert "pin-failed" in [event.kind for event in path.events.since(0)]
    path.fleet.rules.clear()
    await path.reconciler.converge()
    assert path.fleet.pinned("r0") == {name(path, 1)}
