"""What reviewers are to go by, written by intent; what is written for none holds for all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from adapters.flywheel.database import FlywheelStore
from adapters.review.errors import TooMany
from adapters.review.models import GuidelineRow
from adapters.review.rows import storable

MAX_INTENTS: Final = 2000
EVERYWHERE: Final = ""


@dataclass(frozen=True, slots=True)
class Guideline:
    """One text, Markdown. ``intent`` is empty where it holds for all."""

    intent: str
    text: str
    by: str
    at: float


class Guidelines:
    """Methods block and are thread-safe."""

    def __init__(self, store: FlywheelStore, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def put(self, intent: str, text: str, by: str) -> None:
        """Write it anew; an empty text removes it. Raises ``TooMany``."""
        intent, text, by = storable(intent), storable(text), storable(by)

        def work(session: Session) -> None:
            row = session.get(GuidelineRow, intent)
            if not text.strip():
                if row is not None:
                    session.delete(row)
                return
            if row is None:
                there = session.scalar(select(func.count()).select_from(GuidelineRow)) or 0
                if there >= MAX_INTENTS:
                    raise TooMany(f"there are guidelines for {MAX_INTENTS} intents already")
                row = GuidelineRow(intent=intent)
                session.add(row)
            row.text, row.by, row.at = text, by, self._clock()

        self._store.write(work)

    def of(self, intent: str) -> str:
        """What holds for an intent: what is written for all, then its own."""
        wanted = dict.fromkeys((EVERYWHERE, intent))
        with self._store.read() as session:
            found = [session.get(GuidelineRow, each) for each in wanted]
            return "\n\n".join(row.text for row in found if row is not None)

    def all(self) -> list[Guideline]:
        """Every one, by intent."""
        with self._store.read() as session:
            rows = session.scalars(select(GuidelineRow).order_by(GuidelineRow.intent)).all()
            return [Guideline(row.intent, row.text, row.by, row.at) for row in rows]
