"""What the registry asks targets through a router: as requests, under every rule of the path.

The gate compares a new version with whoever answers now, and a judge may compare answers: policy,
residency, budgets and records hold for them as for anybody's requests (laws 5 to 8). They belong to
the tenant whose data they carry, wait behind everybody else, and are not captured.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from adapters.resources import Resource
from router.config.auth import KeyScope
from router.config.priority import Priority
from router.http import Door
from router.request import Caller
from serving.internal import paths

TENANT_HEADER = "x-graftwork-tenant"
NAME = "gate"
"""How records name who asks."""


async def ask(door: Door, request: Request) -> Response:
    """A chat body: the answer of its model."""
    return door.asked_by(_caller(request))


async def who_answers(door: Door, request: Request) -> Response:
    """A chat body: who would answer it; nobody is called."""
    return door.asked_by(_caller(request), only_asks=True)


ROWS: tuple[Resource[Door], ...] = (
    Resource("internal", "POST", paths.ASK, ask),
    Resource("internal", "POST", paths.WHO_ANSWERS, who_answers),
)


def _caller(request: Request) -> Caller:
    return Caller(
        name=NAME,
        tenant=request.headers.get(TENANT_HEADER, "default"),
        scopes=frozenset({KeyScope.INFERENCE}),
        priority=Priority.BATCH,
    )
