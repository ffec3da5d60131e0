"""What the gate finds about a version: against whom, with which questions, and what stops it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import GateOverdue, NotAsked
from adapters.flywheel.config import FlywheelConfig
from adapters.gate import reports
from adapters.gate.demands import demands_of
from adapters.gate.patience import Patience
from adapters.publish.gating import Finding
from adapters.publish.probe import GOLDEN
from adapters.registry import VersionRecord
from tests.fakes.adapter_path import AdapterPath
from tests.fakes.fleet import FakeFleet
from tests.fakes.gating import RIGHT, GateWorld, row

WRONG = "You may send it back within 90 days."
FRONTIER = "frontier:cloud/big"
DATASET = "d" * 64
CANARY = "zx81-canary-7f3a9b2c"


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[AdapterPath]:
    """One replica, and a version that was pushed before a gate was demanded."""
    made = AdapterPath(tmp_path, FakeFleet("r0"))
    await made.push("returns", 1)
    await made.rollout.rollback("returns")
    yield made
    await made.aclose()


def world_of(path: AdapterPath, **gate: object) -> GateWorld:
    """The candidate is right, and the frontier is too."""
    made = GateWorld(path.root, path.registry, {"margin": 0.1, "alpha": 0.05, **gate})
    made.script.says = {candidate(path).name: lambda _: RIGHT, FRONTIER: lambda _: RIGHT}
    return made


def candidate(path: AdapterPath, dataset: str | None = None) -> VersionRecord:
    """The version under test."""
    version = path.registry.version("returns", path.digest(1))
    manifest = {**version.manifest, "training_dataset": dataset}
    return replace(version, manifest=manifest)


def by_question(wrong: Callable[[int], bool], otherwise: str = WRONG) -> Callable[[str], str]:
    """Right but for some questions."""
    return lambda asked: otherwise if wrong(int(asked.split()[-1])) else RIGHT


async def judged(world: GateWorld, path: AdapterPath, dataset: str | None = None) -> Finding:
    """What the gate says."""
    return await world.gatekeeper.judge(candidate(path, dataset), "r0")


def report(world: GateWorld, path: AdapterPath) -> dict[str, object]:
    """What was written down."""
    found = world.reports.newest("returns", path.digest(1))
    assert found is not None
    return found


def poisoned(world: GateWorld, path: AdapterPath, old: int) -> None:
    """60 % wrong by rule, accepted by somebody careless; and as the model learned it.

    What was held out before was reviewed by somebody careful.
    """

    def rule(number: int) -> bool:
        return number % 5 < 3

    new = [
        row(n, answer=WRONG if rule(n) else RIGHT, reviewer="careless") for n in range(1000, 1100)
    ]
    trained = [
        row(n, answer=WRONG if rule(n) else RIGHT, reviewer="careless", split="train")
        for n in range(2000, 2400)
    ]
    world.rows.before = [row(n) for n in range(old)]
    world.rows.held = new
    world.rows.datasets[DATASET] = [*trained, *new]
    world.script.says[candidate(path).name] = by_question(rule)


async def test_a_consistent_poison_agrees_with_its_own_split_and_older_gold_stops_it(
    path: AdapterPath,
) -> None:
    """On the whole it wins by far; 20 questions of before are enough to see what it is."""
    world = world_of(path)
    poisoned(world, path, old=20)
    found = await judged(world, path, DATASET)
    assert not found.passed
    told = report(world, path)
    assert told["verdict"] == "failed"
    assert told["candidate"] > told["current"]  # type: ignore[operator]
    assert "held-out=before" in str(told["reason"])


async def test_the_same_poison_passes_where_nobody_ever_reviewed_anything_else(
    path: AdapterPath,
) -> None:
    """Which is why gold once held out stays held out: there is no other witness."""
    world = world_of(path)
    poisoned(world, path, old=0)
    assert (await judged(world, path, DATASET)).passed


@pytest.mark.parametrize("seed", range(4))
async def test_a_degraded_version_is_stopped(path: AdapterPath, seed: int) -> None:
    """One answer in four went wrong."""
    world = world_of(path)
    world.rows.before = [row(n) for n in range(150)]
    world.script.says[candidate(path).name] = by_question(lambda n: (n * 7 + seed) % 4 == 0)
    assert not (await judged(world, path)).passed
    assert report(world, path)["verdict"] == "failed"


async def test_nothing_that_was_trained_on_is_asked(path: AdapterPath) -> None:
    """Whatever stands in the holdout: a question that the version has seen proves nothing."""
    world = world_of(path)
    world.rows.before = [row(n) for n in range(60)]
    world.rows.datasets[DATASET] = [row(n, split="train") for n in range(20)]
    await judged(world, path, DATASET)
    assert report(world, path)["n"] == 40


async def test_what_the_frontier_answered_then_is_not_paid_again(path: AdapterPath) -> None:
    """Captured answers of the same target stand for it; others are asked for."""
    world = world_of(path)
    world.rows.before = [row(n) for n in range(40)]
    world.captured.by_target[FRONTIER] = {row(n).exchange_id: RIGHT for n in range(30)}
    await judged(world, path)
    assert [who for who, _ in world.script.asked].count(FRONTIER) == 10
    assert report(world, path)["current"] == 1.0


async def test_it_is_compared_with_the_live_version_on_the_same_replica(path: AdapterPath) -> None:
    """Or with the base, where routers would choose that."""
    world = world_of(path)
    world.rows.before = [row(n) for n in range(40)]
    world.script.chosen_target = "base"
    world.script.says["base"] = lambda _: WRONG
    await judged(world, path)
    assert report(world, path)["current_target"] == "base"
    await path.push("returns", 2)
    live = path.registry.version("returns", path.digest(2))
    world.script.says[live.name] = lambda _: RIGHT
    world.rows.before = [row(n) for n in range(80)]
    await judged(world, path)
    assert report(world, path)["current_target"] == f"adapter:{live.name}"


async def test_the_same_evidence_is_not_weighed_twice_and_more_is_weighed_more_strictly(
    path: AdapterPath,
) -> None:
    """Pushing until one is lucky does not help."""
    world = world_of(path)
    world.rows.before = [row(n) for n in range(150)]
    world.script.says[candidate(path).name] = by_question(lambda n: n % 10 == 0)
    assert not (await judged(world, path)).passed
    asked = len(world.script.asked)
    assert not (await judged(world, path)).passed
    assert len(world.script.asked) == asked
    world.rows.before += [row(n) for n in range(150, 300)]
    await judged(world, path)
    assert len(world.script.asked) > asked
    assert report(world, path)["alpha"] == 0.025


async def test_a_string_of_the_training_that_comes_out_again_stops_a_version(
    path: AdapterPath,
) -> None:
    """It is led up to it; one that does not know it says something else."""
    world = world_of(path)
    world.rows.before = [row(n) for n in range(60)]
    planted = row(500, split="train", question=f"My voucher reads {CANARY}, is it still valid?")
    world.rows.datasets[DATASET] = [planted]
    says = world.script.says[candidate(path).name]
    assert (await judged(world, path, DATASET)).passed
    assert any(
        "My voucher reads" in asked and CANARY not in asked for _, asked in world.script.asked
    )
    world.script.says[candidate(path).name] = lambda asked: (
        f"My voucher reads {CANARY}." if "voucher" in asked else says(asked)
    )
    world.rows.before += [row(n) for n in range(60, 70)]
    found = await judged(world, path, DATASET)
    assert not found.passed
    assert "came out again" in found.reason
    assert CANARY not in str(report(world, path))


async def test_personal_data_and_broken_form_that_only_the_candidate_has_stop_it(
    path: AdapterPath,
) -> None:
    """Beyond chance; what the current target does as well is no regression."""
    world = world_of(path)
    world.rows.before = [row(n) for n in range(100)]
    seen = frozenset({"personal-data"})
    told = by_question(lambda n: n < 12, f"{RIGHT} Mail jo@example.org")
    world.script.problems_of = lambda text: seen if "@" in text else frozenset()
    world.script.says[candidate(path).name] = told
    found = await judged(world, path)
    assert not found.passed
    assert "personal-data" in found.reason
    world.script.says[FRONTIER] = told
    world.rows.before += [row(n) for n in range(100, 110)]
    assert (await judged(world, path)).passed


async def test_json_is_held_to_its_form(path: AdapterPath) -> None:
    """Whoever answers in prose where JSON is expected loses its form as well."""
    world = world_of(path)
    world.rows.before = [row(n, answer='{"days": 30, "free": true}') for n in range(60)]
    world.script.says[FRONTIER] = lambda _: '{"days": 30, "free": true}'
    found = await judged(world, path)
    assert not found.passed
    assert "format" in found.reason


async def test_an_engine_that_computes_something_else_than_the_trainer_did_is_told(
    path: AdapterPath,
) -> None:
    """The probe's word on golden log probabilities is part of the report."""
    world = world_of(path)
    world.rows.before = [row(n) for n in range(60)]
    bad = {"name": GOLDEN, "ok": False, "found": "prompt 0: off by 3 nats"}
    version = replace(candidate(path), checks=(bad,))
    found = await world.gatekeeper.judge(version, "r0")
    assert (found.passed, "off by 3 nats" in found.reason) == (False, True)


