"""What starts a distillation by itself, and what does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapters.distill.distillations import Distillation
from adapters.distill.states import DistillState
from adapters.distill.triggers import Facts, due
from adapters.flywheel.config import TriggersConfig

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
