"""Background work by name: what is queued behind another, and the end of all."""

from __future__ import annotations

import asyncio

from adapters.events import EventBus
from adapters.jobs.once import Jobs


async def test_closing_stops_what_others_are_queued_behind() -> None:
    """A job whose name a later one has taken is still ours to end."""
    jobs, ended, begun = Jobs(EventBus()), [], asyncio.Event()

    async def first() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("first")

    async def second() -> None:
        ended.append("second")

    jobs.start("publish", first)
    await begun.wait()
    jobs.queue("publish", second)
    await jobs.aclose()
    assert ended == ["first"]
