"""The resource ``adapters``: push, promote, roll back, retire, look at, export. Thin.

Whoever gets here has been authenticated by the router. Handlers parse, call one thing, and turn
what comes back into an answer; what goes wrong is explained in ``admin.errors``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from adapters.admin import models
from adapters.admin.errors import PublishFailed, VersionRefused
from adapters.admin.parts import Parts, actor, choice, number
from adapters.admin.upload import ARCHIVES
from adapters.errors import FleetError, NotInStore
from adapters.format.export import bundle, bundle_name
from adapters.format.names import validate_alias
from adapters.publish.outcome import Outcome
from adapters.registry import Stage, VersionRecord
from adapters.registry.lifecycle import CALLABLE, PUBLISHING, State
from adapters.resources import (
    BadField,
    Resource,
    body_of,
    describes,
    listed,
    page_of,
    refuse_unknown,
)
from adapters.store.lease import Lease

_HISTORY_LINES = 200
_ROUTERS_S = 1.0
_STAGES = ("live", "canary", "shadow")
_REFERENCE_LENGTH = (12, 200)
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "string", "format": "binary"}},
    }
}


@describes(
    query={
        "wait": "`live`: answer when it serves or has failed",
        "stage": "where it goes when it is ready: `live`, `canary` or `shadow`",
        "percent": "share of the traffic for canary and shadow, above 0 and up to 100; without it "
        "`ladder.canary_percent`",
    },
    body=models.ImportRequest,
    content={**dict.fromkeys(sorted(ARCHIVES), _BINARY), "multipart/form-data": _FORM},
    answers={
        200: models.Pushed,
        201: models.Pushed,
        202: models.Pushed,
        413: "The archive is too large.",
        415: "Not an archive's content type.",
        422: models.PushRefused,
        429: "As many pushes as this server takes at once are under way.",
        503: "Engines or registry could not; try again.",
        507: "No room on the disk.",
    },
)
async def push(parts: Parts, request: Request) -> Response:
    """Push a version: a `.tar`, `.tar.gz` or `.zip` of a PEFT directory, or `{"uri": …}`."""
    alias = request.path_params["alias"]
    validate_alias(alias)
    query = request.query_params
    refuse_unknown(query, push)
    wait = choice(query, "wait", ("live",))
    stage = cast(Stage, choice(query, "stage", _STAGES) or "live")
    percent = number(query, "percent", 0, 100)
    async with parts.uploads.received(request) as directory:
        outcome = await parts.rollout.push(
            alias,
            directory,
            stage=stage,
            percent=percent,
            author=actor(request),
        )
    # Known bytes are where they were asked to be when the answer says 200. A gate takes minutes,
    # and an engine that starts too: who pushes is told what is waited for.
    waits = wait is not None or (outcome.known and outcome.state in PUBLISHING)
    if waits and outcome.digest and outcome.state is not State.GATING:
        outcome = await parts.rollout.arrived(outcome)
    return _answer(outcome)


# Looking


@describes(answers={200: models.AliasList})
async def adapters(parts: Parts, request: Request) -> Response:
    """Every adapter."""
    page, registry = page_of(request.query_params), parts.registry

    def read() -> dict[str, Any]:
        return listed(
            page,
            registry.aliases(),
            lambda alias: alias.name,
            lambda alias: _shown(
                models.AliasSummary.of(
                    alias, registry.versions(alias.name), registry.candidates(alias.name)
                )
            ),
            epoch=registry.epoch(),
        )

    found = await asyncio.to_thread(read)
    await _shown_by_routers(parts)
    return JSONResponse(found)


@describes(answers={200: models.AliasDetail})
async def adapter(parts: Parts, request: Request) -> Response:
    """One adapter, its versions and history."""
    alias, registry = request.path_params["alias"], parts.registry

    def read() -> models.AliasDetail:
        return models.AliasDetail.of(
            registry.alias(alias),
            registry.versions(alias),
            registry.candidates(alias),
            registry.history(alias, _HISTORY_LINES),
        )

    found = await asyncio.to_thread(read)
    await _shown_by_routers(parts)
    return JSONResponse(_shown(found))


@describes(answers={200: models.Version})
async def version(parts: Parts, request: Request) -> Response:
    """One version, by its full digest or the first 12 digits."""
    record = await _version(parts, request)
    if record.state in CALLABLE:
        await _shown_by_routers(parts)
    fleet, name = parts.fleet, record.name
    found = models.Version.of(record, fleet.in_flight(name), fleet.counted(name))
    return JSONResponse(_shown(found))


@describes(answers={200: "application/gzip"})
async def export_version(parts: Parts, request: Request) -> Response:
    """Export a version."""
    return await _exported(parts, await _version(parts, request))


@describes(answers={200: "application/gzip"})
async def export_live(parts: Parts, request: Request) -> Response:
    """Export the live version."""
    alias = request.path_params["alias"]
    row = await asyncio.to_thread(parts.registry.alias, alias)
    if row.live is None:
        raise NotInStore(f"{alias!r} has no live version", code="no-live-version")
    return await _exported(parts, await asyncio.to_thread(parts.registry.version, alias, row.live))


# Moving


@describes(body=models.PromoteRequest, answers={200: models.Pushed})
async def promote(parts: Parts, request: Request) -> Response:
    """Make a version live."""
    body = await body_of(request, models.PromoteRequest)
    return _moved(
        await parts.rollout.promote(request.path_params["alias"], body.digest, actor(request))
    )


@describes(body=models.ShareRequest, answers={200: models.Pushed})
async def canary(parts: Parts, request: Request) -> Response:
    """Give a version a share of the traffic."""
    alias, body = request.path_params["alias"], await body_of(request, models.ShareRequest)
    return _moved(await parts.rollout.canary(alias, body.digest, body.percent, actor(request)))


@describes(body=models.ShareRequest, answers={200: models.Pushed})
async def shadow(parts: Parts, request: Request) -> Response:
    """Let a version answer in secret."""
    alias, body = request.path_params["alias"], await body_of(request, models.ShareRequest)
    return _moved(await parts.rollout.shadow(alias, body.digest, body.percent, actor(request)))


@describes(body=models.RollbackRequest, answers={200: models.Pushed})
async def rollback(parts: Parts, request: Request) -> Response:
    """Go back to the previous version."""
    alias, body = request.path_params["alias"], await body_of(request, models.RollbackRequest)
    by = actor(request)
    outcome = await parts.rollout.rollback(
        alias, by, quarantine=body.quarantine, leaving=body.leaving
    )
    return _moved(outcome)


@describes(body=models.RetireRequest, answers={200: models.Retired})
async def retire(parts: Parts, request: Request) -> Response:
    """Take versions out of service."""
    alias, body = request.path_params["alias"], await body_of(request, models.RetireRequest)
    outcomes = await parts.rollout.retire(alias, body.digest, actor(request))
    versions = [models.Pushed.of(each) for each in outcomes]
    return JSONResponse(_shown(models.Retired(alias=alias, versions=versions)))


_ONE = "/admin/v1/adapters/{alias}"
RESOURCES: tuple[Resource[Parts], ...] = (
    Resource("admin", "GET", "/admin/v1/adapters", adapters),
    Resource("admin", "GET", _ONE, adapter),
    Resource("admin", "POST", f"{_ONE}/versions", push),
    Resource("admin", "GET", f"{_ONE}/versions/{{digest}}", version),
    Resource("admin", "GET", f"{_ONE}/versions/{{digest}}/export", export_version),
    Resource("admin", "GET", f"{_ONE}/export", export_live),
    Resource("admin", "POST", f"{_ONE}/promote", promote),
    Resource("admin", "POST", f"{_ONE}/canary", canary),
    Resource("admin", "POST", f"{_ONE}/shadow", shadow),
    Resource("admin", "POST", f"{_ONE}/rollback", rollback),
    Resource("admin", "POST", f"{_ONE}/retire", retire),
)


async def _version(parts: Parts, request: Request) -> VersionRecord:
    reference = request.path_params["digest"]
    low, high = _REFERENCE_LENGTH
    if not low <= len(reference) <= high:
        raise BadField(f"digest: give the full one, or at least its first {low} digits", "digest")
    return await asyncio.to_thread(parts.registry.version, request.path_params["alias"], reference)


async def _shown_by_routers(parts: Parts) -> None:
    """Who is told that a version is live finds it so: every router has what is on record, or is
    late by more than one waits for.
    """
    epoch = await asyncio.to_thread(parts.registry.epoch)
    with contextlib.suppress(FleetError):
        await parts.fleet.routers_applied(epoch, _ROUTERS_S)


async def _exported(parts: Parts, record: VersionRecord) -> Response:
    reports = await asyncio.to_thread(parts.reports, record.alias, record.digest)
    lease = await asyncio.to_thread(parts.store.lease, record.alias, record.digest)
    return StreamingResponse(
        _leased(lease, bundle(record, lease.path, reports)),
        media_type="application/gzip",
        headers={"content-disposition": f'attachment; filename="{bundle_name(record)}"'},
    )


def _leased(lease: Lease, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces; the files stay until the last one."""
    with lease:
        yield from pieces


def _answer(outcome: Outcome) -> Response:
    if outcome.refused:
        raise VersionRefused(outcome)
    if outcome.state is State.FAILED:
        raise PublishFailed(outcome)
    # Known bytes that are still on their way are not yet where they were asked to be.
    status = 202 if not outcome.finished else 200 if outcome.known else 201
    return JSONResponse(_shown(models.Pushed.of(outcome)), status)


def _moved(outcome: Outcome) -> Response:
    return JSONResponse(_shown(models.Pushed.of(outcome)))


def _shown(model: models.Answer) -> dict[str, Any]:
    return model.model_dump(mode="json")
