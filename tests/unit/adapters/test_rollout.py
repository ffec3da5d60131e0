"""The adapter's path, on a real registry and store and a fleet that behaves."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from adapters.aliases import engine_name
from adapters.errors import (
    BadName,
    Conflict,
    FleetError,
    LoadFailed,
    NothingToRollBack,
    NotInStore,
    UnknownAlias,
    Withdrawn,
)
from adapters.fleet import AdapterFiles, LoadResult
from adapters.publish.forgetting import Forgetter
from adapters.publish.outcome import Outcome
from adapters.registry.lifecycle import State
from tests.fakes.adapter_path import FAST, AdapterPath, Fate, Killed
from tests.fakes.fleet import FakeFleet
from tests.fakes.tiny_adapter import BASE, tiny_adapter

Make = Callable[..., AdapterPath]
REPLICAS = ("r0", "r1")


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Builds adapter paths with other settings; closes them afterwards."""
    made: list[AdapterPath] = []

    def build(*replicas: str, load_s: float = 0.0, **settings: object) -> AdapterPath:
        fleet = FakeFleet(*replicas or REPLICAS, load_s=load_s)
        root = tmp_path / str(len(made))
        root.mkdir()
        made.append(AdapterPath(root, fleet, FAST.model_copy(update=settings)))
        return made[-1]

    yield build
    for path in made:
        await path.aclose()


@pytest.fixture
def path(make: Make) -> AdapterPath:
    """Two replicas, default settings."""
    return make()


def held_everywhere(path: AdapterPath) -> set[str]:
    """Engine names that every replica holds; fails when replicas differ."""
    sets = [path.fleet.holding(replica) for replica in path.fleet.replica_ids()]
    assert all(names == sets[0] for names in sets)
    return sets[0]


def name(path: AdapterPath, seed: int, alias: str = "returns") -> str:
    """Engine name of the version with this seed."""
    return engine_name(alias, path.digest(seed))


def state(path: AdapterPath, seed: int, alias: str = "returns") -> State:
    """State of the version with this seed."""
    return path.registry.version(alias, path.digest(seed)).state


# Publishing


async def test_a_push_goes_live_on_every_replica(path: AdapterPath) -> None:
    """From a directory to one alias epoch that routers see, with every check recorded."""
    outcome = await path.push("returns", 1)
    assert (outcome.state, outcome.known, outcome.error) == (State.LIVE, False, "")
    assert all(check["ok"] for check in outcome.checks)
    assert outcome.checks[-1]["name"] == "probe-effect"
    assert held_everywhere(path) == {name(path, 1)}
    assert path.table.aliases["returns"].live == path.digest(1)
    assert path.table.epoch == 1
    version = path.registry.version("returns", path.digest(1))
    assert (version.effect, version.base, version.author) == (0.5, BASE.digest, "unknown")


async def test_a_version_is_proven_on_one_replica_before_others_load_it(
    path: AdapterPath,
) -> None:
    """A bad version does its damage in one place only: law 4."""
    await path.push("returns", 1)
    steps = [(what, replica) for what, replica, _ in path.fleet.calls if what in {"load", "probe"}]
    first = steps[0][1]
    assert steps[:2] == [("load", first), ("probe", first)]
    others = set(REPLICAS) - {first}
    assert {replica for what, replica in steps[2:] if what == "load"} == others


@pytest.mark.parametrize("calmest", REPLICAS)
async def test_the_calmest_replica_proves_a_version(path: AdapterPath, calmest: str) -> None:
    """A probe lengthens the steps of answers under way: it goes where there are fewest."""
    path.fleet.requests_on = {
        replica: Counter({"other@1": 0 if replica == calmest else 5}) for replica in REPLICAS
    }
    await path.push("returns", 1)
    probes = [replica for what, replica, _ in path.fleet.calls if what == "probe"]
    assert probes == [calmest]


async def test_routers_see_the_version_only_where_it_is_resident(path: AdapterPath) -> None:
    """At the flip, the same table already says that every replica holds the version."""
    await path.push("returns", 1)
    flipped = next(table for table in path.tables if table.epoch == 1)
    assert all(name(path, 1) in replica.resident for replica in flipped.replicas)


async def test_without_waiting_the_answer_comes_once_it_is_stored(path: AdapterPath) -> None:
    """A push returns while engines still load, and publishing goes on by itself."""
    path.fleet.load_s = 0.05
    outcome = await path.rollout.push("returns", path.adapter(1))
    assert not outcome.finished
    await path.idle()
    assert state(path, 1) is State.LIVE


async def test_waiting_ends_although_the_engines_do_not(make: Make) -> None:
    """A slow fleet turns a waiting push into an answer that work goes on."""
    path = make(load_s=0.2)
    push = path.config.push.model_copy(update={"wait_timeout_s": 0.05})
    path.rollout._config = path.config.model_copy(update={"push": push})
    outcome = await path.rollout.push("returns", path.adapter(1), wait=True)
    assert not outcome.finished
    await path.idle()
    assert state(path, 1) is State.LIVE


async def test_known_bytes_are_a_no_op_that_says_so(path: AdapterPath) -> None:
    """No engine is asked anything, no epoch is spent."""
    await path.push("returns", 1)
    calls, epoch = len(path.fleet.calls), path.registry.epoch()
    outcome = await path.push("returns", 1)
    assert (outcome.known, outcome.state) == (True, State.LIVE)
    assert (len(path.fleet.calls), path.registry.epoch()) == (calls, epoch)


