"""The resource ``takeover``: which intents adapters answer, and what that saves."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapters.records.line import iso
from adapters.resources import Resource, describes, listed, moment, page_of
from adapters.takeover.book import TakeoverBook

_DAY_S = 86_400.0


@describes(query={"since": "ISO 8601, or seconds since the epoch; default: a week ago"})
async def takeover(book: TakeoverBook, request: Request) -> Response:
    """Each intent: who answers it, the local share, money saved, agreement, confidence."""
    query = request.query_params
    page = page_of(query)
    since = moment(query["since"]) if "since" in query else time.time() - 7 * _DAY_S

    def read() -> dict[str, Any]:
        return listed(
            page,
            book.rows(since),
            lambda row: str(row["intent"]),
            lambda row: row,
            since=iso(since),
        )

    return JSONResponse(await asyncio.to_thread(read))


RESOURCES: tuple[Resource[TakeoverBook], ...] = (
    Resource("admin", "GET", "/admin/v1/takeover", takeover),
)
