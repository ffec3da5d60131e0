"""The resource ``events``: what happens, as server-sent events.

Whoever follows is told of objects: which one, and its state. What else an operator may want to see
(an alias that points elsewhere, a copy that was evicted, a job that failed) is told to who asks.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from adapters.admin.parts import Parts, choice
from adapters.events import Event, EventBus
from adapters.records.line import iso
from adapters.resources import BadField, Resource, describes

HEARTBEAT_S = 15.0
VERSION: Final = "version"
OBJECTS: Final = frozenset(
    {"exchange", "review", "dataset", "distillation", VERSION, "decision", "policy", "erasure"}
)
_GAP: Final = "gap"


@describes(
    query={
        "after": "the last number seen; `last-event-id` says the same",
        "detail": "`true`: also what happens to no object, such as an alias that points elsewhere",
    }
)
async def events(parts: Parts, request: Request) -> Response:
    """Follow what happens (SSE)."""
    after = request.query_params.get("after", request.headers.get("last-event-id")) or None
    if after is not None and not (after.isascii() and after.isdigit()):
        raise BadField("after: must be the number of an event", "after")
    seen = None if after is None else int(after[:18])
    detail = choice(request.query_params, "detail", ("true", "false")) == "true"
    return StreamingResponse(
        sse(parts.rollout.events, seen, detail=detail),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


RESOURCES: tuple[Resource[Parts], ...] = (Resource("admin", "GET", "/admin/v1/events", events),)


async def sse(
    events: EventBus,
    after: int | None,
    heartbeat_s: float = HEARTBEAT_S,
    *,
    detail: bool = False,
) -> AsyncGenerator[bytes, None]:
    """Events after ``after``, then each as it happens; a comment when it is quiet for long."""
    # From here on, not from when the client has taken its first bytes: what it does then it hears.
    follower = events.follow(events.last if after is None else after)
    # Something at once, so that a client knows that it is connected.
    yield b": connected\n\n"
    upcoming = asyncio.ensure_future(anext(follower, None))
    said = time.monotonic()
    try:
        while True:
            left = said + heartbeat_s - time.monotonic()
            done, _ = await asyncio.wait({upcoming}, timeout=max(0.0, left))
            if left <= 0 or not done:
                said = time.monotonic()
                yield b": heartbeat\n\n"
                continue
            event = upcoming.result()
            if event is None:
                return
            if detail or object_of(event) is not None or event.kind == _GAP:
                said = time.monotonic()
                yield encode(event)
            upcoming = asyncio.ensure_future(anext(follower, None))
    finally:
        upcoming.cancel()
        await asyncio.gather(upcoming, return_exceptions=True)


def object_of(event: Event) -> str | None:
    """The kind of object whose state an event tells; None: it tells something else."""
    if event.kind in OBJECTS:
        return event.kind
    return VERSION if event.digest and event.data.get("state") else None


def encode(event: Event) -> bytes:
    """One event on the wire. JSON text holds no newline, so one ``data`` line is enough."""
    data = json.dumps({**event.as_dict(), "at": iso(event.at)}, default=str, ensure_ascii=False)
    name = object_of(event) or event.kind
    return f"id: {event.seq}\nevent: {name}\ndata: {data}\n\n".encode()
