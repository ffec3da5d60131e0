"""What is counted: which budgets a request falls under, and in which window of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import orjson

from router.config.budgets import EACH, BudgetConfig, Window

NANO = 1_000_000_000
"""Money is counted in whole billionths of a dollar, so that sums are exact."""
_SECONDS = {Window.MINUTE: 60, Window.HOUR: 3600, Window.DAY: 86_400}


class Metric(StrEnum):
    """What an account counts."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    MONEY = "usd"


@dataclass(frozen=True, slots=True)
class BudgetAccount:
    """One running count: a budget's limit of one metric, for whom, in one window."""

    id: str
    """The same in every router."""
    budget: str
    metric: Metric
    window: Window
    limit: int
    """In units of the metric; money in billionths of a dollar."""
    ends: int | None
    """When the window is over, seconds since the epoch; None for ``total``."""


def accounts_of(
    budgets: Sequence[BudgetConfig],
    key: str,
    tenant: str,
    route: str,
    now_s: float,
    *,
    model: str | None = None,
) -> Iterator[BudgetAccount]:
    """The accounts that a request of this caller for this route falls under now.

    ``model``: what it named, where the route is a glob: a budget may be about that one name.
    """
    routes = (route,) if model is None else (route, model)
    for budget in budgets:
        scope = _scope(budget, (key,), (tenant,), routes)
        if scope is None:
            continue
        starts, ends = window_at(budget.window, now_s)
        for metric, limit in _limits(budget):
            identity = orjson.dumps([budget.name, metric, starts, *scope]).decode()
            yield BudgetAccount(identity, budget.name, metric, budget.window, limit, ends)


def _scope(
    budget: BudgetConfig, keys: Sequence[str], tenants: Sequence[str], routes: Sequence[str]
) -> tuple[str | None, ...] | None:
    """Key, tenant and route as the budget tells them apart; None when it is not about these.

    Each by all its names: the first is the one that is told apart from others.
    """
    found: list[str | None] = []
    for pattern, names in ((budget.key, keys), (budget.tenant, tenants), (budget.route, routes)):
        if pattern is None:
            found.append(None)
        elif pattern == EACH:
            found.append(names[0])
        elif pattern in names:
            found.append(pattern)
        else:
            return None
    return tuple(found)


def _limits(budget: BudgetConfig) -> Iterator[tuple[Metric, int]]:
    if budget.requests is not None:
        yield Metric.REQUESTS, budget.requests
    if budget.tokens is not None:
        yield Metric.TOKENS, budget.tokens
    if budget.usd is not None:
        yield Metric.MONEY, int(budget.usd * NANO)


def window_at(window: Window, now_s: float) -> tuple[int, int | None]:
    """Start and end of the window around a moment, seconds since the epoch."""
    if window is Window.TOTAL:
        return 0, None
    if window is Window.MONTH:
        now = datetime.fromtimestamp(now_s, UTC)
        starts = datetime(now.year, now.month, 1, tzinfo=UTC)
        year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)
        return int(starts.timestamp()), int(datetime(year, month, 1, tzinfo=UTC).timestamp())
    length = _SECONDS[window]
    begin = int(now_s // length * length)
    return begin, begin + length
