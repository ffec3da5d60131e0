"""What a request leaves behind goes at once: nothing of it waits for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from pathlib import Path

import httpx
import pytest

from adapters.aliases import Replica, RoutingTable
from router.stages import Heading
from tests.fakes.engine import FakeEngine, Says
from tests.fakes.router_process import listening

BASE = "tiny"
REQUESTS = 50
LIMITS = {
    "budgets": {
        "authority": "local",
        "limits": [{"name": "day", "tenant": "*", "window": "day", "tokens": 10**9}],
    }
}


def objects() -> Counter[str]:
    """How many there are in the process, by type; what other tests left is among them."""
    return Counter(type(each).__name__ for each in gc.get_objects())


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_leaves_no_circles(tmp_path: Path, stream: bool) -> None:
    """Each collection holds everybody up, and goes through all that is under way."""
    async with FakeEngine({BASE: Says("one two three four")}) as engine:
        place = Replica(id="r1", url=engine.url, secret="s")
        table = RoutingTable(revision=1, base_id=BASE, replicas=(place,))
        async with (
            listening(tmp_path, LIMITS, table) as url,
            httpx.AsyncClient(base_url=url) as client,
        ):
            body = {
                "model": BASE,
                "stream": stream,
                "messages": [{"role": "user", "content": "Hello"}],
            }

            async def ask(times: int) -> None:
                for _ in range(times):
                    answer = await client.post("/v1/chat/completions", json=body)
                    assert answer.status_code == 200
                await asyncio.sleep(0.05)

            await ask(5)
            gc.collect()
            before = objects()
            gc.disable()
            try:
                await ask(REQUESTS)
                there = objects() - before
                gc.set_debug(gc.DEBUG_SAVEALL)
                gc.collect()
                ours = [
                    type(each).__name__
                    for each in gc.garbage
                    if type(each).__module__.startswith("router.")
                ]
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.enable()
    assert len(ours) < REQUESTS, sorted(set(ours))
    # Answers are remembered for feedback; what carried them out, and their times, are not.
    assert there["Exchange"] > REQUESTS / 2
    assert there["Guard"] < REQUESTS / 2
    assert there["Booked"] < REQUESTS / 2 * len(Heading)
