"""Whatever fails at whatever point: what is told is what is served, and nothing stays invisible."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.engine.loaded import EngineError, EngineRefused, LoadedAdapters
from tests.fakes.replica_engine import FakeClient, FakeRequest

NAMES = ("a@1", "b@2", "c@3")
BESIDE = ("graftwork_begin", "graftwork_advance", "graftwork_abandon")
CALLS = ("add_lora", "remove_lora", "list_loras", "pin_lora", "graftwork_unpin", *BESIDE)


class World:
    """The adapters of one engine whose calls fail as a script says."""

    def __init__(self, *, beside: bool = False) -> None:
        self.client = FakeClient()
        self.front: dict[str, FakeRequest] = {}
        self.loaded = LoadedAdapters(self.client, self.front, FakeRequest, beside=beside)
        self.failing: list[str] = []
        self.cancelled_at: str | None = None
        self.client.fault = self._fault

    def _fault(self, call: str) -> None:
        if self.cancelled_at == call:
            self.cancelled_at = None
            raise asyncio.CancelledError
        if call in self.failing:
            self.failing.remove(call)
            raise RuntimeError(f"{call} failed")

    @property
    def held(self) -> list[str]:
        """Names of what the engine holds, one entry a copy."""
        return sorted(request.lora_name for request in self.client.held.values())

    async def do(self, action: str, name: str, failing: Sequence[str]) -> None:
        """One action during which each of ``failing`` fails once."""
        self.failing = list(failing)
        with suppress(EngineError):
            match action:
                case "add":
                    await self.loaded.add(name, "/files")
                case "remove":
                    await self.loaded.remove(name)
                case "pin":
                    await self.loaded.pin(frozenset({name}))
                case _:
                    await self.loaded.ask()
        self.failing = []

    def check(self) -> None:
        """Holds at any moment."""
        assert self.loaded.served <= set(self.held), "told without being held"
        assert set(self.front) == self.loaded.served, "served is not what is told"
        numbers = {name: request.lora_int_id for name, request in self.front.items()}
        assert set(numbers.values()) <= self.client.held.keys(), "a name with a number long gone"
        pinned = {self.client.held[number].lora_name for number in self.client.pinned}
        assert self.loaded.pinned <= pinned, "told as pinned without being it"

    async def check_settled(self) -> None:
        """Holds as soon as the engine could be asked once."""
        await self.loaded.ask()
        self.check()
        assert sorted(self.loaded.served) == self.held, "something is invisible"


STEPS = st.tuples(
    st.sampled_from(("add", "remove", "pin", "ask")),
    st.sampled_from(NAMES),
    st.lists(
        st.sampled_from([*CALLS, *(f"{call}!" for call in CALLS if call != "list_loras")]),
        max_size=4,
    ),
)


@given(st.lists(STEPS, max_size=12), st.booleans())
@settings(deadline=None, max_examples=400)
def test_told_is_served_and_nothing_stays_invisible(
    steps: list[tuple[str, str, list[str]]],
    beside: bool,
) -> None:
    """Over sequences of loads, removals and pins that fail before or after their effect."""

    async def run() -> None:
        world = World(beside=beside)
        for step in steps:
            await world.do(*step)
            world.check()
        await world.check_settled()

    asyncio.run(run())


@given(
    st.lists(STEPS, max_size=6),
    st.sampled_from(CALLS),
    st.sampled_from(("add", "remove")),
    st.booleans(),
)
@settings(deadline=None, max_examples=300)
def test_a_call_that_is_given_up_halfway_hides_nothing(
    steps: list[tuple[str, str, list[str]]],
    where: str,
    action: str,
    beside: bool,
) -> None:
    """The caller's connection breaks while the engine works: its work is found afterwards."""

    async def run() -> None:
        world = World(beside=beside)
        for step in steps:
            await world.do(*step)
        world.cancelled_at = f"{where}!" if where != "list_loras" else where
        with suppress(asyncio.CancelledError):
            await world.do(action, NAMES[0], ())
        world.cancelled_at = None
        world.check()
        await world.check_settled()

    asyncio.run(run())


async def test_a_name_is_closed_before_its_removal_waits() -> None:
    """Who arrives after the call is sent elsewhere, though another call is still under way."""
    world = World()
    await world.loaded.add(NAMES[0], "/files")
    asking = asyncio.create_task(world.loaded.ask())
    await asyncio.sleep(0)
    leaving = asyncio.create_task(world.loaded.remove(NAMES[0]))
    await asyncio.sleep(0)
    assert NAMES[0] not in world.front
    await asking
    assert NAMES[0] not in world.front, "the word of before does not open it again"
    assert await leaving == frozenset()


async def test_a_half_loaded_version_leaves_before_anything_else_is_loaded() -> None:
    """It takes a place of the engine's, and whoever used it would read the disk in a step."""
    world = World()
    await world.do("add", NAMES[0], ["add_lora!", "remove_lora"])
    assert (world.held, world.front) == ([NAMES[0]], {})
    await world.do("add", NAMES[1], ["remove_lora"])
    assert world.held == [NAMES[0]], "the engine still holds what it did not take"
    await world.do("add", NAMES[1], [])
    assert world.held == [NAMES[1]]


async def test_what_the_engine_dropped_by_itself_is_no_longer_served() -> None:
    """A request for it would have the engine read the disk inside a step."""
    world = World()
    await world.loaded.add(NAMES[0], "/files")
    world.client.held.clear()
    assert await world.loaded.ask() == frozenset()
    assert world.front == {}


@pytest.mark.parametrize("beside", [False, True])
async def test_a_refusal_tells_no_path(beside: bool) -> None:
    """vLLM's text names the directory on this node; the answer names the version."""
    world = World(beside=beside)
    with pytest.raises(EngineRefused, match="bad@1 is of no use") as refused:
        await world.loaded.add("bad@1", "/srv/secret/staged")
    assert "/srv" not in str(refused.value)


async def test_names_that_others_serve_are_left_alone() -> None:
    """vLLM's front end may serve adapters of its own configuration."""
    world = World()
    world.front["static"] = FakeRequest("static", 99, "/static")
    await world.loaded.add(NAMES[0], "/files")
    await world.loaded.remove(NAMES[0])
    assert set(world.front) == {"static"}
