"""How reviewers do: how far they agree, and how often each is right where that is known."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import func, select

from adapters.flywheel.database import FlywheelStore
from adapters.review.agreement import Agreement, agreement
from adapters.review.item import Kind
from adapters.review.models import ReviewRow, VerdictRow
from adapters.review.rows import storable
from adapters.review.verdicts import Judgement, Verdict

_STANDS = VerdictRow.undone_at.is_(None)


@dataclass(frozen=True, slots=True)
class Reviewer:
    """One reviewer's work."""

    name: str
    verdicts: int
    """That stand, on anything but what measured him."""
    accepted: int
    edited: int
    rejected: int
    escalated: int
    measured: int
    """Items with a known answer that he judged."""
    accuracy: float | None
    """Share of those that he judged right; None without any."""
    last: float
    """When he last judged anything."""


class Measuring:
    """Methods block and are thread-safe."""

    def __init__(self, store: FlywheelStore) -> None:
        self._store = store

    def agreement(self, intent: str | None = None) -> Agreement:
        """Over the answers that verdicts settle on: a text, or none where it was rejected.

        Who escalates says nothing, and what measures reviewers does not count.
        """
        query = (
            select(
                VerdictRow.review_id,
                VerdictRow.reviewer,
                VerdictRow.verdict,
                VerdictRow.answer,
            )
            .join(ReviewRow, ReviewRow.id == VerdictRow.review_id)
            .where(_STANDS, ReviewRow.kind != Kind.CHECK.value, ReviewRow.verdicts > 1)
        )
        if intent is not None:
            query = query.where(ReviewRow.intent == storable(intent))
        units: dict[str, dict[str, str]] = {}
        with self._store.read() as session:
            for review, reviewer, verdict, answer in session.execute(query):
                value = Judgement(reviewer, Verdict(verdict), answer, 0.0).value
                if value is not None:
                    units.setdefault(review, {})[reviewer] = value
        return agreement(units.values())

    def reviewers(self) -> list[Reviewer]:
        """Everybody who ever judged anything, by name."""
        query = (
            select(
                VerdictRow.reviewer,
                VerdictRow.verdict,
                ReviewRow.kind,
                VerdictRow.right,
                func.count(),
                func.max(VerdictRow.at),
            )
            .join(ReviewRow, ReviewRow.id == VerdictRow.review_id)
            .where(_STANDS)
            .group_by(VerdictRow.reviewer, VerdictRow.verdict, ReviewRow.kind, VerdictRow.right)
        )
        tallies: dict[str, _Tally] = {}
        with self._store.read() as session:
            for name, verdict, kind, right, count, last in session.execute(query):
                tally = tallies.setdefault(name, _Tally())
                tally.last = max(tally.last, last)
                if kind != Kind.CHECK:
                    tally.verdicts[verdict] += count
                elif right is not None:
                    tally.measured += count
                    tally.right += count if right else 0
        return [_reviewer(name, tallies[name]) for name in sorted(tallies)]


@dataclass
class _Tally:
    verdicts: Counter[str] = field(default_factory=Counter)
    measured: int = 0
    right: int = 0
    last: float = 0.0


def _reviewer(name: str, tally: _Tally) -> Reviewer:
    return Reviewer(
        name,
        tally.verdicts.total(),
        tally.verdicts[Verdict.ACCEPT],
        tally.verdicts[Verdict.EDIT],
        tally.verdicts[Verdict.REJECT],
        tally.verdicts[Verdict.ESCALATE],
        tally.measured,
        tally.right / tally.measured if tally.measured else None,
        tally.last,
    )
