"""All captured exchanges: duplicates are one, and there is room for so many.

Whoever reads follows ``since``; whoever wants to be told at once is named to ``hear``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from adapters.corpus.delivery import Afterwards
from adapters.corpus.erasing import erase_subject, find_seqs
from adapters.corpus.exchange import Exchange, ExchangeState
from adapters.corpus.models import ExchangeRow, SightingRow, SubjectRow, TallyRow
from adapters.corpus.rows import rows_of, seen
from adapters.corpus.writing import CorpusFull, Limits, Taken, Told, Writing
from adapters.flywheel.database import FlywheelStore

__all__ = ["CorpusFull", "Exchanges", "Found", "Limits", "Taken"]

_LIMITS = Limits()
_AT_ONCE = 500
OnChange = Callable[[str, ExchangeState], object]
OnSignals = Callable[[Exchange, tuple[str, ...]], object]


@dataclass(frozen=True, slots=True)
class Found:
    """Some exchanges. ``after`` goes on behind them; None: there are no more."""

    exchanges: list[Exchange]
    after: int | None


class Exchanges:
    """Methods block and are thread-safe; each that writes is one transaction.

    Args:
        store: the loop's database.
        limits: how many are kept.
        on_change: told the id and state of each that is new or moved.
    """

    def __init__(
        self,
        store: FlywheelStore,
        limits: Limits = _LIMITS,
        on_change: OnChange = lambda _id, _state: None,
    ) -> None:
        self._store = store
        self._limits = limits
        self._on_change = on_change
        self._hearers: list[OnSignals] = []
        self.dropped = 0
        """Exchanges that found no room, and those that made room for others."""
        self.kept, self.size = self.tally()
        """How many there were at the last change here, and the bytes of their texts."""

    def hear(self, hearer: OnSignals) -> None:
        """Have somebody told of every exchange that arrives with signals, and of which.

        After the exchange is durable, and again when a delivery is repeated: what is done then has
        to bear that.
        """
        self._hearers.append(hearer)

    # Writing

    def take(self, exchange: Exchange) -> tuple[str, bool]:
        """Keep one; its id and whether it is new. A duplicate raises ``count``, once a decision.

        The exchange's own id is only used when it is not empty. Raises ``CorpusFull``.
        """
        taken = self.take_all([exchange])[0]
        if taken.id is None:
            raise CorpusFull("the corpus is full of what people work on")
        return taken.id, taken.is_new

    def take_all(self, exchanges: Sequence[Exchange]) -> list[Taken]:
        """Keep several in one transaction; what finds no room has no id."""
        told: Told = []

        def work(session: Session) -> list[Taken]:
            writing = Writing(session, self._limits)
            writing.expect([each.decision_id for each in exchanges])
            taken = [writing.take(each) for each in exchanges]
            writing.finish()
            self.kept, self.size = writing.tally
            self.dropped += writing.evicted + sum(each.id is None for each in taken)
            told[:] = writing.told()
            return taken

        taken = self._store.write(work)
        for each in taken:
            if each.id is not None and each.is_new:
                self._on_change(each.id, ExchangeState.CAPTURED)
        self._tell(told)
        return taken

    def signal(
        self, decision_id: str, names: Iterable[str], details: Mapping[str, Any] | None = None
    ) -> str | None:
        """Add to what is known of a request; the id of its exchange.

        None when that has not come yet: it gets the signals when it comes.
        """
        known = Afterwards(decision_id, tuple(names), dict(details or {}), at=time.time())
        return self.signal_all([known])[0]

    def signal_all(self, signals: Sequence[Afterwards]) -> list[str | None]:
        """The same of several, in one transaction."""
        told: Told = []

        def work(session: Session) -> list[str | None]:
            writing = Writing(session, self._limits)
            writing.expect([each.decision_id for each in signals])
            found = [writing.signal(each) for each in signals]
            writing.finish()
            told[:] = writing.told()
            return found

        found = self._store.write(work)
        self._tell(told)
        return found

    def move(self, ids: Iterable[str], state: ExchangeState) -> None:
        """Change the state of those of these that are still there."""
        wanted = list(dict.fromkeys(ids))
        moved = self._store.write(
            lambda session: Writing(session, self._limits).move(wanted, state)
        )
        for each in moved:
            self._on_change(each, state)

    def place(self, session: Session, exchange_ids: Iterable[str], state: ExchangeState) -> None:
        """The same in a transaction that also does something else; told when that is durable."""
        moved = Writing(session, self._limits).move(list(dict.fromkeys(exchange_ids)), state)

        def tell(_: Session) -> None:
            for each in moved:
                self._on_change(each, state)

        if moved:
            event.listen(session, "after_commit", tell, once=True)

    def assign(self, ids: Iterable[str], intent: str) -> int:
        """Say what these are about; how many of them are still there."""
        wanted = list(dict.fromkeys(ids))
        return self._store.write(
            lambda session: Writing(session, self._limits).assign(wanted, intent)
        )

    def erase(self, subject: str) -> int:
        """Remove what carries a person's data, by its keyed hash; how many there were.

        What of this person is still on its way here is not taken any more.
        ``FlywheelStore.compact`` removes the freed pages.
        """
        gone = self._store.write(lambda session: erase_subject(session, subject, time.time()))
        self.kept, self.size = self.tally()
        return gone

    def _tell(self, told: Told) -> None:
        for exchange, signals in told:
            for hearer in self._hearers:
                hearer(exchange, signals)

    # Reading

    def find(self, exchange_id: str) -> Exchange | None:
        """One of them."""
        with self._store.read() as session:
            row = session.scalar(select(ExchangeRow).where(ExchangeRow.id == exchange_id))
            return None if row is None else seen(session, [row])[0]

    def of_decision(self, decision_id: str) -> Exchange | None:
        """The one that stands for a request, its own or the one that it repeats."""
        sighted = select(SightingRow.exchange).where(SightingRow.decision_id == decision_id)
        with self._store.read() as session:
            row = session.scalar(select(ExchangeRow).where(ExchangeRow.seq.in_(sighted)))
            return None if row is None else seen(session, [row])[0]

    def of_decisions(self, decision_ids: Iterable[str]) -> dict[str, Exchange]:
        """The same of several, by decision; those of which nothing was kept are left out."""
        wanted = list(dict.fromkeys(decision_ids))
        found: dict[str, Exchange] = {}
        with self._store.read() as session:
            for start in range(0, len(wanted), _AT_ONCE):
                these = SightingRow.decision_id.in_(wanted[start : start + _AT_ONCE])
                query = select(SightingRow.decision_id, ExchangeRow).join(ExchangeRow).where(these)
                pairs = session.execute(query).all()
                known = seen(session, [row for _, row in pairs])
                found.update(zip((decision for decision, _ in pairs), known, strict=True))
        return found

    def found(self, exchange_ids: Iterable[str]) -> dict[str, Exchange]:
        """Those of these that are there, by id."""
        wanted = list(dict.fromkeys(exchange_ids))
        with self._store.read() as session:
            return {each.id: each for each in seen(session, rows_of(session, wanted))}

    def page(
        self,
        *,
        intent: str | None = None,
        state: ExchangeState | None = None,
        subject: str | None = None,
        limit: int = 100,
        after: int | None = None,
    ) -> Found:
        """The newest, and with ``after`` those before; ``subject`` is a keyed hash."""
        query = select(ExchangeRow)
        if intent is not None:
            query = query.where(ExchangeRow.intent == intent)
        if state is not None:
            query = query.where(ExchangeRow.state == state.value)
        if subject is not None:
            of = select(SubjectRow.exchange).where(SubjectRow.subject == subject)
            query = query.where(ExchangeRow.seq.in_(of))
        if after is not None:
            query = query.where(ExchangeRow.seq < after)
        query = query.order_by(ExchangeRow.seq.desc()).limit(limit + 1)
        with self._store.read() as session:
            rows = session.scalars(query).all()
            more = rows[limit - 1].seq if len(rows) > limit else None
            return Found(seen(session, rows[:limit]), more)

    def since(self, changed: int = 0, limit: int = 1000) -> Found:
        """Those that are new or changed since ``changed``, in the order of their changes.

        ``after`` of the answer is what to ask with next; None: there were none.
        """
        query = (
            select(ExchangeRow)
            .where(ExchangeRow.changed > changed)
            .order_by(ExchangeRow.changed)
            .limit(limit)
        )
        with self._store.read() as session:
            rows = session.scalars(query).all()
            return Found(seen(session, rows), rows[-1].changed if rows else None)

    def counted(self, subject: str) -> int:
        """How many carry a person's data, by its keyed hash."""
        with self._store.read() as session:
            return len(find_seqs(session, subject))

    def by_state(self) -> dict[str, int]:
        """How many there are in each state."""
        query = select(ExchangeRow.state, func.count()).group_by(ExchangeRow.state)
        with self._store.read() as session:
            found = {state: int(number) for state, number in session.execute(query)}
        return {state.value: found.get(state.value, 0) for state in ExchangeState}

    def tally(self) -> tuple[int, int]:
        """How many there are, and the bytes of their texts."""
        with self._store.read() as session:
            row = session.get(TallyRow, 1)
            return (0, 0) if row is None else (row.exchanges, row.size)
