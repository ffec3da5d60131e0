"""The admin door: push, promote, roll back, retire, list, export, follow. Thin.

Whoever gets here has been authenticated by the router. Routes parse, call one thing, and turn what
comes back into an answer; what goes wrong becomes an answer in ``admin.errors``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, FastAPI, Header, Path, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from adapters.admin import errors, models
from adapters.admin.stream import sse
from adapters.admin.upload import ARCHIVES, received
from adapters.config import AdaptersConfig
from adapters.errors import NotInStore
from adapters.fleet import Fleet
from adapters.format.export import bundle, bundle_name
from adapters.format.names import validate_alias
from adapters.publish.rollout import Outcome, Rollout
from adapters.registry import Registry, Stage, VersionRecord
from adapters.registry.lifecycle import State
from adapters.store.lease import Lease
from adapters.store.store import Store

PREFIX = "/admin/v1"
_HISTORY_LINES = 200

Alias = Annotated[str, Path(description="the name that clients use", max_length=63)]
Reference = Annotated[
    str, Path(description="full digest, or its first 12 digits", min_length=12, max_length=200)
]
Actor = Annotated[
    str,
    Header(alias="x-graftwork-actor", description="who asks, as the router established it"),
]


@dataclass(frozen=True)
class _Parts:
    rollout: Rollout
    registry: Registry
    store: Store
    fleet: Fleet
    config: AdaptersConfig
    replicas: Callable[[], list[dict[str, Any]]]


def build_admin(
    rollout: Rollout,
    registry: Registry,
    store: Store,
    fleet: Fleet,
    config: AdaptersConfig,
    replicas: Callable[[], list[dict[str, Any]]],
) -> FastAPI:
    """The admin app, with full paths. ``replicas`` describes each live engine, without secrets."""
    app = FastAPI(
        title="Graftwork admin plane: adapters",
        summary="Publish, replace, roll back and retire LoRA adapters on running engines.",
        docs_url=f"{PREFIX}/docs",
        openapi_url=f"{PREFIX}/openapi.json",
        redoc_url=None,
    )
    errors.install(app)
    parts = _Parts(rollout, registry, store, fleet, config, replicas)
    for routes in (_pushes(parts), _reads(parts), _moves(parts)):
        app.include_router(routes, prefix=PREFIX, responses=_COMMON)
    return app


_COMMON: dict[int | str, dict[str, Any]] = {
    400: {"model": models.ErrorAnswer, "description": "The request makes no sense."},
    404: {"model": models.ErrorAnswer, "description": "No such alias or version."},
    409: {"model": models.ErrorAnswer, "description": "Not possible in the present state."},
    422: {"model": models.PushRefused, "description": "The version is not fit to serve."},
    503: {"model": models.ErrorAnswer, "description": "Engines or registry could not; try again."},
}
_PUSH_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in ARCHIVES},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "application/json": {"schema": models.ImportRequest.model_json_schema()},
        },
    }
}


def _pushes(parts: _Parts) -> APIRouter:
    routes = APIRouter(tags=["publish"])

    @routes.post(
        "/adapters/{alias}/versions",
        response_model=models.Pushed,
        responses={
            200: {"description": "These bytes were known."},
            201: {"model": models.Pushed, "description": "Published."},
            202: {"model": models.Pushed, "description": "Stored; publishing goes on."},
            413: {"model": models.ErrorAnswer, "description": "The archive is too large."},
            415: {"model": models.ErrorAnswer, "description": "Not an archive's content type."},
        },
        openapi_extra=_PUSH_BODY,
        summary="Push a version",
    )
    async def push(
        request: Request,
        alias: Alias,
        wait: Annotated[
            Literal["live"] | None, Query(description="answer when it serves or has failed")
        ] = None,
        stage: Annotated[Stage, Query(description="where it goes when it is ready")] = "live",
        percent: Annotated[
            float, Query(ge=0, le=100, description="share of the traffic for canary and shadow")
        ] = 0.0,
        actor: Actor = "admin",
    ) -> JSONResponse:
        """Take a `.tar`, `.tar.gz` or `.zip` of a PEFT directory, or `{"uri": …}`."""
        validate_alias(alias)
        async with received(request, parts.config) as directory:
            outcome = await parts.rollout.push(
                alias,
                directory,
                stage=stage,
                percent=percent,
                wait=wait is not None,
                author=actor,
            )
        return _answer(outcome)

    return routes


def _reads(parts: _Parts) -> APIRouter:
    routes = APIRouter(tags=["look"])
    registry = parts.registry

    @routes.get("/adapters", summary="Every adapter")
    async def adapters() -> models.AliasList:
        return await asyncio.to_thread(_alias_list, registry)

    @routes.get("/adapters/{alias}", summary="One adapter, its versions and history")
    async def adapter(alias: Alias) -> models.AliasDetail:
        return await asyncio.to_thread(_alias_detail, registry, alias)

    @routes.get("/adapters/{alias}/versions/{digest}", summary="One version")
    async def version(alias: Alias, digest: Reference) -> models.Version:
        record = await asyncio.to_thread(registry.version, alias, digest)
        fleet, name = parts.fleet, record.name
        return models.Version.of(record, fleet.in_flight(name), fleet.counted(name))

    @routes.get("/adapters/{alias}/versions/{digest}/export", **_TAR, summary="Export a version")
    async def export_version(alias: Alias, digest: Reference) -> Response:
        record = await asyncio.to_thread(registry.version, alias, digest)
        return await _exported(parts.store, record)

    @routes.get("/adapters/{alias}/export", **_TAR, summary="Export the live version")
    async def export_live(alias: Alias) -> Response:
        row = await asyncio.to_thread(registry.alias, alias)
        if row.live is None:
            raise NotInStore(f"{alias!r} has no live version", code="no-live-version")
        record = await asyncio.to_thread(registry.version, alias, row.live)
        return await _exported(parts.store, record)

    @routes.get("/replicas", summary="What every engine truly holds")
    async def replicas() -> models.ReplicaList:
        return models.ReplicaList(replicas=parts.replicas())

    @routes.get("/events", response_class=StreamingResponse, summary="Follow what happens (SSE)")
    async def events(
        after: Annotated[int | None, Query(ge=0, description="the last number seen")] = None,
        last_event_id: Annotated[int | None, Header(ge=0)] = None,
    ) -> StreamingResponse:
        start = after if after is not None else last_event_id
        return StreamingResponse(
            sse(parts.rollout.events, start),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    return routes


def _moves(parts: _Parts) -> APIRouter:
    routes = APIRouter(tags=["move"])
    rollout = parts.rollout

    @routes.post("/adapters/{alias}/promote", summary="Make a version live")
    async def promote(
        alias: Alias, body: models.PromoteRequest, actor: Actor = "admin"
    ) -> models.Pushed:
        return _pushed(await rollout.promote(alias, body.digest, actor))

    @routes.post("/adapters/{alias}/canary", summary="Give a version a share of the traffic")
    async def canary(
        alias: Alias, body: models.ShareRequest, actor: Actor = "admin"
    ) -> models.Pushed:
        return _pushed(await rollout.canary(alias, body.digest, body.percent, actor))

    @routes.post("/adapters/{alias}/shadow", summary="Let a version answer in secret")
    async def shadow(
        alias: Alias, body: models.ShareRequest, actor: Actor = "admin"
    ) -> models.Pushed:
        return _pushed(await rollout.shadow(alias, body.digest, body.percent, actor))

    @routes.post("/adapters/{alias}/rollback", summary="Go back to the previous version")
    async def rollback(
        alias: Alias, body: models.RollbackRequest | None = None, actor: Actor = "admin"
    ) -> models.Pushed:
        quarantine = body.quarantine if body is not None else None
        return _pushed(await rollout.rollback(alias, actor, quarantine=quarantine))

    @routes.post("/adapters/{alias}/retire", summary="Take versions out of service")
    async def retire(
        alias: Alias, body: models.RetireRequest | None = None, actor: Actor = "admin"
    ) -> models.Retired:
        digest = body.digest if body is not None else None
        outcomes = await rollout.retire(alias, digest, actor)
        return models.Retired(alias=alias, versions=[_pushed(each) for each in outcomes])

    @routes.post("/gc", summary="Remove files that nobody can want back from the store")
    async def collect(
        body: models.CollectRequest | None = None, actor: Actor = "admin"
    ) -> models.Collected:
        dry_run = body is not None and body.dry_run
        found = await rollout.collect(dry_run=dry_run, by=actor)
        return models.Collected(
            dry_run=dry_run,
            size_bytes=sum(each.size_bytes for each in found),
            versions=[models.CollectedVersion.model_validate(each) for each in found],
        )

    return routes


_TAR: dict[str, Any] = {
    "response_class": StreamingResponse,
    "responses": {200: {"content": {"application/x-tar": {}}, "description": "The bundle."}},
}


def _alias_list(registry: Registry) -> models.AliasList:
    epoch = registry.epoch()
    summaries = [
        models.AliasSummary.of(
            alias, registry.versions(alias.name), registry.candidates(alias.name)
        )
        for alias in registry.aliases()
    ]
    return models.AliasList(epoch=epoch, adapters=summaries)


def _alias_detail(registry: Registry, alias: str) -> models.AliasDetail:
    return models.AliasDetail.of(
        registry.alias(alias),
        registry.versions(alias),
        registry.candidates(alias),
        registry.history(alias, _HISTORY_LINES),
    )


async def _exported(store: Store, version: VersionRecord) -> Response:
    lease = await asyncio.to_thread(store.lease, version.alias, version.digest)
    return StreamingResponse(
        _leased(lease, bundle(version, lease.path)),
        media_type="application/x-tar",
        headers={"content-disposition": f'attachment; filename="{bundle_name(version)}"'},
    )


def _leased(lease: Lease, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces; the files stay until the last one."""
    with lease:
        yield from pieces


def _answer(outcome: Outcome) -> JSONResponse:
    checks = [dict(check) for check in outcome.checks]
    where = (outcome.alias, outcome.digest, outcome.state.value, checks)
    if outcome.refused:
        return errors.rejection(outcome.error, *where)
    if outcome.state is State.FAILED:
        alias, digest, state, _ = where
        return errors.envelope(
            503,
            outcome.error,
            code="publish_failed",
            alias=alias,
            digest=digest,
            state=state,
            checks=checks,
        )
    status = 200 if outcome.known else 201 if outcome.finished else 202
    return JSONResponse(_pushed(outcome).model_dump(mode="json"), status)


def _pushed(outcome: Outcome) -> models.Pushed:
    return models.Pushed.of(outcome)
