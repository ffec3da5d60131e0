"""The resource ``trace``: what became of a request."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapters.distill.tracing import Tracer
from adapters.resources import Resource


async def trace(tracer: Tracer, request: Request) -> Response:
    """What became of a decision or an exchange: review, dataset rows, adapters."""
    return JSONResponse(await asyncio.to_thread(tracer.of, request.path_params["id"]))


RESOURCES: tuple[Resource[Tracer], ...] = (Resource("admin", "GET", "/admin/v1/trace/{id}", trace),)
