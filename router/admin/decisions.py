"""The resource ``decisions``: what was decided for each request, over all routers."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response

from adapters.resources import Resource, describes
from router.audit.lookup import Records

_JSON = "application/json"


@describes(
    query={
        "limit": "at most so many, 1 to 1000",
        "since": "not before: ISO 8601, or seconds since the epoch",
        "target": "answered by it: `base`, `adapter:<alias>[@<digest12>]`, `frontier:…`",
        "tenant": "asked by one of this tenant's keys",
    }
)
async def decisions(records: Records, request: Request) -> Response:
    """Newest decision records."""
    found = await records.newest(request.url.query)
    body = orjson.dumps({"object": "list", "data": found, "next": None})
    return Response(body, media_type=_JSON)


async def decision(records: Records, request: Request) -> Response:
    """One decision record, with its feedback."""
    found = await records.find(request.path_params["id"])
    return Response(orjson.dumps(found), media_type=_JSON)


RESOURCES: tuple[Resource[Records], ...] = (
    Resource("auditor", "GET", "/admin/v1/decisions", decisions),
    Resource("auditor", "GET", "/admin/v1/decisions/{id}", decision),
)
