"""The durable record of distillations: asked for once, moved along legal edges, leased by alias.

Every write goes through ``FlywheelStore.write``: a registry that was superseded can neither take a
lease nor move anything (law 13). Methods block and are thread-safe.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from adapters.distill.models import DistillationRow, TrainerLeaseRow
from adapters.distill.states import ENDED, LEASED, DistillState, allowed
from adapters.events import EventBus
from adapters.flywheel.database import FlywheelStore

MAX_OPEN: Final = 64
"""Distillations that may be under way or wait."""
_KEPT: Final = 2000
"""Ended ones that are remembered."""
_MAX_REASON: Final = 2000
_NOTED: Final = frozenset({"step", "steps", "loss", "eta_s", "gate", "reason", "starts", "digest"})


class TooManyOpen(Exception):
    """So many distillations are under way that no more are taken."""


class UnknownDistillation(Exception):
    """No such distillation."""


class Ended(Exception):
    """It has ended, or went somewhere else meanwhile: it cannot be moved there any more."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be distilled. At least one of ``intent`` and ``dataset`` is not empty."""

    alias: str
    intent: str = ""
    dataset: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    cause: str = "request"
    """``request``, or which trigger: ``new_gold``, ``quality_drop``, ``drift``, ``schedule``,
    ``erasure``."""
    author: str = "unknown"


@dataclass(frozen=True, slots=True)
class Distillation:
    """One of them as everyone else sees it. Times are seconds since the epoch."""

    number: int
    id: str
    alias: str
    intent: str
    dataset: str
    settings: Mapping[str, Any]
    cause: str
    author: str
    state: DistillState
    reason: str
    step: int
    steps: int
    loss: float | None
    eta_s: float | None
    digest: str
    gate: Mapping[str, Any] | None
    starts: int
    created_at: float
    updated_at: float
    ended_at: float | None

    @property
    def ended(self) -> bool:
        """Whether it rests in this state for good."""
        return self.state in ENDED


