"""The books over HTTP: routers ask for leases and report usage; the admin plane reads."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from adapters.jobs.periodic import Every, PeriodicJobs, in_thread
from adapters.records.line import iso
from adapters.registry.claim import Claim
from adapters.resources import Resource
from router.account.usage import UsageReport
from router.admin.usage import UsageQuestion
from router.budgets.accounts import NANO, Metric
from router.budgets.authority import LeaseAsk
from router.learn.drift import Drift
from router.wire.table import Bound, bound
from serving.internal.paths import LEASES, USAGE
from serving.registry.accounts.book import Balance, LeaseBook
from serving.registry.accounts.database import open_database
from serving.registry.accounts.signals import DriftBook
from serving.registry.accounts.usage import UsageBook

_TIDY_S = 3600.0
_DRIFT_S = 300.0
_JSON = "application/json"


class AccountsSurface:
    """Leases and usage of all routers. ``url``: the database that ``claim`` is about.

    Raises ``RegistryError`` when the database cannot be opened.
    """

    def __init__(self, url: str, claim: Claim) -> None:
        self._engine = open_database(url)
        self._claim = claim
        self.leases = LeaseBook(self._engine, claim)
        self.usage = UsageBook(self._engine, claim)
        self.drifts = DriftBook(self._engine)

    def routes(self) -> list[Bound]:
        """What routers ask of the registry's internal surface."""
        return bound(_INTERNAL, self)

    def used(self, question: UsageQuestion) -> list[dict[str, Any]]:
        """Sums, the dearest first. Blocks."""
        return self.usage.ask(question)

    def budgets(self) -> list[dict[str, Any]]:
        """Every running budget. Blocks."""
        return [_shown(balance) for balance in self.leases.balances()]

    def drift(self) -> list[Drift]:
        """What is unlike the week before. Blocks."""
        return self.drifts.ask()

    def add_to(self, jobs: PeriodicJobs) -> None:
        """Forget what nobody asks for any more, again and again."""
        jobs.add("tidy-books", in_thread(self._tidy), Every(_TIDY_S, at_once=True, limit_s=600.0))
        jobs.add("drift", in_thread(self.drifts.look), Every(_DRIFT_S, at_once=True))

    def _tidy(self) -> None:
        # Not by a registry that only starts beside the one that serves: it would take over.
        if self._claim.writer is not None:
            self.leases.tidy()
            self.usage.tidy(time.time())

    def close(self) -> None:
        """Release the database's connections."""
        self._engine.dispose()


async def _lease(books: AccountsSurface, request: Request) -> Response:
    """Grant and take back parts of limits."""
    ask = LeaseAsk.model_validate_json(await request.body())
    answer = await asyncio.to_thread(books.leases.lease, ask)
    return Response(answer.model_dump_json(), media_type=_JSON)


async def _report(books: AccountsSurface, request: Request) -> Response:
    """Take a router's counts."""
    report = UsageReport.model_validate_json(await request.body())
    await asyncio.to_thread(books.usage.report, report)
    return Response(b"{}", media_type=_JSON)


_INTERNAL: tuple[Resource[AccountsSurface], ...] = (
    Resource("internal", "PUT", LEASES, _lease),
    Resource("internal", "PUT", USAGE, _report),
)


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
        "starts": iso(starts) if starts else None,
        "ends": iso(balance.ends) if balance.ends else None,
        "limit": balance.limit / unit,
        "spent": balance.spent / unit,
        "leased": (balance.granted - balance.spent) / unit,
    }
