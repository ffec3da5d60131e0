"""The resource ``distillations``: gold answers become a version that serves."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapters.admin.parts import actor, choice
from adapters.distill.asking import Asking, NotDistillable
from adapters.distill.distillations import (
    Distillation,
    Distillations,
    Ended,
    TooManyOpen,
    UnknownDistillation,
)
from adapters.distill.states import DistillState
from adapters.records.line import iso, with_iso
from adapters.resources import BadField, Resource, body_of, cursor_of, describes, page_of

_PATH = "/admin/v1/distillations"
_STATES = tuple(state.value for state in DistillState)


class DistillRequest(BaseModel):
    """What is to be distilled: an intent's gold, or a frozen dataset."""

    model_config = ConfigDict(extra="forbid")

    intent: str | None = Field(default=None, max_length=128)
    dataset: str | None = Field(default=None, max_length=128)
    alias: str | None = Field(default=None, max_length=128)
    settings: dict[str, JsonValue] = Field(default_factory=dict)


class Files(Protocol):
    """What lies in the directory of one training. Methods block."""

    def curve(self, identity: str) -> list[Mapping[str, Any]]:
        """How the losses went, oldest first."""
        ...

    def log(self, identity: str) -> str:
        """The end of what the trainer said."""
        ...


class Canceller(Protocol):
    """Stops distillations."""

    async def cancel(self, identity: str, by: str) -> Distillation:
        """Stop one. Raises ``Ended``, ``UnknownDistillation``."""
        ...

    def wake(self) -> None:
        """Have what waits begin soon."""
        ...


@dataclass(frozen=True)
class DistillDesk:
    """What the resource needs."""

    distillations: Distillations
    asking: Asking
    loop: Canceller
    files: Files


@describes(
    body=DistillRequest,
    answers={404: "No such dataset.", 410: "The dataset was erased.", 422: "Nothing to distil."},
)
async def distill(desk: DistillDesk, request: Request) -> Response:
    """Distil an intent's gold answers, or a dataset, into a new version."""
    body = await body_of(request, DistillRequest)
    try:
        wish = await asyncio.to_thread(
            desk.asking.wish,
            intent=body.intent or "",
            dataset=body.dataset or "",
            alias=body.alias or "",
            settings=body.settings,
            author=actor(request),
        )
        made = await asyncio.to_thread(desk.distillations.ask, wish)
    except NotDistillable as error:
        raise BadField(str(error), error.param, code=error.code, status=error.status) from error
    except TooManyOpen as error:
        raise BadField(f"{error}.", None, code="too_many_requests", status=429) from error
    desk.loop.wake()
    return JSONResponse(shown(made), status_code=202)


@describes(query={"state": "only this state", "alias": "only this alias", "intent": "only this"})
async def distillations(desk: DistillDesk, request: Request) -> Response:
    """Every distillation, the newest first."""
    query = request.query_params
    page, state = page_of(query), choice(query, "state", _STATES)
    before = _number(page.after)
    rows = await asyncio.to_thread(
        desk.distillations.page,
        page.limit + 1,
        before,
        state=state,
        alias=query.get("alias"),
        intent=query.get("intent"),
    )
    kept = rows[: page.limit]
    goes_on = len(rows) > len(kept)
    return JSONResponse(
        {
            "object": "list",
            "data": [shown(row) for row in kept],
            "next": cursor_of(str(kept[-1].number)) if goes_on else None,
        }
    )


async def distillation(desk: DistillDesk, request: Request) -> Response:
    """One distillation, with its loss curve and the end of its log."""
    identity = request.path_params["id"]
    try:
        found = await asyncio.to_thread(desk.distillations.find, identity)
    except UnknownDistillation as error:
        raise _unknown() from error
    curve, log = await asyncio.to_thread(
        lambda: (desk.files.curve(identity), desk.files.log(identity))
    )
    points = [with_iso(each, "at") for each in curve]
    return JSONResponse({**shown(found), "curve": points, "log": log})


@describes(answers={409: "It has ended."})
async def cancel(desk: DistillDesk, request: Request) -> Response:
    """Stop a distillation; its version, if there is one already, does not go live."""
    try:
        made = await desk.loop.cancel(request.path_params["id"], actor(request))
    except UnknownDistillation as error:
        raise _unknown() from error
    except Ended as error:
        raise BadField(f"{error}.", None, code="conflict", status=409) from error
    return JSONResponse(shown(made))


RESOURCES: tuple[Resource[DistillDesk], ...] = (
    Resource("admin", "POST", _PATH, distill),
    Resource("admin", "GET", _PATH, distillations),
    Resource("admin", "GET", f"{_PATH}/{{id}}", distillation),
    Resource("admin", "POST", f"{_PATH}/{{id}}/cancel", cancel),
)


def shown(each: Distillation) -> dict[str, Any]:
    """One row as clients get it."""
    return {
        "id": each.id,
        "state": each.state.value,
        "reason": each.reason or None,
        "alias": each.alias,
        "intent": each.intent or None,
        "dataset": each.dataset or None,
        "settings": dict(each.settings),
        "cause": each.cause,
        "author": each.author,
        "step": each.step,
        "steps": each.steps,
        "loss": each.loss,
        "eta_s": each.eta_s,
        "digest": each.digest or None,
        "gate": None if each.gate is None else with_iso(each.gate, "at"),
        "starts": each.starts,
        "created_at": iso(each.created_at),
        "updated_at": iso(each.updated_at),
        "ended_at": None if each.ended_at is None else iso(each.ended_at),
    }


def _number(after: str) -> int | None:
    if not after:
        return None
    if not (after.isascii() and after.isdigit() and len(after) < 19):
        raise BadField("'cursor' must be the 'next' of an earlier answer.", "cursor")
    return int(after)


def _unknown() -> BadField:
    return BadField(
        "There is no such distillation. List them: `graftwork distill list`.",
        None,
        code="not_found",
        status=404,
    )