async def test_the_same_bytes_pushed_at_once_are_published_once(path: AdapterPath) -> None:
    """Two clients with one file start one journey, and both learn how it ended."""
    outcomes = await asyncio.gather(
        *(path.rollout.push("returns", path.adapter(1), wait=True) for _ in range(3))
    )
    assert [outcome.state for outcome in outcomes] == [State.LIVE] * 3
    assert sorted(outcome.known for outcome in outcomes) == [False, True, True]
    assert path.fleet.count("probe") == 1


async def test_pushes_go_live_in_the_order_they_came(path: AdapterPath) -> None:
    """The last push of an alias wins, however long the earlier ones take."""
    path.fleet.load_s = 0.02
    for seed in (1, 2, 3):
        await path.rollout.push("returns", path.adapter(seed))
    await path.idle()
    assert path.registry.alias("returns").live == path.digest(3)
    assert path.registry.alias("returns").previous == path.digest(2)


async def test_one_replica_loads_one_version_at_a_time(path: AdapterPath) -> None:
    """Each add stalls the engine's loop: several aliases at once queue up per replica."""
    path.fleet.load_s = 0.01
    pushes = (path.rollout.push(f"alias-{n}", path.adapter(n), wait=True) for n in range(4))
    outcomes = await asyncio.gather(*pushes)
    assert {outcome.state for outcome in outcomes} == {State.LIVE}
    assert [engine.most_loading for engine in path.fleet.engines.values()] == [1, 1]


async def test_a_push_may_come_before_the_engines(make: Make) -> None:
    """Base and replicas that appear a little later are waited for."""
    path = make(replicas_timeout_s=60)
    path.base = None
    path.fleet.engines.clear()
    push = asyncio.create_task(path.rollout.push("returns", path.adapter(1), wait=True))
    await asyncio.sleep(0.05)
    path.base = BASE
    path.fleet.join("r9")
    assert (await push).state is State.LIVE


async def test_without_any_replica_the_push_fails_and_may_be_repeated(path: AdapterPath) -> None:
    """No engine within the deadline: an error that passes, not a version that is bad."""
    path.fleet.engines.clear()
    assert (await path.push("returns", 1)).state is State.FAILED
    path.fleet.join("r0")
    assert (await path.push("returns", 1)).state is State.LIVE


async def test_without_a_base_nothing_is_decided(path: AdapterPath) -> None:
    """A version cannot be checked against a base that is not there."""
    path.base = None
    outcome = await path.rollout.push("returns", path.adapter(1))
    assert (outcome.state, outcome.checks) == (State.RECEIVED, ())


async def test_a_bad_name_is_refused_before_anything_happens(path: AdapterPath) -> None:
    """Names become paths: nothing odd gets that far."""
    with pytest.raises(BadName):
        await path.rollout.push("../etc", path.adapter(1))
    assert path.registry.aliases() == []


# Refusing


async def test_a_bad_adapter_never_reaches_an_engine(path: AdapterPath) -> None:
    """Law 4: refused by name of check, recorded, not stored, not loaded."""
    outcome = await path.push("returns", 1)
    bad = await path.rollout.push("returns", tiny_adapter(path.root / "bad", 2, broken=True))
    assert (bad.state, bad.refused) == (State.REJECTED, True)
    assert [check["name"] for check in bad.checks if not check["ok"]] == ["finite"]
    assert not path.store.exists("returns", bad.digest)
    assert path.fleet.count("probe") == 1
    assert path.registry.alias("returns").live == outcome.digest


async def test_a_directory_without_weights_gets_every_reason(path: AdapterPath) -> None:
    """Even what has no digest is answered with checks, and leaves no version behind."""
    empty = path.root / "empty"
    empty.mkdir()
    outcome = await path.rollout.push("returns", empty)
    assert (outcome.state, outcome.digest) == (State.REJECTED, "")
    assert "files-present" in [check["name"] for check in outcome.checks if not check["ok"]]
    assert path.registry.aliases() == []


async def test_a_version_without_effect_is_quarantined(path: AdapterPath) -> None:
    """The silent no-op that vLLM accepts: alias untouched, load undone, reason kept."""
    await path.push("returns", 1)
    path.fleet.delta = 0.0
    outcome = await path.push("returns", 2)
    assert (outcome.state, outcome.refused) == (State.QUARANTINED, True)
    assert outcome.checks[-1] == {
        **outcome.checks[-1],
        "name": "probe-effect",
        "ok": False,
        "found": "0 nats",
    }
    assert path.registry.alias("returns").live == path.digest(1)
    assert held_everywhere(path) == {name(path, 1)}


async def test_a_quarantined_version_is_not_tried_again(path: AdapterPath) -> None:
    """Neither by pushing the same bytes nor by promoting it."""
    path.fleet.delta = float("nan")
    await path.push("returns", 1)
    path.fleet.delta = 0.5
    again = await path.push("returns", 1)
    assert (again.state, again.known) == (State.QUARANTINED, True)
    with pytest.raises(Conflict, match="quarantined"):
        await path.rollout.promote("returns", path.digest(1))


