"""What starts a distillation by itself, and what does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from adapters.distill.asking import Asking
from adapters.distill.distillations import Distillation, Distillations
from adapters.distill.states import DistillState
from adapters.distill.triggers import Facts, Signs, Triggers, due
from adapters.events import EventBus
from adapters.flywheel.config import FlywheelConfig, TriggersConfig
from adapters.flywheel.database import FlywheelStore
from tests.fakes.corpus import at_once
from tests.fakes.learning_loop import FakeData

NOW = 1_800_000_000.0
LAST = Distillation(
    number=1,
    id="dst_1",
    alias="returns",
    intent="returns",
    dataset="d" * 64,
    settings={},
    cause="request",
    author="ops",
    state=DistillState.LIVE,
    reason="",
    step=3,
    steps=3,
    loss=0.1,
    eta_s=None,
    digest="a" * 64,
    gate=None,
    starts=1,
    created_at=NOW - 7200,
    updated_at=NOW - 7000,
    ended_at=NOW - 7000,
)
ASKS = TriggersConfig(new_gold=20, every_h=1.0, drift=True)


def facts(**fields: Any) -> Facts:
    """Two hours after the last one."""
    return Facts(**{"now": NOW, "new_gold": 0, "last": LAST, "drifting": False, **fields})


@pytest.mark.parametrize(
    ("triggers", "known", "expected"),
    [
        (TriggersConfig(), facts(new_gold=500, drifting=True), None),
        (TriggersConfig(new_gold=20), facts(new_gold=19), None),
        (TriggersConfig(new_gold=20), facts(new_gold=20), "new_gold"),
        (TriggersConfig(new_gold=20), facts(new_gold=20, last=None), "new_gold"),
        (TriggersConfig(drift=True), facts(new_gold=1, drifting=True), "drift"),
        (TriggersConfig(drift=True), facts(new_gold=0, drifting=True), None),
        (TriggersConfig(drift=True), facts(new_gold=1), None),
        (TriggersConfig(every_h=2.0), facts(new_gold=1), "schedule"),
        (TriggersConfig(every_h=2.1), facts(new_gold=1), None),
        (TriggersConfig(quality_drop=0.1), facts(new_gold=1, fallen=True), "quality_drop"),
        (TriggersConfig(quality_drop=0.1), facts(fallen=True), None),
    ],
)
def test_each_trigger(triggers: TriggersConfig, known: Facts, expected: str | None) -> None:
    """Without new gold the same data would make the same version again: nothing starts."""
    assert due(triggers, known) == expected


def test_nothing_thrashes() -> None:
    """Not while one is under way, nor soon after it ended."""
    busy = replace(LAST, state=DistillState.TRAINING, ended_at=None)
    assert due(ASKS, facts(new_gold=500, last=busy)) is None
    just = replace(LAST, ended_at=NOW - ASKS.cooldown_s + 1)
    assert due(ASKS, facts(new_gold=500, last=just)) is None
    assert due(ASKS, facts(new_gold=500, last=replace(just, ended_at=NOW - 601))) == "new_gold"


def test_what_a_gate_missed_is_waited_for() -> None:
    """A gate that could not judge said how many items it wants."""
    refused = replace(LAST, state=DistillState.REFUSED, gate={"n_missing": 80})
    asks = TriggersConfig(new_gold=20)
    assert due(asks, facts(new_gold=79, last=refused)) is None
    assert due(asks, facts(new_gold=80, last=refused)) == "new_gold"


class _Gold:
    """When each intent's gold answers were settled."""

    def __init__(self, **settled: list[float]) -> None:
        self._settled = settled

    def count_gold(self, intent: str | None = None, since: float | None = None) -> int:
        return sum(at >= (since or 0.0) for at in self._settled[str(intent)])


async def test_what_one_intent_learned_is_no_news_of_another(tmp_path: Path) -> None:
    """Both learn into one alias: gold of before the other's training is new all the same."""
    routes = {
        name: {"alias": "one", "triggers": {"new_gold": 2, "cooldown_s": 60}} for name in "ab"
    }
    gold = _Gold(a=[100.0, 100.0], b=[100.0, 100.0])
    with _triggered(tmp_path, routes, gold) as (triggers, distillations, clock):
        await triggers.tick()
        [first] = distillations.under_way()
        assert (first.intent, first.cause) == ("a", "new_gold")
        distillations.move(first.id, DistillState.FAILED, "the disk is full")
        await triggers.tick()
        assert distillations.under_way() == [], "too soon after the alias's last one"
        clock[0] += 61
        await triggers.tick()
        assert [each.intent for each in distillations.under_way()] == ["b"]


async def test_a_version_that_was_taken_back_is_made_again_after_a_restart(tmp_path: Path) -> None:
    """As soon as there is new gold; what was distilled since counts for it."""
    routes = {"a": {"alias": "one", "triggers": {"quality_drop": 0.1, "cooldown_s": 0}}}
    settled = [900.0]
    with _triggered(tmp_path, routes, _Gold(a=settled), taken_back=950.0) as found:
        triggers, distillations, clock = found
        await triggers.tick()
        [made] = distillations.under_way()
        assert made.cause == "quality_drop"
        distillations.move(made.id, DistillState.CANCELLED, "by hand")
        settled.append(clock[0] + 1)
        clock[0] += 10
        await triggers.tick()
        assert distillations.under_way() == []


@contextmanager
def _triggered(
    root: Path, routes: dict[str, Any], gold: _Gold, taken_back: float | None = None
) -> Iterator[tuple[Triggers, Distillations, list[float]]]:
    """Triggers of a registry that has just started, and the hands of its clock."""
    clock = [1000.0]
    store = FlywheelStore.open(f"sqlite:///{root / 'flywheel.db'}", at_once)
    config = FlywheelConfig.model_validate({"routes": routes})
    distillations = Distillations(store, clock=lambda: clock[0])
    triggers = Triggers(
        config,
        distillations,
        Asking(config, FakeData()),
        gold,
        Signs(lambda: False, lambda _alias: taken_back),
        lambda: None,
        EventBus(),
        lambda: clock[0],
    )
    try:
        yield triggers, distillations, clock
    finally:
        store.close()