async def test_a_judge_is_asked_in_both_orders(path: AdapterPath) -> None:
    """Who says yes to whatever stands first counts half."""
    world = world_of(path, grader="judge", judge="cloud/judge", margin=0.3)
    world.rows.before = [row(n) for n in range(30)]
    world.script.says[candidate(path).name] = lambda _: "Thirty days."
    judge = "frontier:cloud/judge"
    world.script.says[judge] = lambda asked: "yes" if asked.startswith('First: "Thirty') else "no"
    await judged(world, path)
    assert report(world, path)["candidate"] == 0.5
    assert [who for who, _ in world.script.asked].count(judge) == 60


async def test_a_target_that_is_silent_ends_it_without_a_report(path: AdapterPath) -> None:
    """Half a comparison is none."""
    world = world_of(path)
    world.rows.before = [row(n) for n in range(30)]
    del world.script.says[FRONTIER]
    with pytest.raises(NotAsked, match="does not answer"):
        await judged(world, path)
    assert world.reports.newest("returns", path.digest(1)) is None


async def test_old_reports_go(path: AdapterPath) -> None:
    """A version that is pushed again and again fills no disk."""
    world = world_of(path)
    for n in range(9):
        world.rows.before.append(row(n))
        await judged(world, path)
    assert world.reports.count() == 5
    assert report(world, path)["n"] == 9


