"""The resource ``quality``: what outcomes taught of targets and of single requests. Thin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from adapters.admin.parts import choice
from adapters.corpus.bringing import BadLine
from adapters.outcomes.importing import Importer, target_of
from adapters.outcomes.outcomes import Outcomes
from adapters.records.line import iso
from adapters.resources import BadField, Resource, describes, refuse_unknown

_PATH: Final = "/admin/v1/quality"
_OUTCOMES: Final = f"{_PATH}/outcomes"
_TENANT: Final = "x-graftwork-tenant"
_NO_TENANT: Final = "default"
_KINDS: Final = {
    "text/csv": "csv",
    "application/csv": "csv",
    "application/x-ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "application/x-jsonlines": "jsonl",
    "application/json": "jsonl",
}


@dataclass(frozen=True)
class Desk:
    """What the resource needs.

    Attributes:
        outcomes: those that were imported.
        importer: takes more.
        again: has the model fitted anew soon.
        refuses: whether a tenant said that nothing of it may be kept.
        import_max_mb: of one file, MiB.
    """

    outcomes: Outcomes
    importer: Importer
    again: Callable[[], None]
    refuses: Callable[[str], bool]
    import_max_mb: int


async def quality(desk: Desk, _: Request) -> Response:
    """What was learned: the model in use, and of which targets it tells requests apart."""
    learned = await asyncio.to_thread(desk.outcomes.learned)
    counted = await asyncio.to_thread(desk.outcomes.counted)
    told = {
        "object": "quality",
        "model": None if learned is None else learned.digest,
        "fitted_at": None if learned is None else iso(learned.at),
        "targets": [] if learned is None else list(learned.told),
        "outcomes": [
            {"target": each.target, "judged": each.judged, "good": each.good} for each in counted
        ],
    }
    return _json(told)


@describes(
    query={"dry_run": "`true`: only say what would be imported"},
    content={kind: {"schema": {"type": "string"}} for kind in ("text/csv", "application/x-ndjson")},
    answers={
        400: "The first line of CSV does not name `text`, `target` and `good`.",
        403: "The tenant has refused its consent.",
        413: "Larger than `flywheel.outcomes.import_max_mb`; what came before is kept.",
        415: "Neither CSV nor JSON lines.",
    },
)
async def bring(desk: Desk, request: Request) -> Response:
    """Import a table of outcomes: `text`, `target`, `good`, and if known `intent`, `subject`."""
    refuse_unknown(request.query_params, bring)
    dry = choice(request.query_params, "dry_run", ("true", "false")) == "true"
    tenant = request.headers.get(_TENANT, _NO_TENANT)
    if desk.refuses(tenant):
        raise BadField(
            f"capture.tenants says that the tenant {tenant!r} has not consented.",
            "tenant",
            code="no_consent",
            status=403,
        )
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    form = _KINDS.get(kind)
    if form is None:
        raise BadField(
            f"Send text/csv or JSON lines as application/x-ndjson, not {kind or 'nothing'}.",
            "content-type",
            code="unsupported_media_type",
            status=415,
        )
    try:
        told = await desk.importer.take(_bounded(request, desk.import_max_mb), form, dry=dry)
    except BadLine as error:
        raise BadField(f"The table cannot be read: {error}.", None) from error
    if told.imported + told.replaced and not dry:
        desk.again()
    answer = {
        "imported": told.imported,
        "replaced": told.replaced,
        "rejected": told.rejected,
        "rejected_total": told.refused,
        "dry_run": dry,
        "targets": [
            {"target": name, "judged": count, "good": told.good[name]}
            for name, count in sorted(told.judged.items())
        ],
    }
    return _json(answer)


@describes(query={"target": "only its outcomes; default: all that were imported"})
async def clear(desk: Desk, request: Request) -> Response:
    """Remove imported outcomes; what was learned from them goes too."""
    refuse_unknown(request.query_params, clear)
    wanted = request.query_params.get("target")
    try:
        target = None if wanted is None else target_of(wanted)
    except BadLine as error:
        raise BadField(f"{error}.", "target") from error
    gone = await asyncio.to_thread(desk.outcomes.clear, target)
    desk.again()
    return _json({"removed": gone})


async def _bounded(request: Request, max_mb: int) -> AsyncIterator[bytes]:
    size = 0
    async for piece in request.stream():
        size += len(piece)
        if size > max_mb * 2**20:
            raise BadField(
                f"The file is larger than flywheel.outcomes.import_max_mb ({max_mb} MiB); send it "
                "in parts. The lines before are kept.",
                None,
                code="request_too_large",
                status=413,
            )
        yield piece


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


RESOURCES: tuple[Resource[Desk], ...] = (
    Resource("admin", "GET", _PATH, quality),
    Resource("admin", "POST", _OUTCOMES, bring),
    Resource("admin", "DELETE", _OUTCOMES, clear),
)
