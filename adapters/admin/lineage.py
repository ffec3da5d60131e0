"""The resource ``lineage``: what an adapter was made of."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapters.distill.origins import Origins
from adapters.resources import BadField, Resource, describes

_SHORTEST = 12


@describes(query={"digest": "of this version; default: the live one, else the newest"})
async def lineage(origins: Origins, request: Request) -> Response:
    """What a version was made of: dataset, rows, reviewers, teacher, settings, gate, parents."""
    reference = request.query_params.get("digest")
    if reference is not None and len(reference) < _SHORTEST:
        raise BadField(f"digest: give the full one, or at least {_SHORTEST} digits", "digest")
    found = await asyncio.to_thread(origins.of, request.path_params["alias"], reference)
    return JSONResponse(found)


RESOURCES: tuple[Resource[Origins], ...] = (
    Resource("admin", "GET", "/admin/v1/adapters/{alias}/lineage", lineage),
)
