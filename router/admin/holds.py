"""Legal holds: what retention and erasure leave alone, as long as an administrator says so."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import Any, Protocol

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


class Terms(BaseModel):
    """A hold as one machine tells it to another, which hashes the name in its own way."""

    model_config = ConfigDict(extra="forbid")

    id: str
    subject: str | None
    tenant: str | None
    since: str | None
    until: str | None
    reason: str
    by: str | None
    time: str


class HoldPeers(Protocol):
    """The logs of other machines. Both methods name who did not answer."""

    async def hold(self, terms: Terms) -> list[str]:
        """Have them keep the same."""
        ...

    async def release(self, identity: str) -> list[str]:
        """Have them let go of it."""
        ...


@dataclass(frozen=True)
class Holding:
    """What the resource needs: this machine's holds, and those of the others."""

    holds: Holds
    elsewhere: HoldPeers


@describes(body=HoldRequest)
async def hold(holding: Holding, request: Request) -> Response:
    """Keep records and their payloads; a hold on a person alone keeps all of that person's data."""
    body = await body_of(request, HoldRequest)
    if not (body.subject or body.tenant or body.since is not None or body.until is not None):
        raise BadField("A hold names a subject, a tenant or a time.", None)
    times = {
        name: None if given is None else iso(moment(str(given), name))
        for name, given in (("since", body.since), ("until", body.until))
    }
    terms = Terms(
        id=f"hold_{secrets.token_hex(12)}",
        subject=body.subject,
        tenant=body.tenant,
        **times,
        reason=body.reason,
        by=request.headers.get("x-graftwork-actor"),
        time=iso(time.time()),
    )
    try:
        made = await asyncio.to_thread(put, holding.holds, terms)
    except ValueError as error:
        raise BadField(f"{error}.", None, status=409) from error
    missing = await holding.elsewhere.hold(terms)
    return JSONResponse(_with(made.model_dump(), missing), status_code=201)


def put(holds: Holds, terms: Terms) -> Hold:
    """Keep what the terms say on this machine; again is no change. Raises ``ValueError``."""
    name = None if terms.subject is None else Subjects(holds.root).hash(terms.subject)
    made = Hold(subject_hash=name, **terms.model_dump(exclude={"subject"}))
    holds.add(made)
    return made


async def listing(holding: Holding, request: Request) -> Response:
    """What is kept."""
    page = page_of(request.query_params)
    found = await asyncio.to_thread(holding.holds.all)
    return JSONResponse(listed(page, found, lambda each: each.id, lambda each: each.model_dump()))


async def release(holding: Holding, request: Request) -> Response:
    """Let go of what one hold kept; ``missing`` names the routers that keep it on."""
    identity = request.path_params["id"]
    was_here = await asyncio.to_thread(holding.holds.remove, identity)
    missing = await holding.elsewhere.release(identity)
    if not was_here:
        raise BadField(
            "There is no such hold; GET /admin/v1/audit/holds lists them.",
            None,
            code="not_found",
            status=404,
        )
    return JSONResponse(_with({"id": identity}, missing))


def _with(answer: dict[str, Any], missing: list[str]) -> dict[str, Any]:
    return {**answer, "missing": missing} if missing else answer


RESOURCES: tuple[Resource[Holding], ...] = (
    Resource("admin", "POST", _PATH, hold),
    Resource("auditor", "GET", _PATH, listing),
    Resource("admin", "DELETE", f"{_PATH}/{{id}}", release),
)
