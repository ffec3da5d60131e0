"""What is taken back because its answers had become worse, and what somebody moved meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from adapters.aliases import engine_name
from adapters.errors import QuorumNotReached
from adapters.flywheel.config import FlywheelConfig
from adapters.registry.lifecycle import State
from adapters.takeover.watch import Watch, taken_back
from adapters.traffic import VersionTraffic
from tests.fakes.adapter_path import AdapterPath
from tests.fakes.fleet import FakeFleet

BAD = VersionTraffic(requests=100, judged=40, good=4.0)
ROUTES = {"refunds": {"alias": "returns", "triggers": {"quality_drop": 0.1}}}


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[AdapterPath]:
    """Two versions, of which the gate found the live one good."""
    made = AdapterPath(tmp_path, FakeFleet("r0"))
    for seed in (1, 2):
        await made.push("returns", seed)
    gate = {"passed": True, "good": 95.0, "judged": 100.0}
    made.registry.learn("returns", made.digest(2), manifest={"evaluation": {"gate": gate}})
    yield made
    await made.aclose()


async def test_what_became_worse_is_taken_back(path: AdapterPath) -> None:
    """For good, and the registry remembers when: also the next process knows."""
    bad = engine_name("returns", path.digest(2))
    watch = Watch(
        FlywheelConfig.model_validate({"routes": ROUTES}),
        path.registry,
        path.rollout,
        lambda name: BAD if name == bad else VersionTraffic(),
        path.events,
    )
    assert taken_back(path.registry, "returns") is None
    await watch.tick()
    assert path.registry.alias("returns").live == path.digest(1)
    assert path.registry.version("returns", path.digest(2)).state is State.QUARANTINED
    assert taken_back(path.registry, "returns") is not None


async def test_what_somebody_moved_meanwhile_is_left_alone(path: AdapterPath) -> None:
    """An operator was quicker: the good one is not taken for the bad, nor the bad brought back."""

    def overtaken(_name: str) -> VersionTraffic:
        path.registry.commit("returns", path.digest(1), by="ops", action="rollback")
        return BAD

    watch = Watch(
        FlywheelConfig.model_validate({"routes": ROUTES}),
        path.registry,
        path.rollout,
        overtaken,
        path.events,
    )
    await watch.tick()
    assert "demoted" not in {each.kind for each in path.events.since(0)}, "it did not happen"
    assert path.registry.alias("returns").live == path.digest(1)
    assert path.registry.version("returns", path.digest(1)).state is State.LIVE
    assert taken_back(path.registry, "returns") is None


async def test_what_cannot_be_taken_back_now_is_tried_again_and_told_once(
    path: AdapterPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second's event each would push out all others."""
    watch = Watch(
        FlywheelConfig.model_validate({"routes": ROUTES}),
        path.registry,
        path.rollout,
        lambda _name: BAD,
        path.events,
    )

    async def fails(*_: object, **__: object) -> None:
        raise QuorumNotReached("no engine replica is alive")

    with monkeypatch.context() as broken:
        broken.setattr(path.rollout, "rollback", fails)
        for _ in range(3):
            await watch.tick()
    await watch.tick()
    told = [each.kind for each in path.events.since(0) if each.kind.startswith("demot")]
    assert told == ["demotion-failed", "demoted"]
    assert path.registry.alias("returns").live == path.digest(1)
