"""What is done to exchanges inside one transaction."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from adapters.corpus import merging
from adapters.corpus.delivery import Afterwards
from adapters.corpus.erasing import erase, erased_at
from adapters.corpus.exchange import Exchange, ExchangeState
from adapters.corpus.folding import fold
from adapters.corpus.models import (
    EarlySignalRow,
    ExchangeRow,
    SightingRow,
    SubjectRow,
    tally_of,
)
from adapters.corpus.rows import rows_of, seen
from adapters.corpus.similar import Likeness
from adapters.corpus.tools import offered
from adapters.corpus.worth import PROTECTED, worth
from adapters.errors import AdapterError

Told = list[tuple[Exchange, tuple[str, ...]]]
"""Exchanges, each with the signals that came with it now."""
_SIGHTINGS_EACH: Final = 4
"""How many requests are remembered for each exchange that there is room for."""
_AT_ONCE: Final = 500
_EARLY: Final = 10_000
"""Signals that wait for their exchange."""


class CorpusFull(AdapterError):
    """No exchange is worth less than the new one."""

    code = "corpus-full"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept. What people work on is never removed for others."""

    exchanges: int = 200_000
    size: int = 2**31
    """Bytes of texts."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one exchange."""

    id: str | None
    """None: there was no room, or it is of a person who was erased."""
    is_new: bool


