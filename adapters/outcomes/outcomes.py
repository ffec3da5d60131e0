"""All imported outcomes: the newest judgement counts, and there is room for so many."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.orm import Session

from adapters.flywheel.database import FlywheelStore
from adapters.outcomes.models import LearnedRow, OutcomeRow

ANY: Final = "*"
"""The intent of an outcome that names none."""
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Outcome:
    """One judged answer, as it may be kept.

    Attributes:
        text: head and tail of what was asked.
        target: ``base``, ``adapter:<alias>[@<digest12>]`` or ``frontier:<provider>/<model>``.
        good: 0 to 1.
        traits: what is known of the whole text beside its meaning.
        subject: keyed hash of the person whose it is.
        vector: what it means, as halves; None: not known.
    """

    text: str
    target: str
    good: float
    intent: str
    traits: tuple[float, ...]
    subject: str | None = None
    vector: bytes | None = None

    @property
    def key(self) -> str:
        """Equal for judgements of the same."""
        whole = json.dumps([self.text, self.traits, self.target, self.intent])
        return hashlib.sha256(whole.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Counted:
    """The imported outcomes of one target."""

    target: str
    judged: int
    good: float


@dataclass(frozen=True, slots=True)
class Learned:
    """What was fitted last."""

    digest: str
    document: bytes
    told: Sequence[dict[str, Any]]
    at: float


class Outcomes:
    """Methods block and are thread-safe; each that writes is one transaction.

    Args:
        store: the loop's database.
        max_rows: how many are kept; the oldest go.
        clock: seconds since the epoch.

    Attributes:
        kept: how many there were at the last change here.
    """

    def __init__(
        self, store: FlywheelStore, max_rows: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._max_rows = max_rows
        self._clock = clock
        self.kept = self._count()

    # Writing

    def put(self, outcomes: Sequence[Outcome]) -> int:
        """Keep these; how many of them replaced a judgement that was there."""
        newest = {each.key: each for each in outcomes}

        def work(session: Session) -> int:
            replaced = len(outcomes) - len(newest)
            keys, now = [*newest], self._clock()
            for start in range(0, len(keys), _AT_ONCE):
                these = OutcomeRow.key.in_(keys[start : start + _AT_ONCE])
                replaced += session.execute(
                    select(func.count()).select_from(OutcomeRow).where(these)
                ).scalar_one()
                session.execute(delete(OutcomeRow).where(these))
            session.add_all(_row(key, each, now) for key, each in newest.items())
            session.flush()
            self._trim(session)
            return replaced

        replaced = self._store.write(work)
        self.kept = self._count()
        return replaced

    def _trim(self, session: Session) -> None:
        numbers = select(OutcomeRow.number).order_by(OutcomeRow.number.desc())
        oldest = session.scalar(numbers.offset(self._max_rows).limit(1))
        if oldest is not None:
            session.execute(delete(OutcomeRow).where(OutcomeRow.number <= oldest))

    def clear(self, target: str | None = None) -> int:
        """Remove all of them, or a target's; how many there were."""
        return self._remove([] if target is None else [OutcomeRow.target == target])

    def forget(self, subject: str, hashed: str) -> int:
        """Remove what carries a person's data; how many there were."""
        return self._remove([_of_person(subject, hashed)])

    def _remove(self, these: Sequence[ColumnElement[bool]]) -> int:
        def work(session: Session) -> int:
            query = select(func.count()).select_from(OutcomeRow).where(*these)
            gone = session.execute(query).scalar_one()
            session.execute(delete(OutcomeRow).where(*these))
            return gone

        gone = self._store.write(work)
        self.kept = self._count()
        return gone

    def read_by(self, encoder: str, vectors: Iterable[tuple[int, bytes | None]]) -> None:
        """Keep what an encoder made of texts, by number, so that it reads each once."""
        found = [*vectors]

        def work(session: Session) -> None:
            for number, vector in found:
                session.execute(
                    update(OutcomeRow)
                    .where(OutcomeRow.number == number)
                    .values(encoder=encoder, vector=vector)
                )

        self._store.write(work)

    def learn(self, learned: Learned | None) -> None:
        """Keep what was fitted in place of what was before; None: nothing."""

        def work(session: Session) -> None:
            session.execute(delete(LearnedRow))
            if learned is not None:
                session.add(
                    LearnedRow(
                        id=1,
                        digest=learned.digest,
                        document=learned.document,
                        told=list(learned.told),
                        at=learned.at,
                    )
                )

        self._store.write(work)

    # Reading

    def learned(self) -> Learned | None:
        """What was fitted last."""
        with self._store.read() as session:
            row = session.get(LearnedRow, 1)
            if row is None:
                return None
            return Learned(row.digest, row.document, row.told, row.at)

    def counted(self) -> list[Counted]:
        """By target, in the order of their names."""
        query = (
            select(OutcomeRow.target, func.count(), func.sum(OutcomeRow.good))
            .group_by(OutcomeRow.target)
            .order_by(OutcomeRow.target)
        )
        with self._store.read() as session:
            return [Counted(*row) for row in session.execute(query)]

    def unread(self, encoder: str, limit: int) -> list[tuple[int, str]]:
        """Numbers and texts of some that the encoder has not read."""
        query = (
            select(OutcomeRow.number, OutcomeRow.text)
            .where(OutcomeRow.encoder != encoder)
            .order_by(OutcomeRow.number)
            .limit(limit)
        )
        with self._store.read() as session:
            return [(number, text) for number, text in session.execute(query)]

    def all(self, encoder: str | None = None) -> Iterator[Outcome]:
        """Every one, or those that an encoder has read: oldest first, a part at a time."""
        after = 0
        while True:
            query = select(OutcomeRow).where(OutcomeRow.number > after).order_by(OutcomeRow.number)
            if encoder is not None:
                query = query.where(OutcomeRow.encoder == encoder)
            with self._store.read() as session:
                found = session.scalars(query.limit(_AT_ONCE)).all()
                made = [(row.number, _outcome(row)) for row in found]
            if not made:
                return
            after = made[-1][0]
            yield from (each for _, each in made)

    def of_person(self, subject: str, hashed: str) -> int:
        """How many carry a person's data."""
        query = select(func.count()).select_from(OutcomeRow).where(_of_person(subject, hashed))
        with self._store.read() as session:
            return session.execute(query).scalar_one()

    def _count(self) -> int:
        with self._store.read() as session:
            return session.execute(select(func.count()).select_from(OutcomeRow)).scalar_one()


def _of_person(subject: str, hashed: str) -> ColumnElement[bool]:
    named = OutcomeRow.text.icontains(subject, autoescape=True)
    return or_(OutcomeRow.subject == hashed, named)


def _row(key: str, outcome: Outcome, now: float) -> OutcomeRow:
    return OutcomeRow(
        key=key,
        target=outcome.target,
        intent=outcome.intent,
        good=outcome.good,
        at=now,
        text=outcome.text,
        traits=list(outcome.traits),
        subject=outcome.subject,
        encoder="",
        vector=None,
    )


def _outcome(row: OutcomeRow) -> Outcome:
    return Outcome(
        row.text, row.target, row.good, row.intent, tuple(row.traits), row.subject, row.vector
    )