class Distillations:
    """All of them. ``events`` hears of every change of state."""

    def __init__(
        self,
        store: FlywheelStore,
        events: EventBus | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._events = events
        self._clock = clock

    # Asking and looking

    def ask(self, wish: Wish) -> Distillation:
        """Queue one. Raises ``TooManyOpen``."""

        def work(session: Session) -> Distillation:
            waiting = session.scalar(_open_count())
            if (waiting or 0) >= MAX_OPEN:
                raise TooManyOpen(f"{MAX_OPEN} distillations are under way")
            row = _new_row(wish, self._clock())
            session.add(row)
            _forget_old(session)
            session.flush()
            return _record(row)

        return self._told(self._store.write(work))

    def find(self, identity: str) -> Distillation:
        """One of them. Raises ``UnknownDistillation``."""
        with self._store.read() as session:
            return _record(_row(session, identity))

    def page(
        self,
        limit: int,
        before: int | None = None,
        *,
        state: str | None = None,
        alias: str | None = None,
        intent: str | None = None,
    ) -> list[Distillation]:
        """The newest first; those with a number below ``before``."""
        query = select(DistillationRow).order_by(DistillationRow.number.desc()).limit(limit)
        if before is not None:
            query = query.where(DistillationRow.number < before)
        for column, wanted in (
            (DistillationRow.state, state),
            (DistillationRow.alias, alias),
            (DistillationRow.intent, intent),
        ):
            if wanted is not None:
                query = query.where(column == wanted)
        with self._store.read() as session:
            return [_record(row) for row in session.scalars(query)]

    def under_way(self) -> list[Distillation]:
        """Those that have not ended, the oldest first."""
        query = (
            select(DistillationRow)
            .where(DistillationRow.state.not_in(_values(ENDED)))
            .order_by(DistillationRow.number)
        )
        with self._store.read() as session:
            return [_record(row) for row in session.scalars(query)]

    def newest(
        self,
        alias: str,
        states: Iterable[DistillState] | None = None,
        *,
        intent: str | None = None,
    ) -> Distillation | None:
        """The alias's last one, of those in ``states``; of an intent, or of several together."""
        query = select(DistillationRow).where(DistillationRow.alias == alias)
        if intent is not None:
            query = query.where(DistillationRow.intent.in_((intent, "")))
        if states is not None:
            query = query.where(DistillationRow.state.in_(_values(states)))
        query = query.order_by(DistillationRow.number.desc()).limit(1)
        with self._store.read() as session:
            row = session.scalar(query)
            return None if row is None else _record(row)

    def trained_on(self, datasets: Iterable[str]) -> list[Distillation]:
        """Those whose dataset is one of these digests, ended or not."""
        query = select(DistillationRow).where(DistillationRow.dataset.in_(list(datasets)))
        with self._store.read() as session:
            return [_record(row) for row in session.scalars(query)]

    # Moving

    def begin(self, identity: str, *, dataset: str, steps: int = 0) -> Distillation | None:
        """Take the alias's lease and go to ``training``; None while another one holds it.

        Raises ``Ended``.
        """

        def work(session: Session) -> Distillation | None:
            row = _row(session, identity)
            lease = session.get(TrainerLeaseRow, row.alias)
            if lease is not None and lease.distillation != identity:
                return None
            self._move(session, row, DistillState.TRAINING)
            if lease is None:
                session.add(
                    TrainerLeaseRow(alias=row.alias, distillation=identity, taken_at=self._clock())
                )
            row.dataset, row.step, row.steps, row.reason = dataset, 0, steps, ""
            return _record(row)

        made = self._store.write(work)
        return None if made is None else self._told(made)

    def move(self, identity: str, to: DistillState, reason: str = "", **facts: Any) -> Distillation:
        """Move one, with what was learnt on the way: ``dataset``, ``digest``, ``gate``.

        Raises ``Ended``, ``UnknownDistillation``.
        """

        def work(session: Session) -> Distillation:
            row = _row(session, identity)
            self._move(session, row, to)
            row.reason = reason[:_MAX_REASON]
            for name, value in facts.items():
                if name not in {"dataset", "digest", "gate", "starts"}:
                    raise TypeError(f"a distillation has no fact {name!r}")
                setattr(row, name, value)
            return _record(row)

        return self._told(self._store.write(work))

    def note(self, identity: str, **facts: Any) -> Distillation:
        """Write down how far it is: ``step``, ``steps``, ``loss``, ``eta_s``, ``gate``, ``reason``,
        ``starts``, ``digest``; its state stays.
        """

        def work(session: Session) -> Distillation:
            row = _row(session, identity)
            for name, value in facts.items():
                if name not in _NOTED:
                    raise TypeError(f"a distillation has no fact {name!r}")
                setattr(row, name, value)
            row.updated_at = self._clock()
            return _record(row)

        return self._told(self._store.write(work))

    def _move(self, session: Session, row: DistillationRow, to: DistillState) -> None:
        current = DistillState(row.state)
        if not allowed(current, to):
            raise Ended(f"{row.id} is {current}: it cannot become {to}")
        now = self._clock()
        row.state, row.updated_at = to.value, now
        if to not in LEASED:
            session.execute(delete(TrainerLeaseRow).where(TrainerLeaseRow.distillation == row.id))
            row.eta_s = None
        if to in ENDED:
            row.ended_at = now

    def _told(self, made: Distillation) -> Distillation:
        if self._events is not None:
            self._events.emit(
                "distillation",
                made.alias,
                made.digest or None,
                id=made.id,
                state=made.state.value,
                step=made.step,
                steps=made.steps,
                loss=made.loss,
                eta_s=made.eta_s,
            )
        return made


def _values(states: Iterable[DistillState]) -> list[str]:
    return [state.value for state in states]


def _open_count() -> Any:
    return (
        select(func.count())
        .select_from(DistillationRow)
        .where(DistillationRow.state.not_in(_values(ENDED)))
    )


def _forget_old(session: Session) -> None:
    """The oldest that ended; lineage keeps what their versions were made of."""
    newest = select(func.max(DistillationRow.number)).scalar_subquery()
    session.execute(
        delete(DistillationRow).where(
            DistillationRow.number <= newest - _KEPT, DistillationRow.state.in_(_values(ENDED))
        )
    )


def _new_row(wish: Wish, now: float) -> DistillationRow:
    return DistillationRow(
        id=f"dst_{secrets.token_hex(12)}",
        alias=wish.alias,
        intent=wish.intent,
        dataset=wish.dataset,
        settings=dict(wish.settings),
        cause=wish.cause,
        author=wish.author,
        state=DistillState.QUEUED.value,
        reason="",
        step=0,
        steps=0,
        loss=None,
        eta_s=None,
        digest="",
        gate=None,
        starts=0,
        created_at=now,
        updated_at=now,
        ended_at=None,
    )


def _row(session: Session, identity: str) -> DistillationRow:
    row = session.scalar(select(DistillationRow).where(DistillationRow.id == identity))
    if row is None:
        raise UnknownDistillation(identity)
    return row


def _record(row: DistillationRow) -> Distillation:
    return Distillation(
        number=row.number,
        id=row.id,
        alias=row.alias,
        intent=row.intent,
        dataset=row.dataset,
        settings=row.settings,
        cause=row.cause,
        author=row.author,
        state=DistillState(row.state),
        reason=row.reason,
        step=row.step,
        steps=row.steps,
        loss=row.loss,
        eta_s=row.eta_s,
        digest=row.digest,
        gate=row.gate,
        starts=row.starts,
        created_at=row.created_at,
        updated_at=row.updated_at,
        ended_at=row.ended_at,
    )
