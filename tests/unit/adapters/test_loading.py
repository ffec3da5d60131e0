"""Loading over many replicas: few at once, one at a time on each, and soon everywhere."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from adapters.errors import FleetError, LoadFailed, QuorumNotReached
from adapters.events import EventBus
from adapters.fleet import AdapterFiles, LoadResult
from adapters.publish.loading import Loader
from tests.fakes.adapter_path import FAST
from tests.fakes.fleet import FakeFleet


class Counting(FakeFleet):
    """Also counts how many replicas load at the same moment."""

    at_once = 0
    most_at_once = 0

    async def load(self, replica_id: str, files: AdapterFiles) -> LoadResult:
        """As the real one, counted."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await super().load(replica_id, files)
        finally:
            self.at_once -= 1


async def no_room(_: str) -> bool:
    """Nothing may leave."""
    return False


def files(root: Path) -> AdapterFiles:
    """A version in the store."""
    return AdapterFiles("returns", "a" * 64, root, root.as_uri())


def fleet(replicas: int, load_s: float = 0.0) -> Counting:
    """So many replicas."""
    return Counting(*(f"r{number}" for number in range(replicas)), load_s=load_s)


async def test_three_hundred_replicas_load_in_the_time_of_a_few(tmp_path: Path) -> None:
    """One after the other they would take half a minute; never more than allowed load at once."""
    engines = fleet(300, load_s=0.1)
    loader = Loader(engines, FAST, EventBus())
    async with asyncio.timeout(60):
        slowest = await loader.load_all(files(tmp_path), no_room)
    assert slowest == 0.1
    assert engines.most_at_once == FAST.loads_at_once
    assert all(engine.most_loading == 1 for engine in engines.engines.values())
    assert all(engine.resident for engine in engines.engines.values())


@pytest.mark.parametrize(("replicas", "expected"), [(2, 1), (7, 1), (8, 2), (40, 10), (100, 16)])
async def test_at_most_a_quarter_of_the_replicas_stall_at_once(
    tmp_path: Path, replicas: int, expected: int
) -> None:
    """A load stalls decoding: most replicas go on answering."""
    engines = fleet(replicas, load_s=0.01)
    await Loader(engines, FAST, EventBus()).load_all(files(tmp_path), no_room)
    assert engines.most_at_once == expected


async def test_loads_of_two_versions_do_not_overlap_on_a_replica(tmp_path: Path) -> None:
    """vLLM's loop is blocked by one add; a second would double the stall."""
    engines = fleet(20, load_s=0.02)
    loader = Loader(engines, FAST, EventBus())
    other = AdapterFiles("extract", "b" * 64, tmp_path, tmp_path.as_uri())
    await asyncio.gather(loader.load_all(files(tmp_path), no_room), loader.load_all(other, no_room))
    assert all(engine.most_loading == 1 for engine in engines.engines.values())
    assert all(len(engine.resident) == 2 for engine in engines.engines.values())


async def test_after_one_refusal_no_further_replica_is_asked(tmp_path: Path) -> None:
    """A bad version is not carried through the fleet."""
    engines = fleet(100)

    def refuse(what: str, replica: str | None, _: str) -> None:
        if what == "load" and replica is not None:
            raise LoadFailed("shapes do not fit")

    engines.rules.append(refuse)
    with pytest.raises(LoadFailed):
        await Loader(engines, FAST, EventBus()).load_all(files(tmp_path), no_room)
    assert engines.count("load") <= FAST.loads_at_once


async def test_some_failures_of_many_are_told_and_the_rest_is_loaded(tmp_path: Path) -> None:
    """The quorum decides, over what all replicas said."""
    engines = fleet(40)

    def fail(what: str, replica: str | None, _: str) -> None:
        if what == "load" and replica in {"r3", "r17"}:
            raise FleetError("busy")

    engines.rules.append(fail)
    with pytest.raises(QuorumNotReached, match="38 of 40"):
        await Loader(engines, FAST, EventBus()).load_all(files(tmp_path), no_room)
    lenient = FAST.model_copy(update={"quorum": 0.9})
    events = EventBus()
    await Loader(engines, lenient, events).load_all(files(tmp_path), no_room)
    assert [event.kind for event in events.since(0)][-1] == "prepared-in-part"
