"""What the database knows of datasets: each function is part of one transaction."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from adapters.corpus.erasing import erased_at
from adapters.dataset.frozen import Dataset, Row
from adapters.dataset.models import DatasetRow, DatasetSubjectRow, HeldOutRow

_CHUNK = 500
"""Names in one condition: databases take so many parameters and no more."""
_NAMES = 50


@dataclass(frozen=True, slots=True)
class Held:
    """Where a row that is held out for ever is."""

    intent: str
    exchange_id: str
    row: str
    dataset: str


def record(session: Session, dataset: Dataset, files: dict[str, str]) -> Dataset:
    """Put a dataset on record; one that is there has one name more."""
    found = session.get(DatasetRow, dataset.digest)
    if found is None:
        found = DatasetRow(
            digest=dataset.digest,
            names=list(dataset.names),
            created_at=dataset.created_at,
            counts=dict(dataset.counts),
            splits=dict(dataset.splits),
            about=dict(dataset.about),
            files=files,
            erased=False,
            rebuilt_as=None,
            rebuilt_from=dataset.rebuilt_from,
        )
        session.add(found)
    elif found.erased:
        found.erased, found.rebuilt_as = False, None
        found.names, found.about, found.files = list(dataset.names), dict(dataset.about), files
        found.created_at = dataset.created_at
    else:
        kept = [name for name in found.names if name not in dataset.names]
        found.names = [*kept, *dataset.names][-_NAMES:]
        if found.about.get("origin") == dataset.about.get("origin"):
            # What was asked for, and what was left out, is another matter each time.
            newest = {name: dataset.about[name] for name in ("selection", "warnings")}
            found.about = {**found.about, **newest}
    session.flush()
    return found.shown()


def add_subjects(session: Session, digest: str, rows: Iterable[Row]) -> None:
    """Whose data is in it, those of an earlier freezing of the same rows included."""
    wanted = {(subject, row.digest) for row in rows for subject in row.subjects}
    query = select(DatasetSubjectRow.subject, DatasetSubjectRow.row)
    there = {
        (subject, row)
        for subject, row in session.execute(query.where(DatasetSubjectRow.dataset == digest))
    }
    session.add_all(
        DatasetSubjectRow(subject=subject, dataset=digest, row=row)
        for subject, row in sorted(wanted - there)
    )


def with_persons(session: Session, rows: Sequence[Row]) -> list[Row]:
    """The rows with all persons who are known to be in such rows, of any dataset."""
    known = _subjects_of(session, sorted({row.digest for row in rows}))
    return [
        replace(row, subjects=tuple(sorted({*row.subjects, *known.get(row.digest, ())})))
        for row in rows
    ]


def in_time(session: Session, rows: Sequence[Row], late: Callable[[int], object]) -> list[Row]:
    """The rows without those of persons who were erased after a row's time; ``late`` is told the
    place of each of these.
    """
    erased = erased_at(session, {name for row in rows for name in row.subjects})
    kept = []
    for place, row in enumerate(rows):
        if any(row.at <= erased[name] for name in row.subjects if name in erased):
            late(place)
        else:
            kept.append(row)
    return kept


def _subjects_of(session: Session, digests: Sequence[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for begin in range(0, len(digests), _CHUNK):
        query = select(DatasetSubjectRow.row, DatasetSubjectRow.subject).where(
            DatasetSubjectRow.row.in_(digests[begin : begin + _CHUNK])
        )
        for row, subject in session.execute(query):
            found[row].add(subject)
    return found


def rows_with(session: Session, subjects: Iterable[str]) -> dict[str, set[str]]:
    """By dataset, the rows that carry data of one of these persons."""
    found: dict[str, set[str]] = defaultdict(set)
    for subject in subjects:
        query = select(DatasetSubjectRow.dataset, DatasetSubjectRow.row)
        for dataset, row in session.execute(query.where(DatasetSubjectRow.subject == subject)):
            found[dataset].add(row)
    return found


def held(session: Session, intent: str | None = None) -> list[Held]:
    """What is held out, of one intent or all."""
    query = select(HeldOutRow)
    if intent is not None:
        query = query.where(HeldOutRow.intent == intent)
    return [
        Held(row.intent, row.exchange_id, row.row, row.dataset) for row in session.scalars(query)
    ]


def wanted_of(rows: Iterable[Row], wanted: set[tuple[str, str, str]]) -> list[Row]:
    """The rows whose intent, exchange and digest are wanted, each once."""
    found = {(row.intent, row.exchange_id, row.digest): row for row in rows}
    return [row for key, row in found.items() if key in wanted]


def hold_out(session: Session, digest: str, rows: Iterable[Row], *, replaces: bool) -> None:
    """Hold rows out for ever; ``replaces``: an exchange's newer answer takes the older's place."""
    for row in rows:
        there = session.get(HeldOutRow, (row.intent, row.exchange_id))
        if there is None:
            session.add(
                HeldOutRow(
                    intent=row.intent,
                    exchange_id=row.exchange_id,
                    row=row.digest,
                    dataset=digest,
                    since=time.time(),
                )
            )
            session.flush()
        elif replaces and there.row != row.digest:
            there.row, there.dataset = row.digest, digest


def erase(session: Session, digest: str, gone: set[str], rebuilt: str | None) -> None:
    """Mark a dataset as erased, and let go of what was held out of the rows that are gone."""
    for there in session.scalars(select(HeldOutRow).where(HeldOutRow.dataset == digest)):
        if there.row in gone or rebuilt is None:
            session.delete(there)
        else:
            there.dataset = rebuilt
    session.execute(delete(DatasetSubjectRow).where(DatasetSubjectRow.dataset == digest))
    found = session.get_one(DatasetRow, digest)
    found.erased, found.rebuilt_as, found.about, found.files = True, rebuilt, {}, {}
    session.execute(
        update(DatasetRow).where(DatasetRow.rebuilt_as == digest).values(rebuilt_as=rebuilt)
    )


def forget_erased(session: Session, keep: int) -> None:
    """Know only the newest ``keep`` of those that were erased."""
    newest = (
        select(DatasetRow.digest)
        .where(DatasetRow.erased.is_(True))
        .order_by(DatasetRow.created_at.desc(), DatasetRow.digest)
    )
    for digest in session.scalars(newest.offset(keep)).all():
        session.delete(session.get_one(DatasetRow, digest))


def count(session: Session, *, erased: bool = False) -> int:
    """How many are not erased, or are."""
    query = select(func.count()).select_from(DatasetRow).where(DatasetRow.erased.is_(erased))
    return session.scalar(query) or 0
