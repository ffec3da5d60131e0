"""No way to a request goes round the gate; a process that dies in it lets nobody in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import Conflict, GateOverdue
from adapters.publish import resting
from adapters.publish.gating import NoGate
from adapters.registry import Plan, Stage
from adapters.registry.lifecycle import CALLABLE, State
from tests.fakes.adapter_path import AdapterPath, Fate, Killed
from tests.fakes.fleet import FakeFleet
from tests.fakes.gating import RIGHT, GateWorld, Rows, Says, Script, row

GATE = {"margin": 0.2, "alpha": 0.05}
WRONG = "You may send it back within 90 days."


def _always(answer: str) -> Says:
    return lambda _: answer


def gated(path: AdapterPath, good: tuple[int, ...], rows: int = 40) -> GateWorld:
    """Versions of these numbers answer rightly, all others wrongly."""
    script = Script({"frontier:cloud/big": lambda _: WRONG})
    for seed in range(1, 9):
        name = f"returns@{path.digest(seed)[:12]}"
        script.says[name] = _always(RIGHT if seed in good else WRONG)
    held = Rows([row(number) for number in range(rows)])
    world = GateWorld(path.root, path.registry, GATE, held, script)
    path.rollout.gate = world.gatekeeper
    return world


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[AdapterPath]:
    """Two replicas."""
    made = AdapterPath(tmp_path, FakeFleet("r0", "r1"))
    yield made
    await made.aclose()


def state(path: AdapterPath, seed: int) -> State:
    """Where the version is."""
    return path.registry.version("returns", path.digest(seed)).state


def reachable(path: AdapterPath) -> set[str]:
    """Digests that any table ever showed."""
    return {d for table in path.tables for a in table.aliases.values() for d in a.versions}


@pytest.mark.parametrize("stage", ["live", "canary", "shadow"])
async def test_a_version_is_proven_on_one_replica_and_judged_there_before_the_others_get_it(
    path: AdapterPath, stage: Stage
) -> None:
    """One that fails is on no replica afterwards, and was never in a table."""
    world = gated(path, good=())
    world.script.says["frontier:cloud/big"] = lambda _: RIGHT
    outcome = await path.push("returns", 1, stage=stage, percent=20.0)
    assert outcome.state is State.REFUSED
    assert outcome.refused
    assert path.fleet.count("load") == 1
    assert path.digest(1) not in reachable(path)
    assert all(not path.fleet.held(replica) for replica in path.fleet.replica_ids())


async def test_who_passed_serves_and_is_not_asked_again(path: AdapterPath) -> None:
    """Also after it was retired, rolled back and promoted."""
    world = gated(path, good=(1,))
    assert (await path.push("returns", 1)).state is State.LIVE
    asked = len(world.script.asked)
    await path.rollout.rollback("returns")
    assert path.table.aliases["returns"].live is None
    await path.rollout.promote("returns", path.digest(1))
    await path.rollout.retire("returns")
    await path.idle()
    assert state(path, 1) is State.RETIRED
    await path.rollout.promote("returns", path.digest(1))
    assert state(path, 1) is State.LIVE
    assert len(world.script.asked) == asked


async def test_every_door_is_closed_to_one_that_did_not_pass(path: AdapterPath) -> None:
    """By name, by its bytes, by the watched store, and by what an operator may wish."""
    gated(path, good=(1,))
    await path.push("returns", 1)
    assert (await path.push("returns", 2)).state is State.REFUSED
    bad = path.digest(2)
    for way in (
        path.rollout.promote("returns", bad),
        path.rollout.canary("returns", bad, 10.0),
        path.rollout.shadow("returns", bad, 10.0),
    ):
        with pytest.raises(Conflict, match="has not passed the gate"):
            await way
    assert (await path.push("returns", 2, revive=False, restage=False)).state is State.REFUSED
    assert (await path.push("returns", 2, stage="shadow", percent=1.0)).state is State.REFUSED
    await path.reconciler.converge()
    await path.restart()
    assert state(path, 2) is State.REFUSED
    assert bad not in reachable(path)
    assert path.table.aliases["returns"].live == path.digest(1)


async def test_what_served_before_a_gate_was_demanded_cannot_come_back_round_it(
    path: AdapterPath,
) -> None:
    """It may go on while it is live; no promotion, push or rollback leads to it."""
    path.rollout.gate = NoGate()
    await path.push("returns", 1)
    await path.push("returns", 2)
    assert (state(path, 1), state(path, 2)) == (State.SUPERSEDED, State.LIVE)
    world = gated(path, good=())
    with pytest.raises(Conflict, match="has not passed the gate"):
        await path.push("returns", 1)
    with pytest.raises(Conflict, match="has not passed the gate"):
        await path.rollout.promote("returns", path.digest(1))
    await path.rollout.rollback("returns")
    now = path.table.aliases["returns"]
    assert (now.live, now.previous) == (None, None)
    with pytest.raises(Conflict, match="has not passed the gate"):
        await path.rollout.promote("returns", path.digest(2))
    await path.rollout.retire("returns")
    await path.idle()
    world.script.says["frontier:cloud/big"] = lambda _: RIGHT
    assert (await path.push("returns", 1)).state is State.REFUSED


async def test_draining_bytes_that_come_back_pass_the_gate_first(path: AdapterPath) -> None:
    """A push turns them round; the gate still says no."""
    path.rollout.gate = NoGate()
    await path.push("returns", 1)
    name = f"returns@{path.digest(1)[:12]}"
    path.fleet.requests[name] = 1
    await path.rollout.retire("returns")
    assert state(path, 1) is State.DRAINING
    gated(path, good=()).script.says["frontier:cloud/big"] = lambda _: RIGHT
    assert (await path.push("returns", 1)).state is State.REFUSED
    assert name in path.fleet.held("r0")  # somebody is still being answered by it
    path.fleet.requests[name] = 0
    await path.reconciler.converge()
    assert name not in path.fleet.held("r0")


async def test_a_wish_that_comes_while_the_gate_is_at_work_counts(path: AdapterPath) -> None:
    """The ladder's first step, or what is more careful."""
    world = gated(path, good=(1,))

    def canary(_: str) -> str:
        path.registry.replan("returns", path.digest(1), Plan("canary", 7.0))
        return RIGHT

    world.script.says[f"returns@{path.digest(1)[:12]}"] = canary
    assert (await path.push("returns", 1)).state is State.CANARY
    assert [each.percent for each in path.registry.candidates("returns")] == [7.0]


