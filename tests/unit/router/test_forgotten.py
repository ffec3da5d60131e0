"""A version that left the table is forgotten for good: no straggler brings its name back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from adapters.aliases import Replica, RoutingTable, engine_name
from tests.fakes.deciding import returns
from tests.fakes.engine import FakeEngine, Says
from tests.fakes.exchanges import BASE_ID, LIVE
from tests.fakes.router_process import router
from tests.fakes.sending import until

NAME = engine_name("returns", LIVE)
TARGET = f"adapter:{NAME}"
CHAT = "/v1/chat/completions"
ASKED = {"model": NAME, "messages": [{"role": "user", "content": "hi"}], "stream": True}
HEDGED = {"delivery": {"hedge": {"enabled": True}}}


def table(url: str, revision: int, *, holds: bool) -> RoutingTable:
    """With the version, or after it left."""
    alias = returns(live=LIVE if holds else None, previous=None, versions=(LIVE,) if holds else ())
    resident = frozenset({NAME} if holds else ())
    place = Replica(id="r1", url=url, secret="s", resident=resident)
    return RoutingTable(
        revision=revision, base_id=BASE_ID, aliases={"returns": alias}, replicas=(place,)
    )


@pytest.mark.parametrize("breaks", [False, True])
async def test_a_straggler_brings_no_name_back(tmp_path: Path, breaks: bool) -> None:
    """Its request ends, well or not, after the version left; then somebody judges its answer."""
    says = Says("one two three", pause_after=1, cut_after=2 if breaks else None)
    async with (
        FakeEngine({BASE_ID: Says(), NAME: says}) as engine,
        router(tmp_path, HEDGED, table(engine.url, 1, holds=True)) as (client, process),
    ):
        asking = asyncio.create_task(client.post(CHAT, json=ASKED))
        await until(process.holder.in_flight)
        await until(lambda: engine.requests)
        process.holder.apply(table(engine.url, 2, holds=False))
        says.go.set()
        answer = await asking
        decision = answer.headers["x-graftwork-decision-id"]
        said = {"decision_id": decision, "kind": "boolean", "value": True}
        assert (await client.post("/v1/feedback", json=said)).status_code == 200
        assert NAME not in process._traffic.snapshot()
        assert TARGET not in {name for name, _ in process._health}
        assert TARGET not in process._learning.measured._seen
        assert TARGET not in {target for _, target in process._learning.quality._cells}
        metrics = (await client.get("/metrics")).text
        assert TARGET not in metrics
        assert 'target="gone"' in metrics


async def test_what_is_there_is_counted(tmp_path: Path) -> None:
    """The same request to a version that stays."""
    async with (
        FakeEngine({BASE_ID: Says(), NAME: Says()}) as engine,
        router(tmp_path, HEDGED, table(engine.url, 1, holds=True)) as (client, process),
    ):
        assert (await client.post(CHAT, json=ASKED)).status_code == 200
        assert process._traffic.snapshot()[NAME].requests == 1
        assert TARGET in {name for name, _ in process._health}
        assert f'target="{TARGET}"' in (await client.get("/metrics")).text
        process.holder.apply(table(engine.url, 2, holds=False))
        assert TARGET not in (await client.get("/metrics")).text
        process.holder.apply(table(engine.url, 3, holds=True))
        assert (await client.post(CHAT, json=ASKED)).status_code == 200
        assert process._traffic.snapshot()[NAME].requests == 1
