"""What the registry asks targets through a router: as requests, under every rule of the path.

The gate compares a new version with whoever answers now, and a judge may compare answers: policy,
residency, budgets and records hold for them as for anybody's requests (laws 5 to 8). They belong to
the tenant whose data they carry, wait behind everybody else, and are not captured.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapters.resources import Resource, body_of
from router.config.auth import KeyScope
from router.config.priority import Priority
from router.govern.safety.stage import Safety
from router.http import Door
from router.policy.load import evaluate, situation_of
from router.policy.source import PolicySource
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


class Looked(BaseModel):
    """An answer that goes to nobody."""

    answer: str
    tenant: str
    intent: str


@dataclass(frozen=True)
class Checks:
    """What answers have to pass on the request path."""

    safety: Safety
    policies: PolicySource


async def look_at(checks: Checks, request: Request) -> Response:
    """What safety and the rules that hold find in an answer, by kind."""
    looked = await body_of(request, Looked)
    situation = situation_of({"caller": NAME, "tenant": looked.tenant, "intent": looked.intent})
    rules = checks.policies.current().active
    found = await asyncio.to_thread(evaluate, rules, situation, looked.answer)
    problems = ["policy"] if found.violations else []
    problems += ["unsafe"] if await checks.safety.check_answer(looked.answer) else []
    return JSONResponse({"problems": problems})


LOOKING: tuple[Resource[Checks], ...] = (Resource("internal", "POST", paths.LOOK_AT, look_at),)
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