GOLDEN = {"golden": [{"prompt": "hello", "logprobs": [-1.0, -2.0], "tolerance": 0.1}]}


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        ([[-1.05, -2.05]], State.LIVE),
        ([[-1.05, -2.5]], State.QUARANTINED),
        ([[-1.0, float("nan")]], State.QUARANTINED),
        ([[-1.0]], State.FAILED),
        ([], State.FAILED),
    ],
)
async def test_golden_logprobs_must_match(
    path: AdapterPath, measured: list[list[float]], expected: State
) -> None:
    """What the trainer measured is what the engine computes; unscored is no verdict."""
    path.fleet.logprobs = measured
    directory = tiny_adapter(path.root / "golden", 1, manifest=GOLDEN)
    outcome = await path.rollout.push("returns", directory, wait=True)
    assert outcome.state is expected


# Failing before the commit


async def test_a_load_that_fails_is_undone_everywhere(path: AdapterPath) -> None:
    """The second replica refuses: the first one lets go, the alias never moved."""
    await path.push("returns", 1)
    second = path.rollout.loader.homes("returns")[1]

    def fails(what: str, replica: str | None, _: str) -> None:
        if what == "load" and replica == second:
            raise FleetError("disk on fire")

    path.fleet.rules.append(fails)
    outcome = await path.push("returns", 2)
    assert (outcome.state, "disk on fire" in outcome.error) == (State.FAILED, True)
    assert held_everywhere(path) == {name(path, 1)}
    assert path.registry.alias("returns").live == path.digest(1)
    path.fleet.rules.clear()
    assert (await path.push("returns", 2)).state is State.LIVE


async def test_a_load_is_tried_again_when_the_reason_may_pass(path: AdapterPath) -> None:
    """One hiccup does not fail a publish."""
    hiccups = [FleetError("busy")]

    def once(what: str, *_: object) -> None:
        if what == "load" and hiccups:
            raise hiccups.pop()

    path.fleet.rules.append(once)
    assert (await path.push("returns", 1)).state is State.LIVE


async def test_what_an_engine_refuses_is_quarantined(path: AdapterPath) -> None:
    """The engine's own no is about the version, and is not repeated on other replicas."""

    def refuses(what: str, *_: object) -> None:
        if what == "load":
            raise LoadFailed("rank 128 > 64")

    path.fleet.rules.append(refuses)
    outcome = await path.push("returns", 1)
    assert (outcome.state, outcome.error) == (State.QUARANTINED, "rank 128 > 64")
    assert path.fleet.count("load") == 1


async def test_a_replica_that_dies_during_a_load_does_not_fail_the_publish(
    path: AdapterPath,
) -> None:
    """Replicas die of many things; the others carry on."""
    victim = path.rollout.loader.homes("returns")[0]

    def dies(what: str, replica: str | None, _: str) -> None:
        if what == "loaded" and replica == victim:
            path.fleet.die(victim)

    path.fleet.rules.append(dies)
    assert (await path.push("returns", 1)).state is State.LIVE
    assert list(path.fleet.engines) == [r for r in REPLICAS if r != victim]


async def test_a_version_that_kills_two_replicas_is_quarantined(make: Make) -> None:
    """It does not get to kill the third."""
    path = make("r0", "r1", "r2")

    def kills(what: str, replica: str | None, _: str) -> None:
        if what == "probe":
            path.fleet.die(replica or "")

    path.fleet.rules.append(kills)
    assert (await path.push("returns", 1)).state is State.QUARANTINED
    assert len(path.fleet.engines) == 1


async def test_a_replica_that_joins_during_the_prepare_is_loaded_too(path: AdapterPath) -> None:
    """At the flip, every live replica holds the version."""

    def joins(what: str, *_: object) -> None:
        if what == "probe":
            path.fleet.join("r2")

    path.fleet.rules.append(joins)
    await path.push("returns", 1)
    assert set(path.fleet.engines) == {"r0", "r1", "r2"}
    assert held_everywhere(path) == {name(path, 1)}


async def test_a_quorum_may_be_enough(make: Make) -> None:
    """One replica that cannot does not hold up the publish when the settings say so."""
    path = make("r0", "r1", "r2", quorum=0.6)

    def broken(what: str, replica: str | None, _: str) -> None:
        if what == "load" and replica == "r1":
            raise FleetError("out of memory")

    path.fleet.rules.append(broken)
    assert (await path.push("returns", 1)).state is State.LIVE
    assert [event.kind for event in path.events.since(0)].count("prepared-in-part") == 1
    assert path.fleet.holding("r1") == set()


async def test_a_load_that_hangs_is_given_up(make: Make) -> None:
    """A stuck engine costs the deadline, not the publish queue."""
    path = make(load_s=60, load_timeout_s=0.02, load_attempts=1)
    outcome = await path.push("returns", 1)
    assert (outcome.state, "longer than" in outcome.error) == (State.FAILED, True)


async def test_a_bug_in_the_publish_leaves_nothing_half_done(path: AdapterPath) -> None:
    """An exception that nobody foresaw is undone like any other."""

    def bug(what: str, *_: object) -> None:
        if what == "probe":
            raise ZeroDivisionError("who would have thought")

    path.fleet.rules.append(bug)
    outcome = await path.push("returns", 1)
    assert (outcome.state, "internal error" in outcome.error) == (State.FAILED, True)
    assert held_everywhere(path) == set()


# Draining and retiring


async def test_the_previous_version_stays_and_older_ones_go(path: AdapterPath) -> None:
    """One step back is instant; engines do not fill up with history."""
    for seed in (1, 2, 3):
        await path.push("returns", seed)
    assert held_everywhere(path) == {name(path, 2), name(path, 3)}
    assert state(path, 1) is State.RETIRED
    assert path.table.aliases["returns"].versions == (path.digest(2), path.digest(3))
    assert path.table.aliases["returns"].retired == (path.digest(1),)


