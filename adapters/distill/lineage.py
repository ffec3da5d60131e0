"""What each version was made of: written when it is packaged, kept without personal data."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.dataset.frozen import Row
from adapters.distill.distillations import Distillation
from adapters.distill.models import LineageRow
from adapters.flywheel.database import FlywheelStore

_MAX_PARENTS: Final = 100


@dataclass(frozen=True, slots=True)
class Origin:
    """One version's. ``at``: seconds since the epoch."""

    alias: str
    digest: str
    distillation: str
    intent: str
    base: str
    dataset: str
    settings: Mapping[str, Any]
    splits: Mapping[str, int]
    reviewers: Mapping[str, int]
    """Rows by reviewer's name."""
    teachers: Mapping[str, int]
    """Rows by the target whose answers were judged."""
    parents: tuple[str, ...]
    """Digests of the alias's versions that it succeeds, the nearest first."""
    at: float

    @property
    def teacher(self) -> str | None:
        """Whose answers most rows come from."""
        return max(self.teachers, key=lambda name: self.teachers[name], default=None)


class Lineage:
    """Every version's origin. Methods block."""

    def __init__(self, store: FlywheelStore, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def put(
        self,
        made: Distillation,
        digest: str,
        *,
        base: str,
        rows: Sequence[Row],
        settings: Mapping[str, Any],
        parent: str | None,
    ) -> None:
        """Write down a version's origin; the same again changes nothing."""

        def work(session: Session) -> None:
            if session.get(LineageRow, (made.alias, digest)) is not None:
                return
            session.add(
                LineageRow(
                    alias=made.alias,
                    digest=digest,
                    distillation=made.id,
                    intent=made.intent,
                    base=base,
                    dataset=made.dataset,
                    settings=dict(settings),
                    splits=dict(Counter(row.split for row in rows)),
                    reviewers=dict(Counter(name for row in rows for name in row.reviewers)),
                    teachers=dict(Counter(row.teacher for row in rows if row.teacher)),
                    parents=_ancestors(session, made.alias, parent),
                    at=self._clock(),
                )
            )

        self._store.write(work)

    def of(self, alias: str, digest: str) -> Origin | None:
        """One version's; None when it was not distilled here."""
        with self._store.read() as session:
            row = session.get(LineageRow, (alias, digest))
            return None if row is None else _origin(row)

    def trained_on(self, datasets: Iterable[str]) -> list[Origin]:
        """Versions that were trained on one of these datasets."""
        query = select(LineageRow).where(LineageRow.dataset.in_(list(datasets)))
        with self._store.read() as session:
            return [_origin(row) for row in session.scalars(query)]


def _ancestors(session: Session, alias: str, parent: str | None) -> list[str]:
    if parent is None:
        return []
    row = session.get(LineageRow, (alias, parent))
    before = [] if row is None else row.parents
    return [parent, *before][:_MAX_PARENTS]


def _origin(row: LineageRow) -> Origin:
    return Origin(
        alias=row.alias,
        digest=row.digest,
        distillation=row.distillation,
        intent=row.intent,
        base=row.base,
        dataset=row.dataset,
        settings=row.settings,
        splits=row.splits,
        reviewers=row.reviewers,
        teachers=row.teachers,
        parents=tuple(row.parents),
        at=row.at,
    )