async def test_a_target_that_does_not_answer_lets_nobody_pass(path: AdapterPath) -> None:
    """It failed for a passing reason: pushed again, it is judged."""
    world = gated(path, good=(1,))
    frontier = world.script.says.pop("frontier:cloud/big")
    outcome = await path.push("returns", 1)
    assert (outcome.state, "does not answer" in outcome.error) == (State.FAILED, True)
    world.script.says["frontier:cloud/big"] = frontier
    assert (await path.push("returns", 1)).state is State.LIVE


def _overdue(_: str) -> str:
    raise GateOverdue("the test stood still")


def _gate_check(path: AdapterPath, seed: int) -> dict[str, Any]:
    checks = path.registry.version("returns", path.digest(seed)).checks
    return next(each for each in checks if each["name"] == "gate")


async def test_a_test_that_stands_still_holds_up_nobody_else(path: AdapterPath) -> None:
    """Its version waits outside of the engines, and does not replace what came to serve since."""
    world = gated(path, good=(1, 2))
    ours = f"returns@{path.digest(1)[:12]}"
    world.script.says[ours] = _overdue
    outcome = await path.push("returns", 1)
    assert outcome.state is State.GATING
    check = _gate_check(path, 1)
    assert (check["ok"], check["found"]) == (False, "the test stood still")
    assert all(not path.fleet.held(replica) for replica in path.fleet.replica_ids())
    asked = len(world.script.asked)
    await path.rollout.take_up()
    await path.idle()
    assert len(world.script.asked) == asked, "it has its pause first"
    world.script.says[ours] = _always(RIGHT)
    assert (await path.push("returns", 2)).state is State.LIVE
    left = path.registry.version("returns", path.digest(1))
    assert (left.state, "push it again" in left.error) == (State.FAILED, True)
    assert path.table.aliases["returns"].live == path.digest(2)
    assert (await path.push("returns", 1)).state is State.LIVE