@pytest.mark.parametrize(("keep", "held"), [(0, {3}), (2, {1, 2, 3})])
async def test_how_many_versions_stay_is_a_setting(make: Make, keep: int, held: set[int]) -> None:
    """``keep_previous`` counts superseded versions per alias."""
    path = make(keep_previous=keep)
    for seed in (1, 2, 3):
        await path.push("returns", seed)
    assert held_everywhere(path) == {name(path, seed) for seed in held}


async def test_a_version_in_use_is_never_unloaded(make: Make) -> None:
    """Law 1: a long answer keeps its version; the drain waits, gives up, and looks again."""
    path = make(keep_previous=0)
    await path.push("returns", 1)
    path.fleet.requests[name(path, 1)] = 1
    await path.push("returns", 2)
    assert state(path, 1) is State.DRAINING
    assert name(path, 1) in held_everywhere(path)
    assert "drain-overdue" in [event.kind for event in path.events.since(0)]
    path.fleet.requests[name(path, 1)] = 0
    await path.rollout.retirer.sweep()
    await path.idle()
    assert state(path, 1) is State.RETIRED
    assert held_everywhere(path) == {name(path, 2)}
    assert path.fleet.unloaded_in_use == []


async def test_nothing_is_unloaded_while_a_router_has_an_old_table(make: Make) -> None:
    """A router that lags may still start requests on the old version: law 2."""
    path = make(keep_previous=0)
    await path.push("returns", 1)
    path.fleet.router_epoch = 1
    assert (await path.push("returns", 2)).state is State.LIVE
    assert name(path, 1) in held_everywhere(path)
    path.fleet.router_epoch = None
    await path.rollout.retirer.sweep()
    await path.idle()
    assert held_everywhere(path) == {name(path, 2)}


async def test_an_unload_that_did_not_happen_is_noticed(make: Make) -> None:
    """Retired means that the engine says so, not that it was asked."""
    path = make(keep_previous=0)
    await path.push("returns", 1)

    def refuses(what: str, *_: object) -> None:
        if what == "unload":
            raise FleetError("still holds it")

    path.fleet.rules.append(refuses)
    await path.push("returns", 2)
    assert state(path, 1) is State.DRAINING
    path.fleet.rules.clear()
    await path.rollout.retirer.sweep()
    await path.idle()
    assert state(path, 1) is State.RETIRED


async def test_retiring_one_version(path: AdapterPath) -> None:
    """The previous version goes; a rollback leaves the alias without a live one."""
    for seed in (1, 2):
        await path.push("returns", seed)
    path.fleet.requests[name(path, 1)] = 1
    outcomes = await path.rollout.retire("returns", path.digest(1))
    assert [outcome.state for outcome in outcomes] == [State.DRAINING]
    path.fleet.requests[name(path, 1)] = 0
    await path.idle()
    await path.rollout.retirer.sweep()
    await path.idle()
    assert held_everywhere(path) == {name(path, 2)}
    outcome = await path.rollout.rollback("returns")
    assert (outcome.digest, outcome.state) == (path.digest(2), State.SUPERSEDED)
    assert path.table.aliases["returns"].live is None


async def test_retiring_an_alias(path: AdapterPath) -> None:
    """Everything of it leaves; the name stays known, so that requests can be answered elsewhere."""
    for seed in (1, 2):
        await path.push("returns", seed)
    await path.rollout.retire("returns")
    await path.idle()
    assert held_everywhere(path) == set()
    alias = path.table.aliases["returns"]
    assert (alias.live, alias.previous, alias.versions) == (None, None, ())
    assert set(alias.retired) == {path.digest(1), path.digest(2)}


async def test_retiring_twice_is_a_no_op(path: AdapterPath) -> None:
    """What is gone may be retired again; what never served may not."""
    await path.push("returns", 1)
    await path.rollout.retire("returns")
    await path.idle()
    epoch = path.registry.epoch()
    assert [o.known for o in await path.rollout.retire("returns", path.digest(1))] == [True]
    assert await path.rollout.retire("returns") == []
    assert path.registry.epoch() == epoch
    with pytest.raises(UnknownAlias):
        await path.rollout.retire("nobody")


async def test_a_retired_version_comes_back_when_pushed_again(path: AdapterPath) -> None:
    """Known bytes that nobody serves start again."""
    await path.push("returns", 1)
    await path.rollout.retire("returns")
    await path.idle()
    outcome = await path.push("returns", 1)
    assert (outcome.state, outcome.known) == (State.LIVE, False)
    assert held_everywhere(path) == {name(path, 1)}


# Rolling back


async def test_a_rollback_is_one_flip_without_loads(path: AdapterPath) -> None:
    """No engine loads anything, and the routers have it within 200 ms."""
    for seed in (1, 2):
        await path.push("returns", seed)
    path.fleet.calls.clear()
    seconds = []
    for seed in (1, 2, 1, 2, 1):
        before = time.perf_counter()
        outcome = await path.rollout.rollback("returns")
        seconds.append(time.perf_counter() - before)
        assert (outcome.digest, outcome.state) == (path.digest(seed), State.LIVE)
        assert path.table.aliases["returns"].live == path.digest(seed)
    assert {call[0] for call in path.fleet.calls} <= {"residency", "applied"}
    assert min(seconds) < 0.2  # a busy machine makes some of them longer


