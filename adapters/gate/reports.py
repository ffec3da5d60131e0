"""What gates found, version by version: the record that decides who may serve."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from adapters.flywheel.database import FlywheelStore
from adapters.gate.models import GateRow

PASSED: Final = "passed"
_KEPT: Final = 5
"""Reports of one version; the newest counts."""
WHOLE: Final = 200
"""Reports that keep their items, the newest; of older ones the verdict stays, which says who may
serve. A thousand items are a third of a megabyte."""
_CUT_AT_ONCE: Final = 8


class Reports:
    """All of them. Methods block and are thread-safe."""

    def __init__(self, store: FlywheelStore, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def put(self, alias: str, digest: str, evidence: str, report: Mapping[str, Any]) -> None:
        """Write one down; it counts from now on. The oldest of its version goes, and the items of
        what is long past.
        """

        def work(session: Session) -> None:
            session.add(
                GateRow(
                    alias=alias,
                    digest=digest,
                    at=self._clock(),
                    verdict=report["verdict"],
                    evidence=evidence,
                    report=dict(report),
                )
            )
            session.flush()
            of_version = (GateRow.alias == alias, GateRow.digest == digest)
            newest = select(GateRow.id).where(*of_version).order_by(GateRow.id.desc())
            kept = session.scalars(newest.limit(_KEPT)).all()
            session.execute(delete(GateRow).where(*of_version, GateRow.id.not_in(kept)))
            _cut(session)

        self._store.write(work)

    def newest(self, alias: str, digest: str) -> dict[str, Any] | None:
        """The report that counts; None before there is one."""
        row = self._row(alias, digest)
        return None if row is None else dict(row.report)

    def all_newest(self, limit: int) -> list[dict[str, Any]]:
        """The report that counts of every version, of the ``limit`` that were judged last."""
        last = select(func.max(GateRow.id)).group_by(GateRow.alias, GateRow.digest)
        query = select(GateRow.report).where(GateRow.id.in_(last)).order_by(GateRow.id.desc())
        with self._store.read() as session:
            return [dict(report) for report in session.scalars(query.limit(limit))]

    def has_passed(self, alias: str, digest: str) -> bool:
        """Whether the newest report lets the version serve."""
        row = self._row(alias, digest)
        return row is not None and row.verdict == PASSED

    def on(self, alias: str, digest: str, evidence: str) -> dict[str, Any] | None:
        """The newest report, if it was made of just this evidence."""
        row = self._row(alias, digest)
        return dict(row.report) if row is not None and row.evidence == evidence else None

    def looks(self, alias: str, digest: str) -> int:
        """How often a version was judged by items that were enough to judge it."""
        row = self._row(alias, digest)
        return 0 if row is None else int(row.report["looks"])

    def count(self) -> int:
        """How many there are."""
        with self._store.read() as session:
            return session.scalar(select(func.count()).select_from(GateRow)) or 0

    def _row(self, alias: str, digest: str) -> GateRow | None:
        query = (
            select(GateRow)
            .where(GateRow.alias == alias, GateRow.digest == digest)
            .order_by(GateRow.id.desc())
            .limit(1)
        )
        with self._store.read() as session:
            row = session.scalar(query)
            if row is not None:
                session.expunge(row)
            return row


def _cut(session: Session) -> None:
    """Leave out the items of those that are not among the newest any more (law 9)."""
    past = select(GateRow).order_by(GateRow.id.desc()).offset(WHOLE).limit(_CUT_AT_ONCE)
    for row in session.scalars(past).all():
        if row.report.get("items"):
            row.report = {**row.report, "items": []}
