"""The resource ``drift``: whether the last day is unlike the week before. The registry answers."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Protocol

import orjson
from starlette.requests import Request
from starlette.responses import Response

from adapters.resources import Resource, listed, page_of
from router.learn.drift import MAJOR, MODERATE, Drift


class Watched(Protocol):
    """Where what drifts is kept. Blocks."""

    def drift(self) -> list[Drift]:
        """Each signal, in the order of their names."""
        ...


async def drift(books: Watched, request: Request) -> Response:
    """Intents, confidence, redactions and quality of the last day beside the week before."""
    page = page_of(request.query_params)
    found = await asyncio.to_thread(books.drift)
    thresholds = {"moderate": MODERATE, "major": MAJOR}
    answer = listed(page, found, lambda each: each.signal, asdict, thresholds=thresholds)
    return Response(orjson.dumps(answer), media_type="application/json")


RESOURCES: tuple[Resource[Watched], ...] = (Resource("auditor", "GET", "/admin/v1/drift", drift),)
