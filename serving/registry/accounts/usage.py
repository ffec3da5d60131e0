"""Usage of all routers: absolute counts go in, sums over a time range come out."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import ColumnElement, Engine, delete, func, select
from sqlalchemy.orm import Session

from adapters.records.line import iso
from adapters.registry import database
from adapters.registry.claim import Claim
from router.account.usage import HOUR_S, TIMES, Counts, UsageReport
from router.admin.usage import COLUMNS, UsageQuestion
from router.stages import TARGET, Heading
from serving.registry.accounts import signals
from serving.registry.accounts.models import UsageRow

COUNTS = tuple(each.name for each in fields(Counts))
"""The columns of a row that grow."""
_KEPT_S = 400 * 86_400
_NAMES = ("hour", *COLUMNS)
_ADAPTER = "adapter:"
_NONE = "none"
_WITH_TARGETS = Heading.ROUTING.value
"""The heading of the stage that calls targets: their tokens and their price are booked there."""


class UsageBook:
    """Adds up what routers counted, under the registry's ``claim``. Thread-safe."""

    def __init__(self, engine: Engine, claim: Claim) -> None:
        self._engine = engine
        self._claim = claim
        self._reader = database.reader(engine)
        self._lock = threading.Lock()

    def report(self, report: UsageReport) -> None:
        """Take a router's counts; they are absolute, so hearing them twice changes nothing.

        Raises ``Superseded``.
        """
        self._claim.ensure()
        with self._lock, Session(self._engine) as session, session.begin():
            self._claim.share(session)
            for reported in report.rows:
                names = {name: getattr(reported, name) for name in _NAMES}
                where = tuple(names.values())
                row = session.get(UsageRow, (*where, report.holder))
                if row is None:
                    row = UsageRow(**names, holder=report.holder, **dict.fromkeys(COUNTS, 0))
                    session.add(row)
                for name in COUNTS:
                    setattr(row, name, max(getattr(row, name), getattr(reported, name)))
            signals.store(session, report.holder, report.signals)

    def ask(self, question: UsageQuestion) -> list[dict[str, Any]]:
        """Sums, the dearest first.

        By heading, time is the heading's own, and tokens and money stand where targets are called.
        """
        by = [name for name in question.by if name in _NAMES]
        columns = by if "version" not in question.by or "target" in by else [*by, "target"]
        groups: list[ColumnElement[Any]] = [getattr(UsageRow, name) for name in columns]
        sums = [func.sum(getattr(UsageRow, name)) for name in COUNTS]
        query = select(*groups, *sums).where(
            UsageRow.hour > question.since - HOUR_S, UsageRow.hour < question.until
        )
        for name, value in question.only.items():
            query = query.where(getattr(UsageRow, name) == value)
        with Session(self._reader) as session:
            rows = session.execute(query.group_by(*groups) if groups else query).all()
        found = [_Sum.of(columns, question.by, row) for row in rows if row[-1] is not None]
        shown_rows = [
            shown for each in _merged(found) for shown in each.shown("heading" in question.by)
        ]
        return sorted(shown_rows, key=lambda row: (-row["usd"], -row["requests"], -row["time_ms"]))

    def tidy(self, now_s: float) -> None:
        """Forget what is older than a year and a month."""
        self._claim.ensure()
        with self._lock, Session(self._engine) as session, session.begin():
            self._claim.share(session)
            session.execute(delete(UsageRow).where(UsageRow.hour < now_s - _KEPT_S))
            signals.tidy(session, now_s)


@dataclass
class _Sum:
    """Counts of what is told apart by ``names``."""

    names: dict[str, Any]
    counts: dict[str, int]

    @classmethod
    def of(cls, columns: Sequence[str], by: Sequence[str], row: Sequence[Any]) -> _Sum:
        """From a row of the database."""
        names = dict(zip(columns, row, strict=False))
        target = str(names.get("target", ""))
        is_version = target.startswith(_ADAPTER)
        if "hour" in names:
            names["hour"] = iso(names["hour"])
        names["version"] = target.removeprefix(_ADAPTER) if is_version else _NONE
        counts = dict(zip(COUNTS, map(int, row[len(columns) :]), strict=True))
        return cls({name: names[name] for name in by if name in names}, counts)

    def shown(self, by_heading: bool) -> Iterator[dict[str, Any]]:
        """As it is answered: one row, or one for each heading."""
        counts = dict(self.counts)
        target_ms = counts.pop(f"{TARGET}_us") / 1000
        times = {heading: counts.pop(name) / 1000 for heading, name in TIMES.items()}
        usd = counts.pop("nano_usd") / 1e9
        if not by_heading:
            whole = {"usd": usd, "time_ms": sum(times.values()), "target_ms": target_ms}
            yield {**self.names, **counts, **whole}
            return
        for heading, time_ms in times.items():
            calls = heading == _WITH_TARGETS
            yield {
                **self.names,
                "heading": heading,
                "requests": counts["requests"],
                "time_ms": time_ms,
                "target_ms": target_ms if calls else 0.0,
                "input_tokens": counts["input_tokens"] if calls else 0,
                "output_tokens": counts["output_tokens"] if calls else 0,
                "usd": usd if calls else 0.0,
            }


def _merged(sums: list[_Sum]) -> Iterable[_Sum]:
    """Those with the same names as one: several targets have no version."""
    found: dict[tuple[Any, ...], _Sum] = {}
    for each in sums:
        place = tuple(each.names.values())
        kept = found.setdefault(place, each)
        if kept is not each:
            kept.counts = {name: n + each.counts[name] for name, n in kept.counts.items()}
    return found.values()
