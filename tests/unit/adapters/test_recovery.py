"""What was begun and is in nobody's hands: a database that failed leaves nothing stuck for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from adapters.errors import LoadFailed, RegistryError
from adapters.registry import Plan
from adapters.registry.lifecycle import UNFINISHED, State
from tests.fakes.adapter_path import AdapterPath
from tests.fakes.fleet import FakeFleet
from tests.fakes.tiny_adapter import BASE


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[AdapterPath]:
    """Two replicas."""
    made = AdapterPath(tmp_path, FakeFleet("r0", "r1"))
    yield made
    await made.aclose()


class FailingMoves:
    """The registry's database fails from one move on, for a while."""

    def __init__(self, path: AdapterPath, monkeypatch: pytest.MonkeyPatch, first: State) -> None:
        self._move = path.registry.move
        self._first = first
        self.fails = False
        self.over = False
        monkeypatch.setattr(path.registry, "move", self)

    def __call__(self, alias: str, digest: str, to: State, **rest: Any) -> Any:
        self.fails |= to is self._first
        if self.fails and not self.over:
            raise RegistryError("the registry's database failed: server closed the connection")
        return self._move(alias, digest, to, **rest)


def state(path: AdapterPath, seed: int) -> State:
    """Where the version is."""
    return path.registry.version("returns", path.digest(seed)).state


@pytest.mark.parametrize("broken", [State.CHECKED, State.STORED])
async def test_a_database_that_fails_during_intake_does_not_hold_the_bytes_for_ever(
    path: AdapterPath, monkeypatch: pytest.MonkeyPatch, broken: State
) -> None:
    """The same bytes, pushed again, start again: they are not "known" and never served."""
    database = FailingMoves(path, monkeypatch, broken)
    with pytest.raises(RegistryError):
        await path.push("returns", 1)
    assert state(path, 1) in UNFINISHED
    database.over = True
    outcome = await path.push("returns", 1)
    assert (outcome.state, outcome.known) == (State.LIVE, False)


async def test_an_arrival_that_nobody_works_on_ends_at_the_next_pass(
    path: AdapterPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are gone with the request; who looks finds that it failed, and why."""
    database = FailingMoves(path, monkeypatch, State.CHECKED)
    with pytest.raises(RegistryError):
        await path.push("returns", 1)
    database.over = True
    await path.reconciler.converge()
    version = path.registry.version("returns", path.digest(1))
    assert (version.state, "push it again" in version.error) == (State.FAILED, True)


@pytest.mark.parametrize("broken", [State.PREPARING, State.PREPARED])
async def test_a_publish_that_the_database_broke_off_goes_on_at_the_next_pass(
    path: AdapterPath, monkeypatch: pytest.MonkeyPatch, broken: State
) -> None:
    """Neither the move nor its undoing was written down."""
    database = FailingMoves(path, monkeypatch, broken)
    await path.push("returns", 1)
    assert state(path, 1) in UNFINISHED
    database.over = True
    await path.reconciler.converge()
    await path.idle()
    assert state(path, 1) is State.LIVE


async def test_a_bad_version_whose_undoing_failed_is_quarantined_at_the_next_pass(
    path: AdapterPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine refuses it again, and this time that can be written down."""

    def refuse(what: str, _replica: str | None, _name: str) -> None:
        if what == "load":
            raise LoadFailed("shapes do not fit")

    path.fleet.rules.append(refuse)
    database = FailingMoves(path, monkeypatch, State.QUARANTINED)
    await path.push("returns", 1)
    assert state(path, 1) is State.PREPARING
    database.over = True
    await path.reconciler.converge()
    await path.idle()
    assert state(path, 1) is State.QUARANTINED


async def test_a_bug_in_a_check_does_not_hold_the_bytes_either(
    path: AdapterPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version failed, and says that it was no fault of its own."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("adapters.publish.intake.preflight", broken)
    outcome = await path.push("returns", 1)
    assert (outcome.state, "internal error" in outcome.error) == (State.FAILED, True)


async def test_a_push_before_the_first_engine_is_up_waits_and_is_shown(path: AdapterPath) -> None:
    """The start's own clean-up leaves it alone: somebody is at work on it."""
    path.base = None
    path.settings = path.settings.model_copy(update={"replicas_timeout_s": 20.0})
    path.config = path.config.model_copy(update={"rollout": path.settings})
    await path.restart()
    pushing = asyncio.create_task(path.push("returns", 1))
    async with asyncio.timeout(60):
        while not path.registry.versions("returns"):  # noqa: ASYNC110 - it comes with a write
            await asyncio.sleep(0.01)
    assert state(path, 1) is State.RECEIVED
    path.base = BASE
    await path.rollout.resume()
    await path.reconciler.converge()
    outcome = await pushing
    assert (outcome.state, outcome.error) == (State.LIVE, "")


async def test_a_pass_leaves_a_publish_under_way_alone(path: AdapterPath) -> None:
    """It is not published twice, and not ended."""
    path.fleet.load_s = 0.2
    pushing = asyncio.create_task(path.push("returns", 1))
    await asyncio.sleep(0.1)
    await path.rollout.take_up()
    outcome = await pushing
    assert outcome.state is State.LIVE
    assert path.fleet.count("probe") == 1


async def test_nothing_is_taken_up_before_the_base_is_known(path: AdapterPath) -> None:
    """A publish that waits for its first engine would fail for want of time."""
    path.registry.receive("returns", path.digest(1), plan=Plan(), by="test")
    path.base = None
    await path.rollout.take_up()
    assert state(path, 1) is State.RECEIVED
