"""From zero engines: one call waits while somebody asks, and none otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.jobs.periodic import Every, Periodic
from serving.engine.autoscaling import by_requests_in_flight
from serving.router.waking import Waker


@dataclass
class Engines:
    """A deployment that has no replica until one is let in."""

    ready: bool = False
    requests: int = 0
    calls: int = 0
    fails: bool = False
    come: asyncio.Event = field(default_factory=asyncio.Event)

    async def ping(self) -> str:
        """Waits at the handle, as Ray Serve's does."""
        self.calls += 1
        if self.fails:
            raise RuntimeError("the controller is away")
        await self.come.wait()
        return "engine"


@pytest.fixture
def engines() -> Engines:
    """None is there."""
    return Engines()


@pytest.fixture
async def waker(engines: Engines) -> AsyncIterator[Periodic]:
    """The router's job, looking far more often than in production."""
    found = Waker(engines.ping, lambda: engines.requests, lambda: engines.ready)
    job = Periodic("wake-engine", found.look, Every(0.001, limit_s=None))
    job.start()
    yield job
    await job.aclose()


async def looks(waker: Periodic, least: int = 3) -> None:
    """Let the job look a few times, or wait in its call."""
    target = waker.status.runs + least
    for _ in range(50):
        await asyncio.sleep(0.001)
        if waker.status.runs >= target:
            return


async def test_nobody_asks_nobody_wakes(engines: Engines, waker: Periodic) -> None:
    """An idle system stays at zero, however often it is looked at."""
    await looks(waker)
    assert engines.calls == 0
    assert waker.status.runs >= 3


async def test_requests_wake_one_engine_once(engines: Engines, waker: Periodic) -> None:
    """One call waits, however many ask; it ends when the engine is there."""
    for engines.requests in (1, 7, 300):
        await looks(waker)
    assert engines.calls == 1
    engines.ready = True
    engines.come.set()
    engines.requests = 301
    await looks(waker)
    assert engines.calls == 1
    assert waker.status.last_success > 0


async def test_with_an_engine_nothing_is_asked(engines: Engines, waker: Periodic) -> None:
    """Ordinary traffic costs no call."""
    engines.ready, engines.requests = True, 5
    await looks(waker)
    assert engines.calls == 0


async def test_a_failed_call_is_tried_again_by_the_next_request(
    engines: Engines, waker: Periodic
) -> None:
    """Ray's controller may be away for a moment; the router does not die of it."""
    engines.fails, engines.requests = True, 1
    await looks(waker)
    assert (engines.calls, waker.status.failures) == (1, 1)
    assert waker.status.last_error == "the controller is away"
    engines.fails, engines.requests = False, 2
    await looks(waker)
    assert engines.calls == 2


async def test_the_end_leaves_no_call(engines: Engines) -> None:
    """A router that goes does not wait for an engine that never came."""
    engines.requests = 1
    look = Waker(engines.ping, lambda: engines.requests, lambda: engines.ready).look
    job = Periodic("wake-engine", look, Every(0.001, limit_s=None))
    job.start()
    await looks(job)
    await asyncio.wait_for(job.aclose(), 60)
    assert engines.calls == 1


@pytest.mark.parametrize(
    ("in_flight", "waiting", "low", "wanted"),
    [
        ({}, 0, 0, 0),
        ({}, 0, 2, 2),
        ({"a": 0.0}, 0, 0, 0),
        ({"a": 33.0}, 0, 0, 2),
        # It starts, which may take longer than `downscale_delay_s`: somebody still waits for it.
        ({}, 1, 0, 1),
        ({"a": 33.0}, 1, 0, 2),
    ],
)
def test_the_policy_goes_to_zero_when_nobody_asks(
    in_flight: dict[str, float], waiting: float, low: int, wanted: int
) -> None:
    """Without requests under way nothing is wanted beyond the configured least."""
    context: Any = SimpleNamespace(
        aggregated_metrics={"in_flight": in_flight},
        config=SimpleNamespace(target_ongoing_requests=32.0),
        capacity_adjusted_min_replicas=low,
        capacity_adjusted_max_replicas=8,
        total_num_requests=waiting,
        policy_state=None,
    )
    assert by_requests_in_flight(context)[0] == wanted
