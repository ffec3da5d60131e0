"""Fairness ahead of the engine."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.config.priority import Priority
from router.errors import Overloaded
from router.replicas.fair import FairLimits, FairQueue, FairQueues

BASE = "base"


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def _settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_free_places_cost_no_wait() -> None:
    """A request that fits enters without yielding to anybody."""
    queue = FairQueue(BASE, FairLimits(max_in_flight=2, max_adapters=1))
    await queue.acquire("a@1")
    await queue.acquire(BASE)
    assert (queue.depth, queue.queued) == (2, 0)


async def test_a_busy_adapter_does_not_starve_a_quiet_one() -> None:
    """Behind 50 queued requests of one adapter, another's first is served second at most."""
    queue = FairQueue(BASE, FairLimits(max_in_flight=1, max_adapters=4))
    order: list[str] = []

    async def one(name: str) -> None:
        await queue.acquire(name)
        order.append(name)
        queue.release(name)

    await queue.acquire("busy@1")
    tasks = [asyncio.create_task(one("busy@1")) for _ in range(50)]
    await _settled()
    tasks.append(asyncio.create_task(one("quiet@1")))
    await _settled()
    queue.release("busy@1")
    await asyncio.gather(*tasks)
    assert order.index("quiet@1") <= 1


async def test_weights_set_the_shares() -> None:
    """An alias with weight 3 gets three places for each of one with weight 1."""
    queue = FairQueue(BASE, FairLimits(max_in_flight=1, weights={"heavy": 3.0}))
    order: list[str] = []

    async def one(name: str) -> None:
        await queue.acquire(name)
        order.append(name)
        queue.release(name)

    await queue.acquire(BASE)
    tasks = [asyncio.create_task(one(n)) for _ in range(40) for n in ("heavy@1", "light@1")]
    await _settled()
    queue.release(BASE)
    await asyncio.gather(*tasks)
    first = Counter(order[:40])
    assert 28 <= first["heavy@1"] <= 32


async def test_distinct_adapters_are_capped() -> None:
    """A third adapter waits while two run and two is the cap, though places are free."""
    queue = FairQueue(BASE, FairLimits(max_in_flight=8, max_adapters=2))
    await queue.acquire("a@1")
    await queue.acquire("b@1")
    third = asyncio.create_task(queue.acquire("c@1"))
    await _settled()
    assert not third.done()
    await queue.acquire(BASE)
    queue.release("a@1")
    await asyncio.wait_for(third, 60)


async def test_who_has_waited_long_is_not_overtaken() -> None:
    """Requests of running adapters stop overtaking once a capped-out one has lost patience."""
    clock = Clock()
    queue = FairQueue(BASE, FairLimits(max_in_flight=3, max_adapters=1, patience_s=1.0), clock)
    await queue.acquire("a@1")
    late = asyncio.create_task(queue.acquire("b@1"))
    await _settled()
    overtaker = asyncio.create_task(queue.acquire("a@1"))
    await _settled()
    assert overtaker.done()
    clock.now = 2.0
    waiting = asyncio.create_task(queue.acquire("a@1"))
    await _settled()
    assert not waiting.done()
    queue.release("a@1")
    queue.release("a@1")
    await asyncio.wait_for(late, 60)


async def test_a_full_queue_refuses() -> None:
    """Beyond the bound a request is refused with a time to come back."""
    queue = FairQueue(BASE, FairLimits(max_in_flight=1, max_queued=1))
    await queue.acquire(BASE)
    waiting = asyncio.create_task(queue.acquire(BASE))
    await _settled()
    with pytest.raises(Overloaded) as refused:
        await queue.acquire(BASE)
    assert refused.value.retry_after_s
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert queue.queued == 0


async def test_queues_of_replicas_that_left_are_forgotten() -> None:
    """The table of queues is bounded by the replicas that exist (law 9)."""
    queues = FairQueues(FairLimits())
    await queues.of("r1", BASE).acquire(BASE)
    queues.of("r2", BASE)
    queues.keep(set())
    assert (queues.depth("r1"), len(queues._queues)) == (1, 1)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["a@1", "b@1", "c@1", BASE]), st.booleans()), max_size=60
    ),
    places=st.integers(1, 4),
    adapters=st.integers(1, 3),
)
def test_limits_hold_and_everybody_is_served(
    steps: list[tuple[str, bool]], places: int, adapters: int
) -> None:
    """Whatever comes, leaves or is cancelled: never over a limit, and nobody waits for ever."""

    async def scenario() -> None:
        queue = FairQueue(BASE, FairLimits(max_in_flight=places, max_adapters=adapters))
        running: list[str] = []

        async def one(name: str) -> None:
            await queue.acquire(name)
            running.append(name)
            try:
                assert len(running) <= places
                assert len(set(running) - {BASE}) <= adapters
                await asyncio.sleep(0)
            finally:
                running.remove(name)
                queue.release(name)

        tasks = []
        for name, cancelled in steps:
            task = asyncio.create_task(one(name))
            tasks.append(task)
            if cancelled:
                asyncio.get_running_loop().call_soon(task.cancel)
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
        assert not [r for r in results if isinstance(r, Exception)]

    asyncio.run(scenario())


async def test_urgent_work_of_an_adapter_overtakes_its_own_batch_work() -> None:
    """A class is a flow of its own: fifty waiting batch requests do not hold one urgent back."""
    queue = FairQueue(BASE, FairLimits(max_in_flight=1, max_adapters=4))
    order: list[Priority] = []

    async def one(priority: Priority) -> None:
        await queue.acquire("a@1", priority)
        order.append(priority)
        queue.release("a@1")

    await queue.acquire("a@1")
    tasks = [asyncio.create_task(one(Priority.BATCH)) for _ in range(50)]
    await _settled()
    tasks.append(asyncio.create_task(one(Priority.INTERACTIVE)))
    await _settled()
    queue.release("a@1")
    await asyncio.gather(*tasks)
    assert order.index(Priority.INTERACTIVE) <= 1


async def test_the_least_urgent_is_turned_away_from_a_filling_queue_first() -> None:
    """A queue that batch work may no longer enter still has room for interactive work."""
    queue = FairQueue(BASE, FairLimits(max_in_flight=1, max_queued=4))
    await queue.acquire("a@1")
    tasks = [asyncio.create_task(queue.acquire("a@1", Priority.BATCH)) for _ in range(3)]
    await _settled()
    with pytest.raises(Overloaded):
        await queue.acquire("a@1", Priority.BATCH)
    tasks.append(asyncio.create_task(queue.acquire("a@1", Priority.INTERACTIVE)))
    await _settled()
    assert queue.queued == 4
    with pytest.raises(Overloaded):
        await queue.acquire("a@1", Priority.INTERACTIVE)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
