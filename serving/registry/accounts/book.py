"""Leases of budgets, durable: the authority that routers ask. Every ask is one transaction."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine, case, delete, func, select
from sqlalchemy.orm import Session

from adapters.registry import database
from adapters.registry.claim import Claim
from router.budgets.authority import Lease, LeaseAnswer, LeaseAsk, LeaseWish, grant
from serving.registry.accounts.models import HolderRow, LeaseRow

GONE = "(gone)"
"""Stands for all holders that were not heard for long; what they owned stays spent."""
_SILENT_S = 30
_OVER_KEPT_S = 2 * 86_400
_GONE_AFTER_S = 30 * 86_400


@dataclass(frozen=True)
class Balance:
    """One account over all routers; amounts in its metric's units, money in billionths."""

    account: str
    budget: str
    metric: str
    window: str
    limit: int
    ends: int | None
    granted: int
    spent: int


class LeaseBook:
    """Grants and takes back, under the registry's ``claim``. Thread-safe.

    Callers on an event loop go through a thread.
    """

    def __init__(
        self, engine: Engine, claim: Claim, clock: Callable[[], float] = time.time
    ) -> None:
        self._engine = engine
        self._claim = claim
        self._reader = database.reader(engine)
        self._clock = clock
        self._lock = threading.Lock()

    def lease(self, ask: LeaseAsk) -> LeaseAnswer:
        """Hear one ask; durable when this returns. Raises ``Superseded``."""
        self._claim.ensure()
        with self._lock, Session(self._engine) as session, session.begin():
            self._claim.share(session)
            if not self._is_next(session, ask):
                return LeaseAnswer(leases=(), stale=True)
            names = [wish.account for wish in ask.wishes]
            owned = _owned(session, names)
            used = _used(session, names, int(self._clock()) - _SILENT_S)
            mine = {
                row.account: row
                for row in session.scalars(
                    select(LeaseRow).where(
                        LeaseRow.holder == ask.holder, LeaseRow.account.in_(names)
                    )
                )
            }
            leases = [
                _grant(session, ask.holder, wish, mine, owned).model_copy(
                    update={"used": used.get(wish.account, 0)}
                )
                for wish in ask.wishes
            ]
        return LeaseAnswer(leases=tuple(leases))

    def _is_next(self, session: Session, ask: LeaseAsk) -> bool:
        row = session.get(HolderRow, ask.holder)
        now = int(self._clock())
        if row is None:
            session.add(HolderRow(holder=ask.holder, number=ask.number, heard_at=now))
            return True
        if ask.number <= row.number:
            return False
        row.number, row.heard_at = ask.number, now
        return True

    def committed(self, account: str) -> int:
        """What all holders own of an account."""
        with Session(self._reader) as session:
            return _owned(session, [account]).get(account, 0)

    def balances(self) -> list[Balance]:
        """Every account whose window is not over."""
        columns = (
            LeaseRow.account,
            LeaseRow.budget,
            LeaseRow.metric,
            LeaseRow.window,
            func.max(LeaseRow.limit),
            func.max(LeaseRow.ends),
            func.sum(LeaseRow.granted),
            func.sum(LeaseRow.spent),
        )
        running = (LeaseRow.ends.is_(None)) | (LeaseRow.ends > int(self._clock()))
        groups = columns[:4]
        with Session(self._reader) as session:
            rows = session.execute(select(*columns).where(running).group_by(*groups)).all()
        return [Balance(*row[:6], int(row[6]), int(row[7])) for row in rows]

    def tidy(self) -> None:
        """Forget windows that are long over, and fold what holders left that are long gone."""
        now = int(self._clock())
        self._claim.ensure()
        with self._lock, Session(self._engine) as session, session.begin():
            self._claim.share(session)
            session.execute(delete(LeaseRow).where(LeaseRow.ends < now - _OVER_KEPT_S))
            old = select(HolderRow.holder).where(HolderRow.heard_at < now - _GONE_AFTER_S)
            for row in session.scalars(select(LeaseRow).where(LeaseRow.holder.in_(old))).all():
                _fold(session, row)
            session.execute(delete(HolderRow).where(HolderRow.holder.in_(old)))


def _owned(session: Session, accounts: list[str]) -> dict[str, int]:
    found = session.execute(
        select(LeaseRow.account, func.sum(LeaseRow.granted))
        .where(LeaseRow.account.in_(accounts))
        .group_by(LeaseRow.account)
    )
    return {account: int(total) for account, total in found}


def _used(session: Session, accounts: list[str], silent_since: int) -> dict[str, int]:
    """Used up for good; all that a silent holder owns counts, since it may never be told."""
    heard = select(HolderRow.holder).where(HolderRow.heard_at >= silent_since)
    certain = case((LeaseRow.holder.in_(heard), LeaseRow.spent), else_=LeaseRow.granted)
    found = session.execute(
        select(LeaseRow.account, func.sum(certain))
        .where(LeaseRow.account.in_(accounts))
        .group_by(LeaseRow.account)
    )
    return {account: int(total) for account, total in found}


def _grant(
    session: Session,
    holder: str,
    wish: LeaseWish,
    mine: dict[str, LeaseRow],
    owned: dict[str, int],
) -> Lease:
    row = mine.get(wish.account)
    if row is None and not wish.want and not wish.spent:
        free = wish.limit - owned.get(wish.account, 0)
        return Lease(account=wish.account, granted=0, free=free)
    if row is None:
        row = mine[wish.account] = LeaseRow(
            account=wish.account,
            holder=holder,
            budget=wish.budget,
            metric=wish.metric,
            window=wish.window.value,
            ends=wish.ends,
            granted=0,
            spent=0,
        )
        session.add(row)
    others = owned.get(wish.account, 0) - row.granted
    row.granted = grant(wish.limit, others, row.granted, wish.spent, wish.want)
    row.spent = max(row.spent, wish.spent)
    row.limit = wish.limit
    owned[wish.account] = others + row.granted
    free = wish.limit - others - row.granted
    return Lease(account=wish.account, granted=row.granted, free=free)


def _fold(session: Session, row: LeaseRow) -> None:
    kept = session.get(LeaseRow, (row.account, GONE))
    if kept is None:
        fields = {c.name: getattr(row, c.name) for c in LeaseRow.__table__.columns}
        session.add(LeaseRow(**{**fields, "holder": GONE}))
    else:
        kept.granted += row.granted
        kept.spent += row.spent
    session.delete(row)
    session.flush()
