"""Usage of all routers: absolute counts go in, sums over a time range come out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Engine, delete, func, select
from sqlalchemy.orm import Session

from adapters.registry import database
from adapters.registry.claim import Claim
from router.account.usage import HOUR_S, UsageReport
from serving.registry.accounts.models import UsageRow

DIMENSIONS = ("key", "tenant", "route", "target")
COUNTS = (
    "requests",
    "refused",
    "cache_hits",
    "attempts",
    "input_tokens",
    "output_tokens",
    "nano_usd",
)
_KEPT_S = 400 * 86_400
_NAMES = ("hour", "key", "tenant", "route", "target")


@dataclass(frozen=True)
class UsageQuestion:
    """Which usage: the hours that touch ``since`` to ``until``, seconds since the epoch."""

    since: float
    until: float
    by: Sequence[str] = DIMENSIONS
    only: dict[str, str] = field(default_factory=dict)


class UsageBook:
    """Adds up what routers counted, while the registry's ``claim`` holds. Thread-safe."""

    def __init__(self, engine: Engine, claim: Claim) -> None:
        self._engine = engine
        self._claim = claim
        self._reader = database.reader(engine)
        self._lock = threading.Lock()

    def report(self, report: UsageReport) -> None:
        """Take a router's counts; they are absolute, so hearing them twice changes nothing.

        Raises ``Superseded``.
        """
        with self._lock, Session(self._engine) as session, session.begin():
            self._claim.share(session)
            for told in report.rows:
                names = {name: getattr(told, name) for name in _NAMES}
                where = tuple(names.values())
                row = session.get(UsageRow, (*where, report.holder))
                if row is None:
                    row = UsageRow(**names, holder=report.holder, **dict.fromkeys(COUNTS, 0))
                    session.add(row)
                for name in COUNTS:
                    setattr(row, name, max(getattr(row, name), getattr(told, name)))

    def ask(self, question: UsageQuestion) -> list[dict[str, Any]]:
        """Sums, the dearest first."""
        groups: list[ColumnElement[Any]] = [getattr(UsageRow, name) for name in question.by]
        sums = [func.sum(getattr(UsageRow, name)) for name in COUNTS]
        query = select(*groups, *sums).where(
            UsageRow.hour > question.since - HOUR_S, UsageRow.hour < question.until
        )
        for name, value in question.only.items():
            query = query.where(getattr(UsageRow, name) == value)
        with Session(self._reader) as session:
            rows = session.execute(query.group_by(*groups) if groups else query).all()
        found = [_named(question.by, row) for row in rows if row[-1] is not None]
        return sorted(found, key=lambda row: (-row["cost_usd"], -row["requests"]))

    def tidy(self, now_s: float) -> None:
        """Forget what is older than a year and a month."""
        with self._lock, Session(self._engine) as session, session.begin():
            self._claim.share(session)
            session.execute(delete(UsageRow).where(UsageRow.hour < now_s - _KEPT_S))


def _named(by: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    found: dict[str, Any] = dict(zip(by, row, strict=False))
    counts = dict(zip(COUNTS, row[len(by) :], strict=True))
    nano = counts.pop("nano_usd")
    found |= {name: int(value) for name, value in counts.items()}
    return {**found, "cost_usd": int(nano) / 1e9}
