"""The fleet over real HTTP: an engine's real surface, a router that takes tables, and silence."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from adapters.aliases import Peer, RoutingTable, engine_name
from adapters.errors import FleetError, InUse, LoadFailed, ReplicaGone, Unreachable
from adapters.fleet import AdapterFiles
from adapters.publish.probe import effect
from serving.internal.reports import EngineReport, RouterReport, RouterState
from serving.internal.server import InternalServer
from serving.registry.fleet import PROBE_PROMPTS, HttpFleet
from serving.registry.membership import Membership
from tests.fakes.replica_engine import FakeEngine, surface_of
from tests.fakes.tiny_adapter import BASE

DIGEST = "0123456789ab" + "0" * 52
NAME = engine_name("returns", DIGEST)
FILES = AdapterFiles("returns", DIGEST, Path("/nowhere"), "file:///nowhere")


class World:
    """One engine replica, one router, and what the registry would do between them."""

    def __init__(self, root: Path) -> None:
        self.engine = FakeEngine()
        self.members = Membership()
        self.fleet = HttpFleet(self.members, self.refresh)
        self.table = RoutingTable()
        self.at_router = RoutingTable()
        self._engine_server = InternalServer("127.0.0.1")
        self._router_server = InternalServer("127.0.0.1")
        self._root = root

    async def start(self) -> None:
        """Serve both, and have them report."""
        await self._engine_server.start(surface_of(self.engine, self._root))
        routes = [
            Route("/internal/table", self._take, methods=["PUT"]),
            Route("/internal/state", self._tell, methods=["GET"]),
        ]
        await self._router_server.start(Starlette(routes=routes))  # type: ignore[arg-type]
        self.members.router_reported(RouterReport(peer=self._router_server.peer("door")))
        self.report("one", self._engine_server.peer("one"))

    def report(self, name: str, peer: Peer) -> None:
        """An engine replica says that it is there."""
        self.members.engine_reported(EngineReport(peer=peer, base=BASE, max_model_len=64))

    async def stop(self) -> None:
        """End everything."""
        await self.fleet.aclose()
        await self._engine_server.stop()
        await self._router_server.stop()

    async def refresh(self) -> int:
        """Build a table of the present state and begin to hand it out."""
        replicas = self.fleet.shown(self.members.replicas())
        revision = self.table.revision + 1
        self.table = RoutingTable(revision=revision, epoch=revision, replicas=replicas)
        self.fleet.publish(self.table)
        return revision

    async def call(self) -> int:
        """A request for the version, as a router sends it; its status."""
        headers = {
            "authorization": f"Bearer {self._engine_server.secret}",
            "x-graftwork-target": f"adapter:{NAME}",
        }
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self._engine_server.url}/{NAME}", headers=headers) as answer,
        ):
            return answer.status

    async def _take(self, request: Request) -> JSONResponse:
        self.at_router = RoutingTable.model_validate_json(await request.body())
        return await self._tell(request)

    async def _tell(self, _: Request) -> JSONResponse:
        table = self.at_router
        said = RouterState(revision=table.revision, epoch=table.epoch, in_flight={NAME: 2})
        return JSONResponse(said.model_dump(mode="json"))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """The world, served on loopback."""
    made = World(tmp_path)
    await made.start()
    yield made
    await made.stop()


async def test_a_load_tells_what_is_held(world: World) -> None:
    """The answer to the load is the engine's word; nobody asks again."""
    assert world.fleet.held("one") == frozenset()
    result = await world.fleet.load("one", FILES)
    assert (result.seconds > 0, result.already_resident) == (True, False)
    assert world.fleet.held("one") == {NAME}
    assert world.engine.client.asked == 1
    assert await world.fleet.residency("one") == {NAME}
    assert effect(await world.fleet.probe("one", NAME)) == 1.0


async def test_a_refusal_is_final(world: World) -> None:
    """The engine is well and says no: the version is bad, not the replica."""
    with pytest.raises(LoadFailed, match="of no use"):
        await world.fleet.load("one", AdapterFiles("bad", DIGEST, Path("/nowhere"), ""))


async def test_a_copy_in_use_stays(world: World) -> None:
    """Until its last request is over."""
    await world.fleet.load("one", FILES)
    world.engine.let.clear()
    request = asyncio.create_task(world.call())
    await world.engine.arrived.wait()
    with pytest.raises(InUse):
        await world.fleet.unload("one", NAME)
    world.engine.let.set()
    assert await request == 200
    await world.fleet.unload("one", NAME)
    assert world.fleet.held("one") == frozenset()


async def test_a_withheld_copy_is_in_no_routers_table(world: World) -> None:
    """When `withhold` returns, the router has applied a table without it."""
    await world.fleet.load("one", FILES)
    await world.refresh()
    assert await world.fleet.routers_applied(world.table.epoch, 10)
    assert world.at_router.replicas[0].resident == {NAME}
    assert world.fleet.in_flight(NAME) == 2
    assert await world.fleet.withhold("one", NAME, 10)
    assert world.at_router.replicas[0].resident == frozenset()
    world.fleet.restore("one", NAME)
    await asyncio.sleep(0)
    assert await world.fleet.routers_applied(world.table.epoch, 10)
    assert world.at_router.replicas[0].resident == {NAME}