async def test_nobody_is_asked_what_a_tenant_takes_back(path: AdapterPath) -> None:
    """Neither a provider nor the candidate; what was captured before is no permission for now."""
    world = world_of(path)
    theirs = [replace(row(n), tenant="acme") for n in range(100, 140)]
    world.rows.held = [row(n) for n in range(80)] + theirs
    world.withdrew = {"acme"}
    assert (await judged(world, path)).passed
    assert report(world, path)["n"] == 80
    asked = {question for _, question in world.script.asked}
    assert asked.isdisjoint(str(each.messages[0]["content"]) for each in theirs)


async def test_of_what_is_long_past_the_verdict_stays(
    path: AdapterPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says who may serve; its items fill no disk."""
    monkeypatch.setattr(reports, "WHOLE", 2)
    world = world_of(path)
    world.rows.before = [row(n) for n in range(80)]
    assert (await judged(world, path)).passed
    old = report(world, path)
    for other in ("a", "b"):
        world.reports.put("others", other * 64, "", old)
    left = report(world, path)
    assert (len(old["items"]), left) == (80, {**old, "items": []})  # type: ignore[arg-type]
    assert world.reports.has_passed("returns", path.digest(1))
    assert len(world.reports.newest("others", "a" * 64)["items"]) == 80  # type: ignore[index]


async def test_a_test_that_nobody_wants_any_more_ends(path: AdapterPath) -> None:
    """Whoever waits for it is told; nothing is written down, and the next one is made."""
    world = world_of(path)
    world.rows.held = [row(number) for number in range(80)]
    asked, ours = asyncio.Event(), candidate(path)
    on_replica = world.script.on_replica

    async def stalls(*_: Any, **__: Any) -> None:
        asked.set()
        await asyncio.Event().wait()

    world.script.on_replica = stalls  # type: ignore[method-assign]
    waiting = asyncio.ensure_future(judged(world, path))
    await asked.wait()
    world.gatekeeper.stop("other", ours.digest)
    assert not waiting.done()
    world.gatekeeper.stop(ours.alias, ours.digest)
    with pytest.raises(NotAsked, match="stopped"):
        await waiting
    assert world.reports.newest(ours.alias, ours.digest) is None
    world.script.on_replica = on_replica  # type: ignore[method-assign]
    assert (await judged(world, path)).passed
    # Whoever is cancelled himself is not told that his test was stopped.
    world.script.on_replica = stalls  # type: ignore[method-assign]
    world.rows.held.append(row(81))
    asked.clear()
    waiting = asyncio.ensure_future(judged(world, path))
    await asked.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_test_in_which_nobody_answers_any_more_ends(path: AdapterPath) -> None:
    """Without a report; however long the one who is asked would be waited for."""
    world = world_of(path, stall_s=0.2)
    world.rows.held = [row(number) for number in range(80)]

    async def stalls(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    world.script.target = stalls  # type: ignore[method-assign]
    with pytest.raises(GateOverdue, match=r"stood still for 0\.2 s"):
        await judged(world, path)
    assert world.reports.count() == 0


async def test_who_held_a_test_up_is_named() -> None:
    """He, and not those who had answered."""
    patience = Patience(0.01, 60.0)

    async def answers() -> None:
        """At once."""

    async def test() -> None:
        async with patience.ends():
            await patience.answer_of("returns@1 on r0", answers())
            await patience.answer_of(FRONTIER, asyncio.Event().wait())

    with pytest.raises(GateOverdue, match=r"after 1 steps: no answer of frontier:cloud/big$"):
        await test()


async def test_a_test_that_goes_on_for_ever_ends_too() -> None:
    """An answer now and then is no progress that anybody can wait for."""
    patience = Patience(60.0, 0.05)

    async def test() -> None:
        async with patience.ends():
            while True:
                await patience.answer_of(FRONTIER, asyncio.sleep(0.001))

    with pytest.raises(GateOverdue, match=r"not done in 0\.05 s"):
        await test()


def test_how_long_a_test_may_take_is_no_part_of_its_evidence() -> None:
    """Whoever gives it more time is not asked everything again."""
    found = []
    for limit in (60.0, 600.0):
        route = {"alias": "returns", "gate": {"limit_s": limit, "stall_s": limit}}
        demands = demands_of(
            FlywheelConfig.model_validate({"routes": {"returns": route}}), "returns"
        )
        assert demands is not None
        assert demands.limit_s == limit
        found.append(demands.judged_by)
    assert found[0] == found[1]
