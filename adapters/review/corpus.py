"""What reviews need of the exchanges."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from sqlalchemy.orm import Session

from adapters.corpus.exchange import Exchange, ExchangeState


class Corpus(Protocol):
    """The room of exchanges."""

    def find(self, exchange_id: str) -> Exchange | None:
        """One of them."""
        ...

    def find_all(self, ids: Iterable[str]) -> list[Exchange]:
        """Those of the first 1000 of these that are there."""
        ...

    def place(self, session: Session, ids: Iterable[str], state: ExchangeState) -> list[str]:
        """Move some, in a transaction that also does something else; those that moved."""
        ...
