"""Who may write: the process that claimed the registry last (law 13).

Every write, whoever's tables it is about, first locks the one control row and finds its own number
there. A process that was superseded in the middle of a write finishes it before the successor's
claim goes through, and can begin no other.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.errors import RegistryError, Superseded
from adapters.registry.models import ControlRow


@dataclass(frozen=True)
class Claim:
    """One process's right to write. ``writer`` grows with each claim: 1 is the first."""

    writer: int

    def lock(self, session: Session) -> ControlRow:
        """Hold the right until the session's transaction ends. Raises ``Superseded``."""
        control = _locked(session)
        self.require(control.writer)
        return control

    def share(self, session: Session) -> None:
        """The same for writes that need no order among themselves: only a new claim waits."""
        # On SQLite a write transaction is alone anyhow.
        query = select(ControlRow.writer).where(ControlRow.id == 1).with_for_update(read=True)
        self.require(session.scalars(query).one())

    def require(self, writer: int) -> None:
        """Raise ``Superseded`` unless ``writer``, as the database has it, is this claim's."""
        if writer != self.writer:
            raise Superseded(self.writer, writer)


NO_CLAIM = Claim(-1)
"""Of a process that reads only."""


def take(session: Session) -> Claim:
    """Become the one writer; whoever claimed earlier is refused from the commit on."""
    control = _locked(session)
    control.writer += 1
    return Claim(control.writer)


def _locked(session: Session) -> ControlRow:
    control = session.get(ControlRow, 1, with_for_update=True)
    if control is None:
        raise RegistryError("the registry's control row is missing")
    return control
