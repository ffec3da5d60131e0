"""Legal holds: what retention and erasure leave alone, as long as an administrator says so."""

from __future__ import annotations

import asyncio
import secrets
import time

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapters.records.holds import Hold, Holds
from adapters.records.line import iso
from adapters.records.subjects import Subjects
from adapters.resources import BadField, Resource, body_of, describes, listed, moment, page_of

_PATH = "/admin/v1/audit/holds"


class HoldRequest(BaseModel):
    """What is kept: everything that fits all that is given, at least one thing."""

    model_config = ConfigDict(extra="forbid")

    subject: str | None = Field(default=None, min_length=1, max_length=1024)
    tenant: str | None = Field(default=None, min_length=1, max_length=256)
    since: str | float | None = None
    until: str | float | None = None
    reason: str = Field(default="", max_length=1024)


@describes(body=HoldRequest)
async def hold(holds: Holds, request: Request) -> Response:
    """Keep records and their payloads; a hold on a person alone keeps all of that person's data."""
    body = await body_of(request, HoldRequest)
    if not (body.subject or body.tenant or body.since is not None or body.until is not None):
        raise BadField("A hold names a subject, a tenant or a time.", None)
    times = {
        name: None if given is None else iso(moment(str(given), name))
        for name, given in (("since", body.since), ("until", body.until))
    }

    def put() -> Hold:
        name = None if body.subject is None else Subjects(holds.root).hash(body.subject)
        made = Hold(
            id=f"hold_{secrets.token_hex(12)}",
            subject_hash=name,
            tenant=body.tenant,
            **times,
            reason=body.reason,
            by=request.headers.get("x-graftwork-actor"),
            time=iso(time.time()),
        )
        holds.add(made)
        return made

    try:
        made = await asyncio.to_thread(put)
    except ValueError as error:
        raise BadField(f"{error}.", None, status=409) from error
    return JSONResponse(made.model_dump(), status_code=201)


async def listing(holds: Holds, request: Request) -> Response:
    """What is kept."""
    page = page_of(request.query_params)
    found = await asyncio.to_thread(holds.all)
    return JSONResponse(listed(page, found, lambda each: each.id, lambda each: each.model_dump()))


async def release(holds: Holds, request: Request) -> Response:
    """Let go of what one hold kept."""
    if not await asyncio.to_thread(holds.remove, request.path_params["id"]):
        raise BadField("There is no such hold.", None, code="not_found", status=404)
    return Response(status_code=204)


RESOURCES: tuple[Resource[Holds], ...] = (
    Resource("admin", "POST", _PATH, hold),
    Resource("auditor", "GET", _PATH, listing),
    Resource("admin", "DELETE", f"{_PATH}/{{id}}", release),
)
