"""Finding what is nearly equal to an exchange, by the keys that both are kept under."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Self

from sqlalchemy import select
from sqlalchemy.orm import Session

from adapters.corpus.exchange import Exchange
from adapters.corpus.folding import fold, last_said
from adapters.corpus.likeness import MAX_CHARS, Word, keys, near, words
from adapters.corpus.models import ExchangeRow, LikenessRow
from adapters.corpus.tools import offered

_LOOKED_AT: Final = 32
"""Of those that share a key, the newest."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """What is like an exchange: all but the newest question is equal, and that nearly so."""

    said: tuple[Word, ...]
    keys: list[int]

    @classmethod
    def of(cls, exchange: Exchange) -> Self | None:
        """None when it is only like its equals."""
        text, around = last_said(exchange.messages)
        if not text or len(text) > MAX_CHARS:
            return None
        said = words(text)
        tools = offered(exchange.details).tools
        found = keys(fold(exchange.tenant, around, trains=exchange.trains, tools=tools), said)
        return cls(said, found) if found else None

    def find(self, session: Session) -> ExchangeRow | None:
        """The newest that is nearly equal."""
        shared = (
            select(LikenessRow.exchange)
            .where(LikenessRow.key.in_(self.keys))
            .distinct()
            .order_by(LikenessRow.exchange.desc())
            .limit(_LOOKED_AT)
        )
        seqs = [*session.scalars(shared)]
        rows = {
            row.seq: row
            for row in session.scalars(select(ExchangeRow).where(ExchangeRow.seq.in_(seqs)))
        }
        for seq in seqs:
            if near(self.said, words(last_said(json.loads(rows[seq].messages))[0])):
                return rows[seq]
        return None

    def keep(self, session: Session, row: ExchangeRow) -> None:
        """Have it found by these keys."""
        session.add_all(LikenessRow(key=key, exchange=row.seq) for key in self.keys)
