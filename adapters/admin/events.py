"""The resource ``events``: what happens, as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from adapters.admin.parts import Parts
from adapters.events import Event, EventBus
from adapters.records.line import iso
from adapters.resources import BadField, Resource, describes

HEARTBEAT_S = 15.0


@describes(query={"after": "the last number seen; `last-event-id` says the same"})
async def events(parts: Parts, request: Request) -> Response:
    """Follow what happens (SSE)."""
    after = request.query_params.get("after", request.headers.get("last-event-id"))
    if after is not None and not (after.isascii() and after.isdigit()):
        raise BadField("after: must be the number of an event", "after")
    return StreamingResponse(
        sse(parts.rollout.events, None if after is None else int(after[:18])),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


RESOURCES: tuple[Resource[Parts], ...] = (Resource("admin", "GET", "/admin/v1/events", events),)


async def sse(
    events: EventBus, after: int | None, heartbeat_s: float = HEARTBEAT_S
) -> AsyncGenerator[bytes, None]:
    """Events after ``after``, then each as it happens; a comment when it is quiet for long."""
    # Something at once, so that a client knows that it is connected.
    yield b": connected\n\n"
    follower = events.follow(after)
    upcoming = asyncio.ensure_future(anext(follower, None))
    try:
        while True:
            done, _ = await asyncio.wait({upcoming}, timeout=heartbeat_s)
            if not done:
                yield b": heartbeat\n\n"
                continue
            event = upcoming.result()
            if event is None:
                return
            yield encode(event)
            upcoming = asyncio.ensure_future(anext(follower, None))
    finally:
        upcoming.cancel()
        await asyncio.gather(upcoming, return_exceptions=True)


def encode(event: Event) -> bytes:
    """One event on the wire. JSON text holds no newline, so one ``data`` line is enough."""
    data = json.dumps({**event.as_dict(), "at": iso(event.at)}, default=str, ensure_ascii=False)
    return f"id: {event.seq}\nevent: {event.kind}\ndata: {data}\n\n".encode()