async def test_a_rollback_can_be_rolled_back(path: AdapterPath) -> None:
    """The version that was left is the previous one, and still resident."""
    for seed in (1, 2):
        await path.push("returns", seed)
    await path.rollout.rollback("returns")
    outcome = await path.rollout.rollback("returns")
    assert outcome.digest == path.digest(2)
    assert path.fleet.count("load") == 4, "every replica once, per version"


async def test_a_rollback_does_not_wait_for_a_publish(path: AdapterPath) -> None:
    """An emergency is not queued behind a slow load of the next version."""
    for seed in (1, 2):
        await path.push("returns", seed)
    path.fleet.load_s = 600
    await path.rollout.push("returns", path.adapter(3))
    await asyncio.sleep(0.02)
    await asyncio.wait_for(path.rollout.rollback("returns"), 60)
    assert path.table.aliases["returns"].live == path.digest(1)


async def test_a_rollback_loads_what_is_no_longer_resident(make: Make) -> None:
    """With nothing kept, going back takes as long as a load, and works."""
    path = make(keep_previous=0)
    for seed in (1, 2):
        await path.push("returns", seed)
    outcome = await path.rollout.rollback("returns")
    await path.idle()
    assert outcome.digest == path.digest(1)
    assert held_everywhere(path) == {name(path, 1)}


async def test_an_urgent_rollback_needs_one_replica_only(path: AdapterPath) -> None:
    """Routers choose among replicas that hold the version: the flip does not wait for the rest."""
    for seed in (1, 2):
        await path.push("returns", seed)
    path.fleet.holding("r1").discard(name(path, 1))
    path.fleet.load_s = 600
    await asyncio.wait_for(path.rollout.rollback("returns"), 60)
    assert path.registry.alias("returns").live == path.digest(1)


async def test_a_rollback_with_a_reason_bans_the_version(path: AdapterPath) -> None:
    """What hurt in production is not offered again, by rollback or by push."""
    for seed in (1, 2):
        await path.push("returns", seed)
    await path.rollout.rollback("returns", quarantine="answers in Latin")
    assert state(path, 2) is State.QUARANTINED
    again = await path.push("returns", 2)
    assert (again.state, again.error) == (State.QUARANTINED, "answers in Latin")
    await path.reconciler.converge()
    assert held_everywhere(path) == {name(path, 1)}


async def test_a_rollback_without_a_version_before_leaves_no_live_one(path: AdapterPath) -> None:
    """Who answered before it existed does so again; it stays loaded, and promote brings it back."""
    await path.push("returns", 1)
    outcome = await path.rollout.rollback("returns")
    assert (outcome.digest, outcome.state, outcome.known) == (
        path.digest(1),
        State.SUPERSEDED,
        False,
    )
    alias = path.table.aliases["returns"]
    assert (alias.live, alias.previous, alias.intents) == (None, None, ())
    with pytest.raises(NothingToRollBack):
        await path.rollout.rollback("returns")
    await path.idle()
    await path.reconciler.converge()
    assert held_everywhere(path) == {name(path, 1)}
    loads = path.fleet.count("load")
    await path.rollout.promote("returns", path.digest(1))
    assert path.table.aliases["returns"].live == path.digest(1)
    assert path.fleet.count("load") == loads


async def test_a_first_version_that_hurt_is_banned_by_its_rollback(path: AdapterPath) -> None:
    """With a reason, promote does not bring it back either."""
    await path.push("returns", 1)
    await path.rollout.rollback("returns", quarantine="answers in Latin")
    assert state(path, 1) is State.QUARANTINED
    assert path.table.aliases["returns"].live is None
    with pytest.raises(Conflict, match="Latin"):
        await path.rollout.promote("returns", path.digest(1))


# Candidates


async def test_a_canary_is_promoted(path: AdapterPath) -> None:
    """A share of the traffic first, all of it later, without another load."""
    await path.push("returns", 1)
    outcome = await path.push("returns", 2, stage="canary", percent=5.0)
    assert outcome.state is State.CANARY
    alias = path.table.aliases["returns"]
    assert alias.live == path.digest(1)
    assert [(c.digest, c.stage, c.percent) for c in alias.candidates] == [
        (path.digest(2), "canary", 5.0)
    ]
    loads = path.fleet.count("load")
    await path.rollout.promote("returns", path.digest(2)[:12])
    assert path.table.aliases["returns"].live == path.digest(2)
    assert path.table.aliases["returns"].candidates == ()
    assert path.fleet.count("load") == loads


async def test_a_shadow_climbs_to_canary(path: AdapterPath) -> None:
    """The ladder's rungs are moves of one version."""
    await path.push("returns", 1)
    await path.push("returns", 2, stage="shadow", percent=50.0)
    outcome = await path.rollout.canary("returns", path.digest(2), 10)
    assert outcome.state is State.CANARY
    await path.rollout.retire("returns", path.digest(2))
    await path.idle()
    assert held_everywhere(path) == {name(path, 1)}
    assert path.table.aliases["returns"].candidates == ()


@pytest.mark.parametrize("percent", [0, -1, 101, float("nan")])
async def test_a_share_must_be_a_share(path: AdapterPath, percent: float) -> None:
    """Nothing is stored for a stage that cannot be reached."""
    with pytest.raises(Conflict) as caught:
        await path.rollout.push("returns", path.adapter(1), stage="canary", percent=percent)
    assert caught.value.code == "bad-percent"
    assert path.registry.aliases() == []


