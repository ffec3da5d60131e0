"""Whenever a client leaves, nothing stays behind: connections, places, counts, money set aside.

The whole router and its stand-ins share one event loop, so that a client can leave at each of its
turns: while a hedge's loser is let go, while a doubtful answer makes room for a better one, while a
broken stream is taken over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.aliases import Replica, RoutingTable
from router.budgets.accounts import Metric
from serving.router.compose import RouterProcess
from tests.fakes.asgi_client import ask
from tests.fakes.engine import FakeEngine, Says
from tests.fakes.exchanges import BASE_ID
from tests.fakes.router_process import router

PATH = "/v1/chat/completions"
LONG = "one two three four five six"
SURE, UNSURE = -0.05, -2.0
MOMENTS = range(60)
DOUBTS = {"threshold": 0.5, "first_tokens": 4, "deadline_s": 0.01}
"""While the answer is judged by its first words, the next is already being read."""
PATIENT = {"budget_per_s": 1000, "budget_burst": 1000, "backoff_s": 0.001}


@dataclass
class World:
    """Two engines, one provider and the router before them."""

    process: RouterProcess
    engines: tuple[FakeEngine, FakeEngine]
    cloud: FakeEngine

    async def unbalanced(self, requests: int) -> str | None:
        """What is wrong with the books after so many requests (law 7, law 8); None: nothing."""
        await self.process._log.flushed()
        records = await self.process.records.newest("limit=1000")
        if len(records) != requests:
            return f"{len(records)} of {requests} requests are on record"
        attempts = [attempt for record in records for attempt in record["attempts"]]
        told = {
            Metric.REQUESTS: requests,
            Metric.TOKENS: sum(a["input_tokens"] + a["output_tokens"] for a in attempts),
            Metric.MONEY: sum(round(attempt["cost_usd"] * 1e9) for attempt in attempts),
        }
        booked = {
            each.account.metric: each.spent for each in self.process._accounting.leased_limits.all()
        }
        return None if booked == told else f"booked {booked}, on record {told}"

    def left_behind(self) -> dict[str, Any]:
        """What is still held; empty when all is well."""
        process = self.process
        big: Any = process.door._pipeline.settlement._catalog.frontiers["cloud/big"]
        held = {
            "connections to engines": process._engines._pool.busy,
            "connections to providers": process._providers._pool.busy,
            "calls of the provider": big._provider.in_flight,
            "places": {r: process.holder.queues.depth(r) for r in ("r1", "r2")},
            "versions": process.holder.in_flight(),
            "requests": process.door._pipeline.admission.under_way,
            "probes": [health.breaker._probes for _, health in process._health],
            "set aside": sum(each.held for each in process._accounting.leased_limits.all()),
        }
        held["places"] = {r: depth for r, depth in held["places"].items() if depth}
        held["probes"] = [probes for probes in held["probes"] if probes]
        return {what: count for what, count in held.items() if count}


@asynccontextmanager
async def world(state: Path, **config: Any) -> AsyncIterator[World]:
    """A router that avoids nobody; ``cloud/big`` is better than the base."""
    delivery = {"retry": PATIENT, "breaker": {"consecutive": 10_000, "min_calls": 10_000}}
    delivery |= config.pop("delivery", {})
    async with (
        FakeEngine({BASE_ID: Says()}) as one,
        FakeEngine({BASE_ID: Says()}) as two,
        FakeEngine({"big": Says()}) as cloud,
    ):
        card = {"id": "big", "input_usd_per_mtok": 1.0, "output_usd_per_mtok": 2.0}
        providers = [{"name": "cloud", "base_url": f"{cloud.url}/v1", "models": [card]}]
        places = (
            Replica(id="r1", url=one.url, secret="s"),
            Replica(id="r2", url=two.url, secret="s"),
        )
        table = RoutingTable(revision=1, base_id=BASE_ID, replicas=places)
        limit = {"name": "all", "window": "total", "requests": 10**6, "tokens": 10**9, "usd": 10}
        budgets = {"limits": [limit], "authority": "local"}
        config |= {"providers": providers, "delivery": delivery, "budgets": budgets}
        async with router(state, config, table) as (_, process):
            yield World(process, (one, two), cloud)


async def leave(found: World, model: str, fact: Callable[[], bool], turns: int) -> None:
    """Ask, leave so many turns of the loop after ``fact``, and wait until that was noticed."""
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    gone = asyncio.Event()
    asking = asyncio.create_task(ask(found.process.door, PATH, body, leave=gone))
    async with asyncio.timeout(60):
        while not fact():  # noqa: ASYNC110 - every turn of the loop counts
            await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        gone.set()
        await asking
        for _ in range(6000):
            if not found.left_behind():
                return
            await asyncio.sleep(0.005)
    pytest.fail(f"{turns} turns later: {found.left_behind()}")


def _hedge(found: World) -> Callable[[], bool]:
    """One engine is silent, the other begins and pauses."""
    one, two = found.engines
    for engine in found.engines:
        engine.models[BASE_ID] = Says(LONG, pause_after=0)
        engine.requests.clear()

    def both() -> bool:
        if len(one.requests) + len(two.requests) < 2:
            return False
        for engine in found.engines:
            engine.models[BASE_ID].go.set()  # both begin at once: one of them has to be let go
        return True

    return both


def _escalate(found: World) -> Callable[[], bool]:
    """The base doubts itself and pauses; the better one begins and pauses."""
    for engine in found.engines:
        engine.models[BASE_ID] = Says(LONG, UNSURE, pause_after=2)
    found.cloud.models["big"] = Says(LONG, pause_after=2)
    found.cloud.requests.clear()
    return lambda: bool(found.cloud.requests)


def _rescue(found: World) -> Callable[[], bool]:
    """One engine cuts its stream, and somebody goes on."""
    for engine in found.engines:
        engine.models[BASE_ID] = Says(LONG, cut_after=3)
        engine.requests.clear()
    return lambda: sum(len(engine.requests) for engine in found.engines) > 1


SCENES: dict[str, tuple[str, Callable[[World], Callable[[], bool]], dict[str, Any]]] = {
    "hedge": (
        "base",
        _hedge,
        {"delivery": {"hedge": {"enabled": True, "min_samples": 1, "min_delay_s": 0.001}}},
    ),
    "escalate": (
        "auto",
        _escalate,
        {
            "routing": {
                "frontiers": ["*"],
                "routes": {"*": {"confidence": DOUBTS}},
            }
        },
    ),
    "rescue": ("base", _rescue, {}),
}


@pytest.mark.parametrize("scene", SCENES)
async def test_nothing_stays_behind(tmp_path: Path, scene: str) -> None:
    """At whichever turn of the loop the client leaves; and every call is paid once."""
    model, prepare, config = SCENES[scene]
    async with world(tmp_path, **config) as found:
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": True}
        for _ in range(4):  # each replica's usual time is known
            assert (await ask(found.process.door, PATH, body)).status == 200
        for turns in MOMENTS:
            await leave(found, model, prepare(found), turns)
        assert await found.unbalanced(4 + len(MOMENTS)) is None
