"""The mirror of vLLM's slots, against vLLM's own cache; and never more adapters than slots."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from hypothesis import given
from hypothesis import strategies as st

from serving.engine.slots import Slots

NAMES = [f"a{n}@0123456789ab" for n in range(6)]
SIZE = 3


class Cache:
    """What vLLM does (``LRUCacheLoRAModelManager``): the oldest that is not pinned leaves."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.order: list[str] = []
        self.pinned: frozenset[str] = frozenset()

    def activate(self, name: str) -> None:
        """Use a name: it is the newest now."""
        if name in self.order:
            self.order.remove(name)
        elif len(self.order) >= self.size:
            self.order.remove(next(n for n in self.order if n not in self.pinned))
        self.order.append(name)


moves = st.lists(
    st.one_of(
        st.tuples(st.just("use"), st.sampled_from(NAMES)),
        st.tuples(st.just("load"), st.sampled_from(NAMES)),
        st.tuples(st.just("drop"), st.sampled_from(NAMES)),
        st.tuples(st.just("pin"), st.sampled_from(NAMES)),
    ),
    max_size=40,
)


@given(moves)
def test_the_mirror_shows_what_the_cache_holds(steps: list[tuple[str, str]]) -> None:
    """Whatever is loaded, used, pinned and removed, one after the other."""

    async def run() -> None:
        slots, cache = Slots(SIZE), Cache(SIZE)
        for what, name in steps:
            if what == "use":
                async with slots.using(name):
                    cache.activate(name)
            elif what == "load":
                slots.touch(name)
                cache.activate(name)
            elif what == "drop":
                slots.drop(name)
                cache.pinned -= {name}
                cache.order = [n for n in cache.order if n != name]
            else:
                assert await slots.reserve([name], 1.0)
                cache.pinned = frozenset({name})
                cache.activate(name)
                slots.touch(name)
            assert slots.held() == set(cache.order)

    asyncio.run(run())


@given(st.lists(st.sampled_from(["", *NAMES]), min_size=1, max_size=30), st.integers(0, 2))
def test_never_more_adapters_than_slots(names: list[str], pins: int) -> None:
    """However many requests come at once, pinned or not; and every one gets its turn."""

    async def run() -> None:
        slots = Slots(SIZE)
        pinned = frozenset(NAMES[:pins])
        assert await slots.reserve(pinned, 1.0)
        inside: list[str] = []
        served: list[str] = []

        async def request(name: str) -> None:
            async with slots.using(name):
                inside.append(name)
                if pins:
                    others = {n for n in inside if n and n not in pinned}
                    assert len(others) <= SIZE - pins
                for _ in range(3):
                    await asyncio.sleep(0)
                inside.remove(name)
                served.append(name)

        await asyncio.wait_for(asyncio.gather(*map(request, names)), 60)
        assert sorted(served) == sorted(names)
        assert all(slots.requests(name) == 0 for name in names)

    asyncio.run(run())


async def test_a_pin_waits_for_a_free_slot() -> None:
    """While every slot is in use by others, pinning one more would take theirs."""
    slots = Slots(2)
    async with AsyncExitStack() as running:
        for name in NAMES[:2]:
            await running.enter_async_context(slots.using(name))
        assert not await slots.reserve([NAMES[3]], 0.0)
        assert slots.pinned == frozenset()
        pinning = asyncio.create_task(slots.reserve([NAMES[3]], 30.0))
        await asyncio.sleep(0)
        assert not pinning.done()
    assert await pinning
    assert slots.pinned == {NAMES[3]}


async def test_the_impatient_are_not_overtaken() -> None:
    """Who has waited long goes before later requests of whoever is running."""
    now = [0.0]
    slots = Slots(2, clock=lambda: now[0])
    assert await slots.reserve([NAMES[0]], 1.0)
    order: list[str] = []

    async def request(name: str, until: asyncio.Event) -> None:
        async with slots.using(name):
            order.append(name)
            await until.wait()

    first, rest = asyncio.Event(), asyncio.Event()
    rest.set()
    tasks = [asyncio.create_task(request(NAMES[1], first))]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(request(NAMES[2], rest)))
    await asyncio.sleep(0)
    now[0] = 1.0
    tasks.append(asyncio.create_task(request(NAMES[1], rest)))
    await asyncio.sleep(0)
    assert order == [NAMES[1]]
    first.set()
    await asyncio.gather(*tasks)
    assert order == [NAMES[1], NAMES[2], NAMES[1]]