async def test_promoting_a_retired_version_loads_and_probes_it(path: AdapterPath) -> None:
    """Any version that is stored can come back, by the same proofs."""
    for seed in (1, 2, 3):
        await path.push("returns", seed)
    probes = path.fleet.count("probe")
    assert (await path.rollout.promote("returns", path.digest(1))).state is State.LIVE
    await path.idle()
    assert path.fleet.count("probe") == probes + 1
    assert held_everywhere(path) == {name(path, 1), name(path, 3)}


async def test_promoting_what_was_lost_says_so(path: AdapterPath) -> None:
    """A version whose files are gone cannot be promoted, and nothing changes."""
    for seed in (1, 2, 3):
        await path.push("returns", seed)
    path.store.delete("returns", path.digest(1))
    with pytest.raises(NotInStore):
        await path.rollout.promote("returns", path.digest(1))
    assert path.registry.alias("returns").live == path.digest(3)


async def test_a_promotion_that_fails_leaves_no_residue(path: AdapterPath) -> None:
    """The same undo as for a push."""
    for seed in (1, 2, 3):
        await path.push("returns", seed)
    path.fleet.delta = 0
    with pytest.raises(Exception, match="probe-effect"):
        await path.rollout.promote("returns", path.digest(1))
    assert held_everywhere(path) == {name(path, 2), name(path, 3)}
    assert state(path, 1) is State.QUARANTINED


async def test_versions_of_another_base_do_not_come_back(path: AdapterPath) -> None:
    """After a change of the base, old versions are neither advertised nor promoted."""
    for seed in (1, 2, 3):
        await path.push("returns", seed)
    path.base = BASE.model_copy(update={"digest": "c" * 64})
    with pytest.raises(Conflict, match="another base"):
        await path.rollout.promote("returns", path.digest(1))
    assert await path.reconciler.committed("r0") == []


# Capacity


async def test_a_full_replica_makes_room(make: Make) -> None:
    """Beyond its capacity vLLM would evict by itself: the longest superseded goes first."""
    path = make(capacity=3)
    for alias, seed in (("a", 1), ("a", 2), ("b", 3), ("b", 4)):
        assert (await path.push(alias, seed)).state is State.LIVE
    assert held_everywhere(path) == {name(path, 2, "a"), name(path, 3, "b"), name(path, 4, "b")}
    assert path.registry.version("a", path.digest(1)).state is State.RETIRED


async def test_a_replica_full_of_live_versions_refuses_more(make: Make) -> None:
    """Nothing that serves is pushed out, and the reason names the setting."""
    path = make(capacity=1)
    await path.push("a", 1)
    outcome = await path.push("b", 2)
    assert (outcome.state, "r0 is full" in outcome.error or "r1 is full" in outcome.error) == (
        State.FAILED,
        True,
    )
    assert held_everywhere(path) == {name(path, 1, "a")}


async def test_an_alias_may_live_on_some_replicas_only(make: Make) -> None:
    """With two copies on four replicas, the other two are left alone."""
    path = make("r0", "r1", "r2", "r3", copies=2)
    await path.push("returns", 1)
    holding = [r for r in path.fleet.replica_ids() if path.fleet.holding(r)]
    assert holding == sorted(path.rollout.loader.homes("returns"))
    assert len(holding) == 2


# Dying and coming back


async def publish_and_die(path: AdapterPath, step: int) -> bool:
    """Replace version 1 by 2, dying at a step; whether it was reached."""
    path.fate = path.registry.fate = Fate(dies_at=step)
    path.fleet.rules.append(path.fate.step)
    try:
        await path.rollout.push("returns", path.adapter(2), wait=True)
        await path.idle()
    except Killed:
        pass
    died = path.fate.steps >= step
    path.fate = None
    path.fleet.rules.clear()
    return died


async def test_a_process_that_dies_anywhere_is_continued(make: Make) -> None:
    """Killed around every commit and before every call to the fleet: nothing is half-published."""
    first = make(keep_previous=0)
    await first.push("returns", 1)
    await first.aclose()
    epoch, step = 1, 1
    while True:
        path = first.fork(make(keep_previous=0))
        path.store.delete("returns", path.digest(2))
        if not await publish_and_die(path, step):
            break
        await path.restart()
        await path.idle()
        known = {version.digest: version.state for version in path.registry.versions()}
        if known.get(path.digest(2), State.FAILED) is State.FAILED:
            # It died before the files were stored: a repeated push completes it.
            assert path.registry.alias("returns").live == path.digest(1), step
            assert (await path.push("returns", 2)).state is State.LIVE, step
        assert path.registry.alias("returns").live == path.digest(2), step
        assert path.registry.epoch() > epoch, step
        await path.reconciler.converge()
        await path.idle()
        assert held_everywhere(path) == {name(path, 2)}, step
        assert path.table.epoch == path.registry.epoch(), step
        step += 1
    assert step > 25, "every phase was hit"


async def test_resuming_twice_changes_nothing(path: AdapterPath) -> None:
    """Resume is idempotent, so a process that dies while it resumes is fine."""
    for seed in (1, 2):
        await path.push("returns", seed)
    await path.restart()
    await path.idle()
    history = path.registry.history()
    await path.restart()
    await path.idle()
    assert path.registry.history() == history
    assert path.table.aliases["returns"].live == path.digest(2)


