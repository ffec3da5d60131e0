"""The resource ``decisions``: what was decided for each request, over all routers."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from adapters.resources import Resource, cursor_of, describes, page_of
from router.audit.decision import shown
from router.audit.lookup import Records
from router.audit.query import marked, place

_JSON = "application/json"
_PAGING = ("limit", "cursor")


@describes(
    query={
        "since": "not before: ISO 8601, or seconds since the epoch",
        "target": "answered by it: `base`, `adapter:<alias>[@<digest12>]`, `frontier:…`",
        "intent": "recognised so; `none`: not recognised",
        "status": "answered with this status",
        "tenant": "asked by one of this tenant's keys",
    }
)
async def decisions(records: Records, request: Request) -> Response:
    """Newest decision records."""
    page = page_of(request.query_params)
    asked = [each for each in parse_qsl(request.url.query) if each[0] not in _PAGING]
    # One more than is shown says whether another page follows.
    asked.append(("limit", str(page.limit + 1)))
    if page.after:
        asked.append(("before", page.after))
    found = await records.newest(urlencode(asked))
    rows = found[: page.limit]
    goes_on = len(found) > len(rows)
    answer = {
        "object": "list",
        "data": [shown(each) for each in rows],
        "next": cursor_of(marked(place(rows[-1]))) if goes_on else None,
    }
    return Response(orjson.dumps(answer), media_type=_JSON)


async def decision(records: Records, request: Request) -> Response:
    """One decision record, with its feedback."""
    found = await records.find(request.path_params["id"])
    feedback = [shown(each) for each in found["feedback"]]
    return Response(orjson.dumps({**shown(found), "feedback": feedback}), media_type=_JSON)


RESOURCES: tuple[Resource[Records], ...] = (
    Resource("auditor", "GET", "/admin/v1/decisions", decisions),
    Resource("auditor", "GET", "/admin/v1/decisions/{id}", decision),
)