class Writing:
    """One transaction."""

    def __init__(self, session: Session, limits: Limits) -> None:
        self._session = session
        self._limits = limits
        self._tally = tally_of(session)
        self._told: list[tuple[ExchangeRow, tuple[str, ...]]] = []
        self._seqs: dict[str, int | None] = {}
        """Of the decisions that were looked up, their exchanges."""
        self._with_early: set[str] = set()
        self.evicted = 0

    @property
    def tally(self) -> tuple[int, int]:
        """How many there are now, and the bytes of their texts."""
        return self._tally.exchanges, self._tally.size

    def told(self) -> Told:
        """What came with signals, as it is now."""
        self._session.flush()
        there = [(row, names) for row, names in self._told if row in self._session]
        return [(seen(self._session, [row])[0], names) for row, names in there]

    def expect(self, decision_ids: Sequence[str]) -> None:
        """Look these up at once, before they are taken or told of one by one."""
        wanted = [each for each in dict.fromkeys(decision_ids) if each]
        self._seqs |= dict.fromkeys(wanted)
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            sightings = select(SightingRow.decision_id, SightingRow.exchange)
            found = self._session.execute(sightings.where(SightingRow.decision_id.in_(some)))
            for name, seq in found:
                self._seqs[name] = seq
            early = select(EarlySignalRow.decision_id).where(EarlySignalRow.decision_id.in_(some))
            self._with_early |= {*self._session.scalars(early)}

    def finish(self) -> None:
        """Forget the oldest of what is only remembered for a while."""
        self._session.flush()
        kept = _SIGHTINGS_EACH * self._limits.exchanges
        for number, most in ((SightingRow.number, kept), (EarlySignalRow.number, _EARLY)):
            newest = self._session.scalar(select(func.max(number))) or 0
            self._session.execute(delete(number.class_).where(number <= newest - most))

    def take(self, exchange: Exchange) -> Taken:
        """One exchange, or one more of an earlier one."""
        if self._is_erased(exchange.subjects, exchange.at):
            return Taken(None, is_new=False)
        known = self._sighted(exchange.decision_id)
        if known is not None:
            # It was delivered before. Whoever is to hear of it may not have.
            self._tells(known, exchange.signals)
            return Taken(known.id, is_new=False)
        early = self._early(exchange.decision_id)
        if early is not None:
            exchange = replace(
                exchange,
                signals=merging.signals(exchange.signals, early.names),
                details=merging.details(exchange.details, early.details),
            )
        tools = offered(exchange.details).tools
        key = fold(exchange.tenant, exchange.messages, trains=exchange.trains, tools=tools)
        row = self._session.scalar(select(ExchangeRow).where(ExchangeRow.fold == key))
        likeness = Likeness.of(exchange) if row is None else None
        if likeness is not None:
            row = likeness.find(self._session)
        is_new = row is None
        row = self._new(exchange, key) if row is None else self._again(row, exchange)
        if row is None:
            return Taken(None, is_new=False)
        if is_new and likeness is not None:
            likeness.keep(self._session, row)
        self._sight(exchange.decision_id, row)
        self._tells(row, exchange.signals)
        return Taken(row.id, is_new)

    def signal(self, signal: Afterwards) -> str | None:
        """More about an exchange; its id, or None when it has not come yet."""
        if self._is_erased(signal.subjects, signal.at):
            return None
        row = self._sighted(signal.decision_id)
        if row is None:
            self._keep_early(signal)
            return None
        row.signals = _json(merging.signals(json.loads(row.signals), signal.names))
        row.details = _json(merging.details(json.loads(row.details), signal.details))
        self._changed(row)
        self._tells(row, signal.names)
        return row.id

    def move(self, ids: Sequence[str], state: ExchangeState) -> list[str]:
        """Change the state of some; those of which it was another."""
        moved = [row for row in rows_of(self._session, ids) if row.state != state.value]
        for row in moved:
            row.state = state.value
            self._changed(row)
        return [row.id for row in moved]

    def assign(self, ids: Sequence[str], intent: str) -> int:
        """Change what some are about."""
        rows = rows_of(self._session, ids)
        for row in rows:
            row.intent = intent
            self._changed(row)
        return len(rows)

    def _new(self, exchange: Exchange, key: str) -> ExchangeRow | None:
        texts = _json([dict(each) for each in exchange.messages])
        row = ExchangeRow(
            id=exchange.id or f"exc_{secrets.token_hex(12)}",
            at=exchange.at,
            intent=_storable(exchange.intent),
            tenant=exchange.tenant,
            target=exchange.target,
            state=exchange.state.value,
            messages=texts,
            response=_storable(exchange.response),
            count=exchange.count,
            session=_storable(exchange.session),
            decision_id=exchange.decision_id,
            confidence=exchange.confidence,
            cost_usd=exchange.cost_usd,
            signals=_json(merging.signals((), exchange.signals)),
            details=_json(merging.details({}, exchange.details)),
            trains=exchange.trains,
            fold=key,
            size=0,
        )
        self._measure(row)
        if not self._make_room(row):
            return None
        self._tally.exchanges += 1
        self._tally.size += row.size
        row.changed = self._next()
        self._session.add(row)
        self._session.flush()
        self._of(row, exchange.subjects)
        return row

    def _again(self, row: ExchangeRow, exchange: Exchange) -> ExchangeRow:
        before = row.exchange(())
        row.count += exchange.count
        row.cost_usd += exchange.cost_usd
        row.signals = _json(merging.signals(before.signals, exchange.signals))
        if not before.response and exchange.response and before.state is ExchangeState.CAPTURED:
            # It was held back or withheld the first time: this is the answer that went out.
            row.response, row.target = _storable(exchange.response), exchange.target
            row.details = _json(merging.details(before.details, exchange.details))
        else:
            row.details = _json(merging.answers(before, exchange))
        told = [each for each in (row.confidence, exchange.confidence) if each is not None]
        row.confidence = min(told, default=None)
        self._changed(row)
        self._of(row, exchange.subjects)
        return row

    def _changed(self, row: ExchangeRow) -> None:
        before = row.size
        self._measure(row)
        self._tally.size += row.size - before
        row.changed = self._next()

    def _next(self) -> int:
        self._tally.changed += 1
        return self._tally.changed

    def _measure(self, row: ExchangeRow) -> None:
        texts = (row.messages, row.response, row.details)
        row.size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        row.worth = worth(ExchangeState(row.state), json.loads(row.signals), row.count)

    # Room

    def _make_room(self, row: ExchangeRow) -> bool:
        """Remove what is worth less, the oldest first; False when that is not enough."""
        exchanges, size = self._limits.exchanges - 1, self._limits.size - row.size
        while self._tally.exchanges > exchanges or self._tally.size > size:
            most = min(row.worth, PROTECTED - 1)
            least = (
                select(ExchangeRow.seq)
                .where(ExchangeRow.worth <= most)
                .order_by(ExchangeRow.worth, ExchangeRow.seq)
                .limit(max(1, self._tally.exchanges - exchanges))
            )
            found = [*self._session.scalars(least)]
            if not found:
                return False
            self.evicted += erase(self._session, found)
        return True

    # Who and which request

    def _of(self, row: ExchangeRow, subjects: Sequence[str]) -> None:
        for subject in dict.fromkeys(subjects):
            if self._session.get(SubjectRow, (subject, row.seq)) is None:
                self._session.add(SubjectRow(subject=subject, exchange=row.seq))

    def _is_erased(self, subjects: Sequence[str], at: float) -> bool:
        """Whether a person was erased since: what was under way then comes too late."""
        return any(at <= erased for erased in erased_at(self._session, subjects).values())

    def _sighted(self, decision_id: str) -> ExchangeRow | None:
        seq = self._seqs.get(decision_id)
        return None if seq is None else self._session.get(ExchangeRow, seq)

    def _sight(self, decision_id: str, row: ExchangeRow) -> None:
        if not decision_id:
            return
        self._session.add(SightingRow(decision_id=decision_id, exchange=row.seq))
        self._seqs[decision_id] = row.seq

    def _early(self, decision_id: str) -> Afterwards | None:
        """What was said of a request before its exchange came."""
        if decision_id not in self._with_early:
            return None
        self._with_early.discard(decision_id)
        of = EarlySignalRow.decision_id == decision_id
        rows = [
            *self._session.scalars(select(EarlySignalRow).where(of).order_by(EarlySignalRow.number))
        ]
        if not rows:
            return None
        names: tuple[str, ...] = ()
        details: dict[str, Any] = {}
        for row in rows:
            names = merging.signals(names, json.loads(row.names))
            details = merging.details(details, json.loads(row.details))
            self._session.delete(row)
        return Afterwards(decision_id, names, details)

    def _keep_early(self, signal: Afterwards) -> None:
        if not signal.decision_id:
            return
        row = EarlySignalRow(
            decision_id=signal.decision_id,
            names=_json(signal.names),
            details=_json(merging.details({}, signal.details)),
            subjects=_json(signal.subjects),
        )
        self._session.add(row)
        self._with_early.add(signal.decision_id)

    def _tells(self, row: ExchangeRow, names: Sequence[str]) -> None:
        if names:
            self._told.append((row, tuple(names)))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _storable(text: str) -> str:
    """PostgreSQL takes no NUL; in JSON it is written out."""
    return text.replace("\0", "\ufffd")