async def test_closing_stops_a_publish_where_it_stands(path: AdapterPath) -> None:
    """A clean stop is no failure: the next process goes on."""
    path.fleet.load_s = 5
    loading = asyncio.Event()
    path.fleet.rules.append(lambda what, *_: loading.set() if what == "load" else None)
    await path.rollout.push("returns", path.adapter(1))
    await asyncio.wait_for(loading.wait(), 60)
    await path.rollout.aclose()
    assert state(path, 1) is State.PREPARING
    path.fleet.load_s = 0
    await path.restart()
    await path.idle()
    assert state(path, 1) is State.LIVE


async def test_a_version_that_was_lost_while_dead_is_failed(path: AdapterPath) -> None:
    """A publish whose files are gone cannot be continued; it says so instead of hanging."""
    path.fleet.load_s = 600
    await path.rollout.push("returns", path.adapter(1))
    await path.rollout.aclose()
    path.store.delete("returns", path.digest(1))
    await path.restart()
    assert state(path, 1) is State.FAILED


def test_an_outcome_knows_whether_it_is_final() -> None:
    """What a client should wait for, and what it should give up on."""
    assert not Outcome("a", "d", State.PREPARING).finished
    assert Outcome("a", "d", State.LIVE).finished
    assert Outcome("a", "d", State.QUARANTINED).refused
    assert not Outcome("a", "d", State.FAILED).refused


# A version that is wanted back


class Gated(FakeFleet):
    """A fleet whose loads of one version wait until they may go on."""

    def __init__(self, *replicas: str) -> None:
        super().__init__(*replicas)
        self.slow = ""
        self.begun, self.may = asyncio.Event(), asyncio.Event()

    async def load(self, replica_id: str, files: AdapterFiles) -> LoadResult:
        """Wait, if it is the slow one."""
        if files.digest == self.slow:
            self.begun.set()
            await self.may.wait()
        return await super().load(replica_id, files)


@pytest.fixture
async def gated(tmp_path: Path) -> AsyncIterator[AdapterPath]:
    """Version 2 live; version 1, the one before it, made room for others."""
    path = AdapterPath(tmp_path / "gated", Gated("r0"))
    for seed in (1, 2):
        await path.push("returns", seed)
    first = [path.digest(1)]
    await path.rollout.retirer.withdraw("returns", first, by="test", forget=False)
    await path.idle()
    assert state(path, 1) is State.RETIRED
    yield path
    await path.aclose()


async def test_a_rollback_that_comes_too_late_leaves_the_version_where_it_rested(
    gated: AdapterPath,
) -> None:
    """Nothing is wrong with it: somebody retired the live version first."""
    fleet = gated.fleet
    assert isinstance(fleet, Gated)
    fleet.slow = gated.digest(1)
    back = asyncio.create_task(gated.rollout.rollback("returns"))
    await fleet.begun.wait()
    await gated.rollout.retire("returns", gated.digest(2))
    fleet.may.set()
    with pytest.raises(Conflict):
        await back
    version = gated.registry.version("returns", gated.digest(1))
    assert (version.state, version.error) == (State.RETIRED, "")
    assert gated.registry.alias("returns").live is None
    await gated.idle()
    assert fleet.holding("r0") == set()


