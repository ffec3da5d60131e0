"""Every router gets the newest table; a slow one holds up nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from adapters.aliases import Peer, RoutingTable
from adapters.errors import FleetError
from serving.internal.reports import RouterState
from serving.registry.broadcast import UNHEARD, Broadcast


def table(revision: int) -> RoutingTable:
    """A table."""
    return RoutingTable(revision=revision, epoch=revision)


@dataclass
class Routers:
    """Routers by name; each takes a table when it is let, and the dead refuse."""

    names: list[str] = field(default_factory=lambda: ["a", "b"])
    slow: dict[str, asyncio.Event] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    got: list[tuple[str, int]] = field(default_factory=list)
    taken: asyncio.Condition = field(default_factory=asyncio.Condition)

    def peers(self) -> list[Peer]:
        """Those that are alive."""
        return [Peer(id=name, url="", secret="") for name in self.names]

    async def put(self, router: Peer, payload: bytes) -> RouterState:
        """One router takes a table."""
        if router.id in self.slow:
            await self.slow[router.id].wait()
        if router.id in self.dead:
            raise FleetError("dead")
        given = RoutingTable.model_validate_json(payload)
        async with self.taken:
            self.got.append((router.id, given.revision))
            self.taken.notify_all()
        return RouterState(revision=given.revision, epoch=given.epoch)

    async def until(self, name: str, revision: int) -> None:
        """Wait until one router has a table."""
        async with self.taken:
            await self.taken.wait_for(lambda: (name, revision) in self.got)


@pytest.fixture
async def routers() -> Routers:
    """Two routers."""
    return Routers()


@pytest.fixture
async def broadcast(routers: Routers) -> AsyncIterator[Broadcast]:
    """What hands them tables."""
    made = Broadcast(routers.put, routers.peers)
    yield made
    await made.aclose()


async def test_an_answer_is_the_acknowledgement(routers: Routers, broadcast: Broadcast) -> None:
    """Nobody is asked afterwards what it applies."""
    broadcast.send(table(3))
    assert await broadcast.agreed(lambda said: said.epoch >= 3, 5)
    assert sorted(routers.got) == [("a", 3), ("b", 3)]


async def test_a_slow_router_gets_the_newest_only(routers: Routers, broadcast: Broadcast) -> None:
    """While it was busy, the others went on; what it missed is not sent."""
    routers.slow["b"] = asyncio.Event()
    broadcast.send(table(1))
    await routers.until("a", 1)
    for revision in (2, 3):
        broadcast.send(table(revision))
    assert not await broadcast.agreed(lambda said: said.revision >= 3, 0.0)
    await routers.until("a", 3)
    routers.slow["b"].set()
    assert await broadcast.agreed(lambda said: said.revision >= 3, 5)
    assert [revision for name, revision in routers.got if name == "b"][-1] == 3


async def test_a_router_that_dies_is_not_waited_for(routers: Routers, broadcast: Broadcast) -> None:
    """Once membership has forgotten it."""
    routers.dead.add("b")
    broadcast.send(table(1))
    assert not await broadcast.agreed(lambda said: said.revision >= 1, 0.05)
    routers.names.remove("b")
    assert await broadcast.agreed(lambda said: said.revision >= 1, 5)
    assert broadcast.states().keys() == {"a"}


async def test_a_new_router_has_not_spoken(routers: Routers, broadcast: Broadcast) -> None:
    """It counts as late until it says what it applies."""
    routers.names.append("c")
    assert broadcast.states()["c"] == UNHEARD
    for peer in routers.peers():
        await broadcast.hear(peer, RouterState(revision=1, epoch=1))
    assert await broadcast.agreed(lambda said: said.epoch >= 1, 5)


async def test_an_answer_that_was_overtaken_takes_nothing_back(
    routers: Routers, broadcast: Broadcast
) -> None:
    """A router was asked before it took the table, and its answer came after."""
    broadcast.send(table(5))
    assert await broadcast.agreed(lambda said: said.revision >= 5, 5)
    await broadcast.hear(routers.peers()[0], RouterState(revision=4, epoch=4))
    assert await broadcast.agreed(lambda said: said.revision >= 5, 0.0)


async def test_at_the_end_nobody_waits(routers: Routers, broadcast: Broadcast) -> None:
    """A registry that was superseded makes no more tables: its clients hear so at once."""
    waiting = asyncio.create_task(broadcast.agreed(lambda said: said.epoch >= 9, 600))
    await asyncio.sleep(0)
    await broadcast.end()
    assert not await asyncio.wait_for(waiting, 30)
    assert not await asyncio.wait_for(broadcast.agreed(lambda said: said.epoch >= 9, 600), 30)
    broadcast.send(table(9))
    await asyncio.gather(*(routers.until(name, 9) for name in routers.names))
    await asyncio.sleep(0.01)
    assert await broadcast.agreed(lambda said: said.epoch >= 9, 5)
