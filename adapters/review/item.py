"""One item of the queue, as it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from adapters.corpus.exchange import Exchange, ExchangeState
from adapters.review.gold import Provenance
from adapters.review.verdicts import Outcome, Verdict


class Kind(StrEnum):
    """What a review is for."""

    EXCHANGE = "exchange"
    """The one whose verdicts decide on an exchange: it makes gold."""
    DEMANDED = "demanded"
    """A rule wants a person to look. Nothing is learnt from it."""
    CHECK = "check"
    """Measures reviewers: what is right is known. Nothing is learnt from it."""


class State(StrEnum):
    """Where an item is."""

    OPEN = "open"
    CLAIMED = "claimed"
    DONE = "done"


RETIRED: Final = "retired"
"""In the database, of a check that measures nobody any more; no list shows it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer that reviewers may accept, and who gave it: a target or ``demonstration``."""

    source: str
    answer: str
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Demanded:
    """A review that rules want of one request."""

    id: str
    """As the client was told."""
    decision_id: str
    rules: tuple[str, ...]
    when: str
    """``before`` any answer, or ``after`` it was delivered."""
    tenant: str
    intent: str


@dataclass(frozen=True, slots=True)
class Said:
    """A verdict that somebody gave, also one that was taken back."""

    reviewer: str
    verdict: Verdict | None
    """None: it is not for this reader's eyes yet."""
    answer: str
    source: str
    comment: str
    at: float
    undone_at: float | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """Everything about one item."""

    id: str
    kind: Kind
    state: State
    exchange_id: str | None
    decision_id: str
    intent: str
    tenant: str
    tier: int
    weight: float
    why: tuple[str, ...]
    """Signals and rules that put it into the queue."""
    opened_at: float
    settled_at: float | None
    outcome: Outcome | None
    answer: str | None
    provenance: Provenance | None
    source: str
    disputed: bool
    escalated: bool
    verdicts: int
    needed: int
    """Verdicts that settle it."""
    claimed_by: str | None
    claimed_until: float
    exchange: Exchange | None = None
    candidates: tuple[Candidate, ...] = ()
    history: tuple[Said, ...] = ()
    known: Mapping[str, Any] | None = None

    def own(self, reviewer: str) -> Said | None:
        """What this reviewer said, where it stands."""
        return next(
            (e for e in self.history if e.reviewer == reviewer and e.undone_at is None), None
        )

    def seen_by(self, reader: str) -> Review:
        """As it may be shown: nobody is led by what others said before he judged himself."""
        seen = self if self.kind is not Kind.CHECK else self._as_any_other(reader)
        judging = seen.own(reader) is None and not (seen.disputed or seen.escalated)
        awaited = seen.state is State.OPEN or (
            seen.state is State.CLAIMED and (seen.claimed_by == reader or seen.outcome is None)
        )
        if not (judging and awaited):
            return seen
        return replace(
            seen,
            outcome=None,
            answer=None,
            provenance=None,
            source="",
            history=tuple(_closed(each, reader) for each in seen.history),
        )

    def _as_any_other(self, reader: str) -> Review:
        own = self.own(reader)
        history = tuple(each for each in self.history if each.reviewer == reader)
        exchange = self.exchange and replace(self.exchange, state=ExchangeState.IN_REVIEW)
        seen = replace(self, history=history, exchange=exchange, verdicts=0 if own is None else 1)
        if own is None:
            return seen
        return replace(seen, state=State.DONE, settled_at=own.at, answer=own.answer or None)


def _closed(said: Said, reader: str) -> Said:
    if said.reviewer == reader or said.verdict is Verdict.ESCALATE:
        return said
    return replace(said, verdict=None, answer="", source="", comment="")
