"""Reviews in one transaction: found, read, settled anew. Everything that writes goes through it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, not_, select
from sqlalchemy.orm import Session

from adapters.corpus.exchange import Exchange, ExchangeState
from adapters.corpus.exchanges import Exchanges
from adapters.review.errors import TooMany, UnknownReview
from adapters.review.item import RETIRED, Candidate, Demanded, Kind, Review, Said, State
from adapters.review.models import CandidateRow, ReviewRow, SubjectOfReview, VerdictRow
from adapters.review.priority import Tier, tier_of, weight_of
from adapters.review.verdicts import Judgement, Outcome, Standing, Verdict, standing

MAX_CANDIDATES: Final = 16
BEFORE: Final = "before"
_CHUNK: Final = 500
MAX_VERDICTS: Final = 64
"""Of one item, those that were taken back included."""


def storable(text: str) -> str:
    """As every database takes it: PostgreSQL takes no NUL."""
    return text.replace("\0", "\ufffd")


def name_of(exchange_id: str) -> str:
    """The id of the review that decides on an exchange: opening it twice opens one."""
    return "rev_" + hashlib.sha256(exchange_id.encode()).hexdigest()[:24]


def is_claimed(now: float) -> ColumnElement[bool]:
    """Whether somebody holds it at this moment."""
    return and_(ReviewRow.claimed_by.is_not(None), ReviewRow.claimed_until > now)


def in_state(state: State, now: float) -> ColumnElement[bool]:
    """Whether it is there at this moment."""
    if state is State.CLAIMED:
        return and_(is_claimed(now), ReviewRow.state != RETIRED)
    return and_(ReviewRow.state == state.value, not_(is_claimed(now)))


def row_of(session: Session, identity: str) -> ReviewRow:
    """One row. Raises ``UnknownReview``."""
    row = session.get(ReviewRow, storable(identity))
    if row is None:
        raise UnknownReview(f"there is no review {identity[:80]!r}")
    return row


def new_row(identity: str, kind: Kind, at: float, **told: Any) -> ReviewRow:
    """An open item that nobody has looked at."""
    fields: dict[str, Any] = {
        "exchange_id": None,
        "decision_id": "",
        "intent": "",
        "tenant": "",
        "tier": Tier.USUAL,
        "weight": 0.0,
        "why": [],
        "settled_at": None,
        "outcome": None,
        "answer": None,
        "provenance": None,
        "source": "",
        "disputed": False,
        "escalated": False,
        "verdicts": 0,
        "claimed_by": None,
        "claimed_until": 0.0,
        "known": None,
    }
    told = {"state": State.OPEN.value, "opened_at": at, **fields, **told}
    return ReviewRow(id=identity, kind=kind.value, **told)


def demand(session: Session, demanded: Demanded, now: float) -> ReviewRow | None:
    """The item that rules want; None when it is there already."""
    if session.get(ReviewRow, demanded.id) is not None:
        return None
    row = new_row(
        demanded.id,
        Kind.DEMANDED,
        now,
        decision_id=demanded.decision_id,
        intent=demanded.intent,
        tenant=demanded.tenant,
        tier=Tier.AWAITED if demanded.when == BEFORE else Tier.DEMANDED,
        why=[f"rule:{each}" for each in demanded.rules],
    )
    session.add(row)
    session.flush()
    return row


def attach(session: Session, row: ReviewRow, exchange: Exchange) -> None:
    """Give an item its exchange, on which it decides if nothing else does and it may."""
    deciding = select(ReviewRow.id).where(
        ReviewRow.exchange_id == exchange.id, ReviewRow.kind == Kind.EXCHANGE.value
    )
    if exchange.trains and session.scalar(deciding) is None:
        row.kind = Kind.EXCHANGE.value
    about(session, row, exchange)


def about(session: Session, row: ReviewRow, exchange: Exchange) -> None:
    """Fill in what is known of the exchange."""
    _told(row, exchange)
    session.flush()
    there = set(
        session.scalars(
            select(SubjectOfReview.subject).where(SubjectOfReview.review_id == row.id)
        ).all()
    )
    for subject in set(exchange.subjects) - there:
        session.add(SubjectOfReview(subject=subject, review_id=row.id))


def opened(session: Session, exchange: Exchange, now: float) -> ReviewRow:
    """A new item that decides on an exchange."""
    row = new_row(name_of(exchange.id), Kind.EXCHANGE, now)
    _told(row, exchange)
    session.add(row)
    if exchange.subjects:
        session.flush()  # no relationship tells the order in which these have to be written
    for subject in dict.fromkeys(exchange.subjects):
        session.add(SubjectOfReview(subject=subject, review_id=row.id))
    return row


def _told(row: ReviewRow, exchange: Exchange) -> None:
    row.exchange_id = exchange.id
    row.decision_id = row.decision_id or exchange.decision_id
    row.intent, row.tenant = exchange.intent, exchange.tenant
    row.weight = weight_of(exchange)
    row.tier = max(row.tier, tier_of(exchange))
    row.why = list(dict.fromkeys([*row.why, *exchange.signals]))


def add_candidates(
    session: Session, row: ReviewRow, candidates: Iterable[Candidate], at: float
) -> None:
    """More answers, each once; the newest are not taken when there are too many."""
    there = {(each.source, each.answer) for each in candidates_of(session, row.id)}
    for each in candidates:
        if len(there) >= MAX_CANDIDATES or (each.source, each.answer) in there:
            continue
        there.add((each.source, each.answer))
        session.add(
            CandidateRow(
                review_id=row.id,
                source=storable(each.source),
                answer=storable(each.answer),
                at=each.at or at,
            )
        )


def candidates_of(session: Session, identity: str) -> list[Candidate]:
    """Other answers, oldest first."""
    rows = session.scalars(
        select(CandidateRow).where(CandidateRow.review_id == identity).order_by(CandidateRow.number)
    )
    return [Candidate(row.source, row.answer, row.at) for row in rows]


def verdicts_of(session: Session, identity: str) -> Sequence[VerdictRow]:
    """All that was ever said, oldest first."""
    return session.scalars(
        select(VerdictRow).where(VerdictRow.review_id == identity).order_by(VerdictRow.number)
    ).all()


def verdicts_by_review(session: Session, ids: Sequence[str]) -> dict[str, list[VerdictRow]]:
    """The same of many."""
    found: dict[str, list[VerdictRow]] = {}
    for start in range(0, len(ids), _CHUNK):
        some = VerdictRow.review_id.in_(ids[start : start + _CHUNK])
        for row in session.scalars(select(VerdictRow).where(some).order_by(VerdictRow.number)):
            found.setdefault(row.review_id, []).append(row)
    return found


def judgements(verdicts: Iterable[VerdictRow]) -> list[Judgement]:
    """Those that stand."""
    return [
        Judgement(row.reviewer, Verdict(row.verdict), row.answer, row.at, row.source)
        for row in verdicts
        if row.undone_at is None
    ]


def add_verdict(session: Session, row: ReviewRow, verdict: VerdictRow) -> None:
    """Put a verdict down, instead of the oldest that was taken back where there are many.

    Raises ``TooMany`` when all of them stand.
    """
    said = verdicts_of(session, row.id)
    if len(said) >= MAX_VERDICTS:
        # Who judges and undoes all day must not close an item to everybody else.
        oldest = next((each for each in said if each.undone_at is not None), None)
        if oldest is None:
            raise TooMany(f"{row.id} has {MAX_VERDICTS} verdicts, which is the most")
        session.delete(oldest)
    session.add(verdict)
    session.flush()


def settle(session: Session, row: ReviewRow, per_item: int, now: float) -> None:
    """What the verdicts that stand come to."""
    session.flush()
    if row.kind == Kind.CHECK:
        return
    given = judgements(verdicts_of(session, row.id))
    comes_to = standing(given, per_item)
    was = row.outcome, row.answer
    row.outcome = None if comes_to.outcome is None else comes_to.outcome.value
    row.answer = comes_to.answer or None
    row.provenance, row.source = comes_to.provenance, comes_to.source
    row.disputed, row.escalated = comes_to.disputed, comes_to.escalated
    row.verdicts = sum(each.value is not None for each in given)
    done = comes_to.outcome is not None
    row.state = State.DONE.value if done else State.OPEN.value
    if not done:
        row.settled_at = None
    elif row.settled_at is None or was != (row.outcome, row.answer):
        row.settled_at = now
    row.tier = _tier(row, comes_to)


def free(row: ReviewRow) -> None:
    """Nobody holds it any more."""
    row.claimed_by, row.claimed_until = None, 0.0


def end_unanswered(row: ReviewRow, now: float) -> None:
    """Close what was escalated to nobody; who judges it later settles it all the same."""
    row.state, row.outcome, row.settled_at = State.DONE.value, Outcome.UNANSWERED.value, now
    row.escalated = False
    row.tier = Tier.USUAL if row.tier == Tier.ESCALATED else row.tier


def _tier(row: ReviewRow, comes_to: Standing) -> int:
    raised = comes_to.escalated or comes_to.disputed
    if raised:
        return max(row.tier, Tier.ESCALATED)
    return Tier.USUAL if row.tier == Tier.ESCALATED else row.tier


def place(session: Session, corpus: Exchanges, row: ReviewRow, now: float) -> None:
    """Move an exchange to where the review that decides on it has it."""
    if row.kind == Kind.EXCHANGE and row.exchange_id is not None:
        corpus.place(session, [row.exchange_id], _state_of_exchange(session, row, now))


def _state_of_exchange(session: Session, row: ReviewRow, now: float) -> ExchangeState:
    """In review from the first claim or verdict on."""
    if row.outcome == Outcome.GOLD:
        return ExchangeState.GOLD
    if row.outcome in {Outcome.REJECTED, Outcome.UNANSWERED}:
        return ExchangeState.REJECTED
    held = row.claimed_by is not None and row.claimed_until > now
    judged = any(each.undone_at is None for each in verdicts_of(session, row.id))
    return ExchangeState.IN_REVIEW if held or judged else ExchangeState.CAPTURED


def review_of(
    row: ReviewRow,
    per_item: int,
    now: float,
    *,
    exchange: Exchange | None = None,
    candidates: Sequence[Candidate] = (),
    verdicts: Sequence[VerdictRow] = (),
) -> Review:
    """The item as it is read."""
    held = row.claimed_by is not None and row.claimed_until > now
    state = State.DONE if row.state == RETIRED else State(row.state)
    return Review(
        id=row.id,
        kind=Kind(row.kind),
        state=State.CLAIMED if held else state,
        exchange_id=row.exchange_id,
        decision_id=row.decision_id,
        intent=row.intent,
        tenant=row.tenant,
        tier=row.tier,
        weight=row.weight,
        why=tuple(row.why),
        opened_at=row.opened_at,
        settled_at=row.settled_at,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        answer=row.answer,
        provenance=row.provenance,  # type: ignore[arg-type]  # only we write it
        source=row.source,
        disputed=row.disputed,
        escalated=row.escalated,
        verdicts=row.verdicts,
        needed=per_item,
        claimed_by=row.claimed_by if held else None,
        claimed_until=row.claimed_until if held else 0.0,
        exchange=exchange,
        candidates=tuple(candidates),
        history=tuple(_said(each) for each in verdicts),
        known=row.known,
    )


def _said(row: VerdictRow) -> Said:
    return Said(
        row.reviewer,
        Verdict(row.verdict),
        row.answer,
        row.source,
        row.comment,
        row.at,
        row.undone_at,
    )