async def test_pins_reach_the_engine(world: World) -> None:
    """All at once, so that an old pin ends with the new one's beginning."""
    await world.fleet.load("one", FILES)
    await world.fleet.pin("one", frozenset({NAME}))
    assert world.engine.pinned == {NAME}
    await world.fleet.pin("one", frozenset())
    assert world.engine.pinned == frozenset()
    with pytest.raises(FleetError, match="leave none of 2 slots"):
        await world.fleet.pin("one", frozenset({NAME, "other@0123456789ab"}))


async def test_each_round_scores_the_base_again(world: World) -> None:
    """What it said at another time is no measure of what it says beside today's requests."""
    await world.fleet.load("one", FILES)
    results = [await world.fleet.probe("one", NAME, ("a", "b")) for _ in range(3)]
    assert [effect(result) for result in results] == [1.0, 1.0, 1.0]
    assert [list(result.rounds[0].golden) for result in results] == [[[-1.0], [-1.0]]] * 3
    assert world.engine.scored.count(None) == 3 * len(PROBE_PROMPTS)


async def test_a_round_beside_requests_is_not_quiet(world: World) -> None:
    """One that was there before, and one that came and went meanwhile."""
    await world.fleet.load("one", FILES)
    assert (await world.fleet.probe("one", NAME)).rounds[0].quiet
    world.engine.let.clear()
    request = asyncio.create_task(world.call())
    await world.engine.arrived.wait()
    assert not (await world.fleet.probe("one", NAME)).rounds[0].quiet
    world.engine.let.set()
    assert await request == 200

    async def passing(_: str | None) -> None:
        assert await world.call() == 200

    world.engine.while_scoring = passing
    assert not (await world.fleet.probe("one", NAME)).rounds[0].quiet


async def test_two_probes_at_once_are_not_quiet(world: World) -> None:
    """They share batches as requests do."""
    await world.fleet.load("one", FILES)
    both, scoring = asyncio.Event(), 0

    async def together(_: str | None) -> None:
        nonlocal scoring
        scoring += 1
        if scoring == 2:
            both.set()
        await both.wait()

    world.engine.while_scoring = together
    results = await asyncio.gather(*(world.fleet.probe("one", NAME) for _ in range(2)))
    assert [result.rounds[0].quiet for result in results] == [False, False]


async def test_a_bad_moment_of_the_base_is_not_remembered(world: World) -> None:
    """An engine that once computed no numbers must not condemn every version after it."""
    await world.fleet.load("one", FILES)
    world.engine.base_score = math.nan
    found = await world.fleet.probe("one", NAME)
    assert math.isnan(effect(found))
    assert found.quiet_base is None
    world.engine.base_score = -2.0
    found = await world.fleet.probe("one", NAME)
    assert (effect(found), found.quiet_base) == (1.0, found.rounds[0].base)


async def test_the_silent_and_the_unknown(world: World) -> None:
    """A replica that nobody lists is gone; one that is listed and refuses is only silent."""
    with pytest.raises(ReplicaGone):
        await world.fleet.residency("two")
    world.report("two", Peer(id="two", url="http://127.0.0.1:9", secret="s"))
    with pytest.raises(Unreachable):
        await world.fleet.residency("two")
    assert list(world.fleet.replica_ids()) == ["one", "two"]


@pytest.mark.parametrize("nonsense", [{"revision": "new"}, {}, [], "fine", None])
async def test_a_router_of_another_release_keeps_nobody_from_being_heard(
    world: World, nonsense: object
) -> None:
    """What it answers makes no sense here; it counts as one that never spoke."""

    async def odd(_: Request) -> JSONResponse:
        return JSONResponse(nonsense)

    server = InternalServer("127.0.0.1")
    app = Starlette(
        routes=[
            Route("/internal/table", odd, methods=["PUT"]),
            Route("/internal/state", odd, methods=["GET"]),
        ]
    )
    await server.start(app)  # type: ignore[arg-type]
    world.members.router_reported(RouterReport(peer=server.peer("a-stranger")))
    await world.refresh()
    await world.fleet.ask_routers()
    assert world.fleet.in_flight(NAME) == 2
    assert not await world.fleet.routers_applied(1, 0.05)
    await server.stop()


async def test_an_engines_answer_that_makes_no_sense_is_an_error_of_that_engine(
    world: World,
) -> None:
    """A reconcile pass goes on with the others."""

    async def odd(_: Request) -> JSONResponse:
        return JSONResponse({"held": []})

    server = InternalServer("127.0.0.1")
    await server.start(Starlette(routes=[Route("/internal/adapters", odd)]))  # type: ignore[arg-type]
    world.report("odd", server.peer("odd"))
    with pytest.raises(FleetError, match="odd: its answer makes no sense"):
        await world.fleet.residency("odd")
    await server.stop()
