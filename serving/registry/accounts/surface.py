"""The books over HTTP: routers ask for leases and report usage; the admin plane reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from adapters.errors import Superseded
from adapters.jobs.periodic import Every, PeriodicJobs, in_thread
from adapters.registry.claim import Claim
from router.account.usage import UsageReport
from router.budgets.accounts import NANO, Metric
from router.budgets.authority import LeaseAsk
from serving.registry.accounts.book import Balance, LeaseBook
from serving.registry.accounts.database import open_database
from serving.registry.accounts.usage import COLUMNS, DIMENSIONS, UsageBook, UsageQuestion
from serving.router.authority import LEASES_PATH, USAGE_PATH

_TIDY_S = 3600.0
_DAY_S = 86_400.0
_JSON = "application/json"
_Handler = Callable[[Request], Awaitable[Response]]


class AccountsSurface:
    """Routes on the registry's internal surface. ``url``: the database that ``claim`` is about.

    Raises ``RegistryError`` when the database cannot be opened.
    """

    def __init__(self, url: str, claim: Claim) -> None:
        self._engine = open_database(url)
        self.leases = LeaseBook(self._engine, claim)
        self.usage = UsageBook(self._engine, claim)

    def routes(self) -> list[Route]:
        """To be mounted ahead of the admin plane's own."""
        return [
            Route(LEASES_PATH, _shaped(self._lease), methods=["PUT"]),
            Route(USAGE_PATH, _shaped(self._report), methods=["PUT"]),
            Route("/admin/v1/usage", _shaped(self._ask), methods=["GET"]),
        ]

    def add_to(self, jobs: PeriodicJobs) -> None:
        """Forget what nobody asks for any more, again and again."""
        jobs.add("tidy-books", in_thread(self._tidy), Every(_TIDY_S, at_once=True, limit_s=600.0))

    def _tidy(self) -> None:
        self.leases.tidy()
        self.usage.tidy(time.time())

    def close(self) -> None:
        """Release the database's connections."""
        self._engine.dispose()

    async def _lease(self, request: Request) -> Response:
        ask = LeaseAsk.model_validate_json(await request.body())
        answer = await asyncio.to_thread(self.leases.lease, ask)
        return Response(answer.model_dump_json(), media_type=_JSON)

    async def _report(self, request: Request) -> Response:
        report = UsageReport.model_validate_json(await request.body())
        await asyncio.to_thread(self.usage.report, report)
        return Response(b"{}", media_type=_JSON)

    async def _ask(self, request: Request) -> Response:
        try:
            question = _question(dict(request.query_params))
        except (ValueError, ValidationError) as error:
            return _refusal(400, str(error), "invalid_request")
        rows = await asyncio.to_thread(self.usage.ask, question)
        balances = await asyncio.to_thread(self.leases.balances)
        answer = {
            "object": "usage",
            "since": question.since,
            "until": question.until,
            "data": rows,
            "budgets": [_shown(balance) for balance in balances],
        }
        return Response(orjson.dumps(answer), media_type=_JSON)


def _shaped(handler: _Handler) -> _Handler:
    """What the database or a successor refuses becomes an answer."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Superseded as error:
            return _refusal(503, str(error), error.code)
        except SQLAlchemyError as error:
            return _refusal(503, f"the registry's database fails: {error}", "database_error")

    return answer


def _question(query: dict[str, str]) -> UsageQuestion:
    """Raises ``ValueError`` that says what may be asked."""
    now = time.time()
    known = {"since", "until", "by", *COLUMNS}
    if unknown := sorted(query.keys() - known):
        raise ValueError(f"unknown parameters {unknown}; known: {sorted(known)}")
    by = [name for name in query.get("by", ",".join(COLUMNS)).split(",") if name]
    if odd := sorted(set(by) - set(DIMENSIONS)):
        raise ValueError(f"'by' names {odd}; known: {list(DIMENSIONS)}")
    return UsageQuestion(
        since=_seconds(query.get("since"), now - _DAY_S, "since"),
        until=_seconds(query.get("until"), now + 1, "until"),
        by=by,
        only={name: query[name] for name in COLUMNS if name in query},
    )


def _seconds(text: str | None, otherwise: float, name: str) -> float:
    if text is None:
        return otherwise
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"{name!r} must be seconds since the epoch, not {text!r}") from error


def _shown(balance: Balance) -> dict[str, Any]:
    unit = NANO if balance.metric == Metric.MONEY else 1
    _, _, starts, key, tenant, route = orjson.loads(balance.account)
    return {
        "budget": balance.budget,
        "metric": balance.metric,
        "window": balance.window,
        "key": key,
        "tenant": tenant,
        "route": route,
        "starts": starts,
        "ends": balance.ends,
        "limit": balance.limit / unit,
        "spent": balance.spent / unit,
        "leased": (balance.granted - balance.spent) / unit,
    }


def _refusal(status: int, message: str, code: str) -> JSONResponse:
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "param": None, "code": code}
    return JSONResponse({"error": error}, status)
