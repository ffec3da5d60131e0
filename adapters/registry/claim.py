"""Who may write: the process that claimed the registry last (law 13).

Every write, whoever's tables it is about, first locks the one control row and finds its own number
there. A process that was superseded in the middle of a write finishes it before the successor's
claim goes through, and can begin no other.
"""

from __future__ import annotations

import threading

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from adapters.errors import RegistryError, Superseded
from adapters.registry.models import ControlRow


class Claim:
    """One process's right to write. Taken once, by the first ``ensure``; thread-safe.

    Not sooner: of a system that only starts beside the one that serves, nothing is to be written,
    and the one that serves must go on until then.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._taking = threading.Lock()
        self._writer: int | None = None

    @property
    def writer(self) -> int | None:
        """Grows with each claim of any process: 1 is the first. None before this one's."""
        return self._writer

    def ensure(self) -> None:
        """Take it, unless this process did once; to be called ahead of each write.

        Raises ``SQLAlchemyError``.
        """
        with self._taking:
            if self._writer is None:
                self._writer = self._take()

    def take(self) -> None:
        """Become the one writer, also over a successor. Raises ``SQLAlchemyError``."""
        with self._taking:
            self._writer = self._take()

    def _take(self) -> int:
        with Session(self._engine) as session, session.begin():
            control = _locked(session)
            control.writer += 1
            return control.writer

    def lock(self, session: Session) -> ControlRow:
        """Hold the right until the session's transaction ends. Raises ``Superseded``."""
        control = _locked(session)
        self._require(control.writer)
        return control

    def share(self, session: Session) -> None:
        """The same for writes that need no order among themselves: only a new claim waits."""
        # On SQLite a write transaction is alone anyhow.
        query = select(ControlRow.writer).where(ControlRow.id == 1).with_for_update(read=True)
        self._require(session.scalars(query).one())

    def check(self, writer: int) -> None:
        """Raise ``Superseded`` when ``writer``, as it was read, is a successor's."""
        # A lower number was read before this process's own claim was written.
        if self._writer is not None and writer > self._writer:
            raise Superseded(self._writer, writer)

    def _require(self, writer: int) -> None:
        if writer != self._writer:
            raise Superseded(self._writer, writer)


def _locked(session: Session) -> ControlRow:
    control = session.get(ControlRow, 1, with_for_update=True)
    if control is None:
        raise RegistryError("the registry's control row is missing")
    return control
