"""The resource ``erasures``: all that is kept of a person goes, and a certificate says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapters.admin.parts import actor
from adapters.records.erasures import Erasures, TooMany
from adapters.resources import BadField, Resource, body_of, describes, listed, page_of

_PATH = "/admin/v1/erasures"


class ErasureRequest(BaseModel):
    """Whose data goes: the name as clients gave it."""

    model_config = ConfigDict(extra="forbid")

    subject: str = Field(min_length=1, max_length=1024)


@dataclass(frozen=True)
class Eraser:
    """What the resource needs. ``wake`` has what was asked for done soon."""

    erasures: Erasures
    wake: Callable[[], None]


@describes(body=ErasureRequest)
async def erase(eraser: Eraser, request: Request) -> Response:
    """Erase a person's data everywhere; its records stay, under a keyed hash."""
    body = await body_of(request, ErasureRequest)
    try:
        made = await asyncio.to_thread(
            eraser.erasures.ask,
            body.subject,
            actor(request),
            request.headers.get("x-request-id"),
        )
    except TooMany as error:
        raise BadField(f"{error}.", None, code="too_many_requests", status=429) from error
    eraser.wake()
    return JSONResponse(made.shown(), status_code=202)


async def erasure(eraser: Eraser, request: Request) -> Response:
    """How far one erasure is, and its certificate once it is done."""
    found = await asyncio.to_thread(eraser.erasures.find, request.path_params["id"])
    if found is None:
        raise BadField(
            "There is no such erasure; GET /admin/v1/erasures lists them.",
            None,
            code="not_found",
            status=404,
        )
    return JSONResponse(found.shown())


async def erasures(eraser: Eraser, request: Request) -> Response:
    """Every erasure, the newest first."""
    page = page_of(request.query_params)
    found = await asyncio.to_thread(eraser.erasures.all)
    # Whoever is last goes first: the place from the end never changes.
    rows = [(f"{10**9 - number:010d}", each) for number, each in enumerate(found)]
    return JSONResponse(listed(page, rows, lambda row: row[0], lambda row: row[1].shown()))


RESOURCES: tuple[Resource[Eraser], ...] = (
    Resource("admin", "POST", _PATH, erase),
    Resource("auditor", "GET", _PATH, erasures),
    Resource("auditor", "GET", f"{_PATH}/{{id}}", erasure),
)