async def test_a_pass_of_the_reconciler_leaves_a_rollback_to_whoever_began_it(
    gated: AdapterPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the load and the flip it is in somebody's hands."""
    commit = gated.registry.commit
    passes: list[Future[None]] = []

    async def one_pass() -> None:
        await gated.reconciler.converge()
        await gated.idle()

    def late(*rest: Any, **more: Any) -> int:
        if not passes:
            passes.append(asyncio.run_coroutine_threadsafe(one_pass(), loop))
            passes[0].result(30)
        return commit(*rest, **more)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(gated.registry, "commit", late)
    await gated.rollout.rollback("returns")
    await gated.idle()
    assert passes
    lines = [line.action for line in gated.registry.history("returns")]
    assert lines.count("commit") == 2, "those of the two pushes"
    row = gated.registry.alias("returns")
    assert (row.live, row.rolled_back) == (gated.digest(1), True)


async def test_known_bytes_whose_version_is_retired_meanwhile_do_not_wait_for_nothing(
    gated: AdapterPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The push waits behind a publish; what it wanted to flip to is gone when its turn comes."""
    receive, received, loop = gated.registry.receive, asyncio.Event(), asyncio.get_running_loop()

    def seen(*rest: Any, **more: Any) -> Any:
        version, starts = receive(*rest, **more)
        if not starts:
            loop.call_soon_threadsafe(received.set)
        return version, starts

    monkeypatch.setattr(gated.registry, "receive", seen)
    fleet = gated.fleet
    assert isinstance(fleet, Gated)
    await gated.rollout.rollback("returns")
    fleet.slow = gated.digest(3)
    publish = asyncio.create_task(gated.push("returns", 3))
    await fleet.begun.wait()
    known = asyncio.create_task(gated.rollout.push("returns", gated.adapter(2)))
    await received.wait()
    await gated.rollout.retire("returns", gated.digest(2))
    fleet.may.set()
    outcome = await known
    assert outcome.known
    assert outcome.state in {State.DRAINING, State.RETIRED}
    assert (await publish).state is State.LIVE


@pytest.mark.parametrize("stage", ["canary", "shadow"])
async def test_a_share_that_was_asked_for_stays_a_share_after_a_crash(
    make: Make, stage: str
) -> None:
    """Wherever the process dies, a version that was to answer a few is never everybody's."""
    first = make("r0", keep_previous=0)
    for seed in (1, 2):
        await first.push("returns", seed)
    await first.aclose()
    ends, step = set(), 0
    while True:
        step += 1
        path = first.fork(make("r0", keep_previous=0))
        path.fate = path.registry.fate = Fate(dies_at=step)
        path.fleet.rules.append(path.fate.step)
        move = path.rollout.canary if stage == "canary" else path.rollout.shadow
        try:
            await move("returns", path.digest(1), 5.0)
            await path.idle()
        except Killed:
            pass
        if path.fate.steps < step:
            break
        path.fate = None
        path.fleet.rules.clear()
        await path.restart()
        await path.idle()
        await path.reconciler.converge()
        await path.idle()
        assert state(path, 2) is State.LIVE, step
        assert state(path, 1) in {State.RETIRED, State(stage)}, step
        ends.add(state(path, 1))
    assert ends == {State.RETIRED, State(stage)}


# Retiring what is on its way


@pytest.mark.parametrize("whole_alias", [True, False])
async def test_retiring_ends_a_publish_that_is_under_way(
    gated: AdapterPath, whole_alias: bool
) -> None:
    """Nothing of it goes live afterwards, and no engine keeps it."""
    fleet = gated.fleet
    assert isinstance(fleet, Gated)
    fleet.join("r1")
    fleet.slow = gated.digest(3)
    publish = asyncio.create_task(gated.push("returns", 3))
    await fleet.begun.wait()
    left = await gated.rollout.retire("returns", None if whole_alias else gated.digest(3))
    assert gated.digest(3) in {each.digest for each in left}
    fleet.may.set()
    outcome = await publish
    assert outcome.state in {State.DRAINING, State.RETIRED}
    await gated.idle()
    assert state(gated, 3) is State.RETIRED
    assert all(name(gated, 3) not in fleet.holding(replica) for replica in fleet.replica_ids())
    assert sum(call[0] == "loaded" and call[2] == name(gated, 3) for call in fleet.calls) == 1
    assert gated.registry.alias("returns").live == (None if whole_alias else gated.digest(2))
    known = [table.aliases["returns"] for table in gated.tables if "returns" in table.aliases]
    assert all(gated.digest(3) not in alias.versions for alias in known)
    assert any(f"returns@{gated.digest(3)}" in table.loading for table in gated.tables)
    assert not gated.tables[-1].loading
    again = await gated.push("returns", 3)
    assert again.state is State.LIVE


async def test_a_process_that_dies_after_the_retirement_does_not_go_on(gated: AdapterPath) -> None:
    """What was taken out of service on its way stays out in the next life."""
    fleet = gated.fleet
    assert isinstance(fleet, Gated)
    fleet.slow = gated.digest(3)
    publish = asyncio.create_task(gated.push("returns", 3))
    await fleet.begun.wait()
    await gated.rollout.retire("returns")
    await gated.restart()
    await gated.idle()
    assert state(gated, 3) is State.RETIRED
    assert gated.registry.alias("returns").live is None
    publish.cancel()
    await asyncio.gather(publish, return_exceptions=True)


async def test_what_comes_again_while_its_publish_ends_serves(gated: AdapterPath) -> None:
    """The end of the first publish does not take back the second."""
    fleet = gated.fleet
    assert isinstance(fleet, Gated)
    fleet.slow = gated.digest(3)
    publish = asyncio.create_task(gated.push("returns", 3))
    await fleet.begun.wait()
    await gated.rollout.retire("returns", gated.digest(3))
    again = asyncio.create_task(gated.rollout.push("returns", gated.adapter(3), wait=True))
    await asyncio.sleep(0.05)
    fleet.may.set()
    await again
    await publish
    await gated.idle()
    assert state(gated, 3) is State.LIVE
    assert gated.registry.alias("returns").live == gated.digest(3)


async def test_a_promotion_ends_when_its_version_is_retired(gated: AdapterPath) -> None:
    """Whoever asked for it hears why."""
    fleet = gated.fleet
    assert isinstance(fleet, Gated)
    fleet.slow = gated.digest(1)
    promoted = asyncio.create_task(gated.rollout.promote("returns", gated.digest(1)))
    await fleet.begun.wait()
    await gated.rollout.retire("returns", gated.digest(1))
    fleet.may.set()
    with pytest.raises(Withdrawn):
        await promoted
    await gated.idle()
    assert state(gated, 1) is State.RETIRED
    assert gated.registry.alias("returns").live == gated.digest(2)


async def test_what_is_being_loaded_is_forgotten_as_soon_as_it_is_loaded(
    gated: AdapterPath,
) -> None:
    """A person whose data is in it does not wait for its probe and for the other replicas."""
    fleet = gated.fleet
    assert isinstance(fleet, Gated)
    fleet.slow = gated.digest(3)
    publish = asyncio.create_task(gated.push("returns", 3))
    await fleet.begun.wait()
    version = gated.registry.version("returns", gated.digest(3))
    forgetting = asyncio.create_task(
        Forgetter(gated.rollout, gated.store).forget(version, "erasure", "a person left")
    )
    while state(gated, 3) is not State.DRAINING:  # noqa: ASYNC110 - the registry tells nobody
        await asyncio.sleep(0.01)
    fleet.may.set()
    await forgetting
    await publish
    assert state(gated, 3) is State.RETIRED
    assert not gated.store.exists("returns", gated.digest(3))
    assert name(gated, 3) not in fleet.holding("r0")
