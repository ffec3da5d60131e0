"""The resource ``gc``: files in the store that nobody can want back."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapters.admin import models
from adapters.admin.parts import Parts, actor
from adapters.resources import Resource, body_of, describes


@describes(body=models.CollectRequest, answers={200: models.Collected})
async def collect(parts: Parts, request: Request) -> Response:
    """Remove files that nobody can want back from the store."""
    body = await body_of(request, models.CollectRequest)
    found = await parts.rollout.collect(dry_run=body.dry_run, by=actor(request))
    answer = models.Collected(
        dry_run=body.dry_run,
        size_bytes=sum(each.size_bytes for each in found),
        versions=[models.CollectedVersion.model_validate(each) for each in found],
    )
    return JSONResponse(answer.model_dump(mode="json"))


RESOURCES: tuple[Resource[Parts], ...] = (Resource("admin", "POST", "/admin/v1/gc", collect),)