async def test_a_test_that_stood_still_is_made_again(
    path: AdapterPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself, when it is its turn."""
    monkeypatch.setattr(resting, "PAUSES_S", (0.0, 0.0))
    world = gated(path, good=(1,))
    ours = f"returns@{path.digest(1)[:12]}"
    world.script.says[ours] = _overdue
    assert (await path.push("returns", 1)).state is State.GATING
    await path.rollout.take_up()
    await path.idle()
    assert state(path, 1) is State.GATING
    world.script.says[ours] = _always(RIGHT)
    await path.rollout.take_up()
    await path.idle()
    assert state(path, 1) is State.LIVE
    assert _gate_check(path, 1)["ok"] is True


async def test_a_test_that_always_stands_still_is_given_up(
    path: AdapterPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason; pushed again it has all its tries again."""
    monkeypatch.setattr(resting, "PAUSES_S", (0.0,))
    world = gated(path, good=(1,))
    world.script.says[f"returns@{path.digest(1)[:12]}"] = _overdue
    for _ in range(2):
        assert (await path.push("returns", 1)).state is State.GATING
        await path.rollout.take_up()
        await path.idle()
        left = path.registry.version("returns", path.digest(1))
        assert (left.state, "stood still" in left.error) == (State.FAILED, True)


async def test_what_rests_can_be_retired(path: AdapterPath) -> None:
    """And is not tested again."""
    world = gated(path, good=(1,))
    world.script.says[f"returns@{path.digest(1)[:12]}"] = _overdue
    await path.push("returns", 1)
    await path.rollout.retire("returns", path.digest(1))
    await path.idle()
    assert state(path, 1) is State.RETIRED


async def test_a_process_that_dies_while_a_version_rests_tests_it_at_its_next_start(
    path: AdapterPath,
) -> None:
    """It is as one that was interrupted."""
    world = gated(path, good=(1,))
    ours = f"returns@{path.digest(1)[:12]}"
    world.script.says[ours] = _overdue
    await path.push("returns", 1)
    assert state(path, 1) is State.GATING
    await path.aclose()
    path.start()
    gated(path, good=(1,))
    await path.rollout.resume()
    await path.idle()
    assert state(path, 1) is State.LIVE


async def test_a_pushers_own_word_counts_for_nothing(path: AdapterPath) -> None:
    """What the manifest says of a gate is replaced by what the gate found."""
    world = gated(path, good=(1,))
    await path.push("returns", 1)
    version = path.registry.version("returns", path.digest(1))
    assert version.manifest["evaluation"]["gate"]["intents"] == {
        "returns": {"good": 40.0, "judged": 40.0}
    }
    assert [check["ok"] for check in version.checks if check["name"] == "gate"] == [True]
    forged = replace(version, digest="0" * 64)
    assert not await world.gatekeeper.has_passed("returns", forged.digest)


@pytest.mark.parametrize("good", [(1,), ()])
async def test_a_registry_that_dies_anywhere_while_it_gates_lets_nobody_in(
    tmp_path: Path, good: tuple[int, ...]
) -> None:
    """``kill -9`` at each step that the outside can see; the next process goes on to the end."""
    died, step, killed = 0, 0, True
    while killed:
        step += 1
        path = AdapterPath(tmp_path / str(step), FakeFleet("r0"), fate=Fate(dies_at=step))
        world = gated(path, good)
        if not good:
            world.script.says["frontier:cloud/big"] = lambda _: RIGHT
        try:
            await path.push("returns", 1)
        except Killed:
            died += 1
        killed = path.fate is not None and path.fate.steps >= step
        passed = await world.gatekeeper.has_passed("returns", path.digest(1))
        seen = {v.state for v in path.registry.versions("returns")} if killed else set()
        assert passed or not seen & CALLABLE
        await path.rollout.aclose()
        path.registry.close()
        path.fate = None
        path.start()
        world = gated(path, good)
        if not good:
            world.script.says["frontier:cloud/big"] = lambda _: RIGHT
        await path.rollout.resume()
        await path.idle()
        if path.registry.versions("returns"):
            ended = state(path, 1)
            if ended is State.FAILED:  # it had not been stored: whoever pushed pushes again
                ended = (await path.push("returns", 1)).state
            assert ended is (State.LIVE if good else State.REFUSED)
        if not good:
            assert path.digest(1) not in reachable(path)
        await path.aclose()
    assert died > 0
    assert step > 12
