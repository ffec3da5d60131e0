"""What the registry asks of the log on a router's machine."""

from __future__ import annotations

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from adapters.records.auditing import Audit
from adapters.records.verify import verify
from adapters.resources import Resource, body_of
from router.admin.audit import page_of_records, proof_of
from router.admin.holds import Terms, put
from serving.internal import paths

_JSON = "application/json"


async def _records(audit: Audit, request: Request) -> Response:
    return Response(orjson.dumps(await page_of_records(audit, request)), media_type=_JSON)


async def _verification(audit: Audit, request: Request) -> Response:
    """In a process of its own: requests are answered meanwhile."""
    answer: dict[str, Any] = {"name": audit.name}
    if request.query_params.get("known") != audit.name:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context) as pool:
            loop = asyncio.get_running_loop()
            verdict = await loop.run_in_executor(pool, verify, audit.directory)
        answer |= verdict.as_dict()
    return Response(orjson.dumps(answer), media_type=_JSON)


async def _proof(audit: Audit, request: Request) -> Response:
    sequence, writer = request.path_params["sequence"], request.query_params["writer"]
    found = await proof_of(audit, int(sequence), writer)
    return Response(orjson.dumps(found), media_type=_JSON)


async def _hold(audit: Audit, request: Request) -> Response:
    terms = await body_of(request, Terms)
    await asyncio.to_thread(put, audit.holds, terms)
    return Response(status_code=204)


async def _release(audit: Audit, request: Request) -> Response:
    await asyncio.to_thread(audit.holds.remove, request.path_params["id"])
    return Response(status_code=204)


ROWS: tuple[Resource[Audit], ...] = (
    Resource("internal", "GET", paths.AUDIT, _records),
    Resource("internal", "GET", paths.AUDIT_VERIFY, _verification),
    Resource("internal", "GET", paths.AUDIT_PROOF, _proof),
    Resource("internal", "POST", paths.HOLDS, _hold),
    Resource("internal", "DELETE", paths.HOLD, _release),
)
