"""Rules files and which of them hold: kept with who put them there, compared, rolled back.

What the rules mean is not known here: sources are text that somebody checked.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from adapters.errors import NothingToRollBack, RegistryError
from adapters.registry.models import PolicyMoveRow, PolicyRow
from adapters.registry.transaction import Transaction

SOURCES_KEPT: Final = 200
"""Rules files whose text is kept, the newest; of older ones only who and when."""
PUT, SHADOW, PROMOTE, ROLLBACK = "put", "shadow", "promote", "rollback"


class UnknownPolicy(RegistryError):
    """No rules file has this version, or it is too old to be kept."""

    code = "policy-not-found"


class NoShadow(NothingToRollBack):
    """No rules are in the shadow."""

    code = "no-shadow-policy"
    remedy = "Put some there first: PUT /admin/v1/policy?stage=shadow."


class NoPolicyBefore(NothingToRollBack):
    """No other rules held before these."""

    code = "no-policy-before"
    remedy = "Put the rules that should hold."


@dataclass(frozen=True, slots=True)
class PolicyMove:
    """One change of what holds."""

    id: int
    at: datetime
    actor: str
    action: str
    active: str | None
    shadow: str | None


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """One rules file."""

    version: str
    source: str | None
    author: str
    created_at: datetime


class Policies:
    """The rules files of one registry. Methods block; each is one transaction.

    Args:
        write: begins one, in somebody's name.
        read: begins one that changes nothing.
    """

    def __init__(
        self,
        write: Callable[[str], AbstractContextManager[Transaction]],
        read: Callable[[], AbstractContextManager[Session]],
    ) -> None:
        self._write = write
        self._read = read

    def put(self, version: str, source: str, *, by: str, shadow: bool = False) -> PolicyMove:
        """Have a file hold from now on, or be tried in the shadow. What holds already stays."""
        with self._write(by) as tx:
            self._keep(tx, version, source, by)
            now = _newest(tx.session)
            active, waiting, parent = _state(now)
            if shadow:
                if waiting == version and now is not None:
                    return _move(now)
                return self._note(tx, by, SHADOW, (active, version, parent))
            if active == version and now is not None:
                return _move(now)
            return self._note(tx, by, PUT, (version, waiting, _holds_since(tx.session, active)))

    def promote(self, *, by: str) -> PolicyMove:
        """Have the rules in the shadow hold. Raises ``NoShadow``."""
        with self._write(by) as tx:
            active, waiting, parent = _state(_newest(tx.session))
            if waiting is None:
                raise NoShadow("no rules are in the shadow")
            before = parent if active == waiting else _holds_since(tx.session, active)
            return self._note(tx, by, PROMOTE, (waiting, None, before))

    def rollback(self, *, by: str) -> PolicyMove:
        """Have those rules hold that held before. Raises ``NoPolicyBefore``."""
        with self._write(by) as tx:
            _, waiting, parent = _state(_newest(tx.session))
            before = None if parent is None else tx.session.get(PolicyMoveRow, parent)
            if before is None or before.active is None:
                raise NoPolicyBefore("no other rules held before these")
            self._source(tx.session, before.active)
            return self._note(tx, by, ROLLBACK, (before.active, waiting, before.parent))

    def record(self, version: str) -> PolicyRecord:
        """One file. Raises ``UnknownPolicy``."""
        with self._read() as session:
            return self._source(session, version)

    def now(self) -> PolicyMove | None:
        """The last change; None before the first."""
        with self._read() as session:
            row = _newest(session)
            return None if row is None else _move(row)

    def history(self, limit: int = 200) -> list[PolicyMove]:
        """The last changes, newest first."""
        query = select(PolicyMoveRow).order_by(PolicyMoveRow.id.desc()).limit(limit)
        with self._read() as session:
            return [_move(row) for row in session.scalars(query)]

    def _keep(self, tx: Transaction, version: str, source: str, by: str) -> None:
        row = tx.session.get(PolicyRow, version)
        if row is not None:
            row.source = source
            return
        size = len(source.encode())
        tx.session.add(
            PolicyRow(version=version, source=source, size=size, author=by, created_at=tx.now)
        )
        tx.session.flush()
        newest = select(PolicyRow.version).order_by(PolicyRow.created_at.desc(), PolicyRow.version)
        active, waiting, _ = _state(_newest(tx.session))
        kept = {*tx.session.scalars(newest.limit(SOURCES_KEPT)), version, active, waiting}
        old = PolicyRow.version.not_in([each for each in kept if each is not None])
        tx.session.execute(
            update(PolicyRow).where(old, PolicyRow.source.is_not(None)).values(source=None)
        )

    def _note(
        self,
        tx: Transaction,
        by: str,
        action: str,
        state: tuple[str | None, str | None, int | None],
    ) -> PolicyMove:
        active, shadow, parent = state
        row = PolicyMoveRow(
            at=tx.now, actor=by, action=action, active=active, shadow=shadow, parent=parent
        )
        tx.session.add(row)
        # Routers take it for new by this.
        tx.next_epoch()
        tx.session.flush()
        return _move(row)

    def _source(self, session: Session, version: str) -> PolicyRecord:
        row = session.get(PolicyRow, version)
        if row is None or row.source is None:
            raise UnknownPolicy(f"no rules {version[:12]!r} are kept")
        return PolicyRecord(row.version, row.source, row.author, row.created_at)


def versions_now(session: Session) -> tuple[str, str]:
    """What holds and what is in the shadow; empty where nothing is."""
    active, shadow, _ = _state(_newest(session))
    return active or "", shadow or ""


def _newest(session: Session) -> PolicyMoveRow | None:
    return session.scalar(select(PolicyMoveRow).order_by(PolicyMoveRow.id.desc()).limit(1))


def _state(row: PolicyMoveRow | None) -> tuple[str | None, str | None, int | None]:
    return (None, None, None) if row is None else (row.active, row.shadow, row.parent)


def _holds_since(session: Session, active: str | None) -> int | None:
    """The last move by which the present rules came to hold."""
    if active is None:
        return None
    moves = (PUT, PROMOTE, ROLLBACK)
    query = select(PolicyMoveRow.id).where(
        PolicyMoveRow.active == active, PolicyMoveRow.action.in_(moves)
    )
    return session.scalar(query.order_by(PolicyMoveRow.id.desc()).limit(1))


def _move(row: PolicyMoveRow) -> PolicyMove:
    return PolicyMove(row.id, row.at, row.actor, row.action, row.active, row.shadow)
