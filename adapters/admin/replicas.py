"""The resource ``replicas``: what every engine truly holds."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapters.admin.parts import Parts
from adapters.resources import Resource, listed, page_of


async def replicas(parts: Parts, request: Request) -> Response:
    """What every engine truly holds."""
    page = page_of(request.query_params)
    return JSONResponse(listed(page, parts.replicas(), lambda row: str(row["id"]), lambda row: row))


RESOURCES: tuple[Resource[Parts], ...] = (Resource("admin", "GET", "/admin/v1/replicas", replicas),)
