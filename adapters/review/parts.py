"""What everything that changes reviews works with, and how a change is made and told."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import Session

from adapters.corpus.exchanges import Exchanges
from adapters.events import EventBus
from adapters.flywheel.config import ReviewsConfig
from adapters.flywheel.database import FlywheelStore
from adapters.review import rows
from adapters.review.models import ReviewRow

T = TypeVar("T")
AT_ONCE: Final = 500
"""Rows of one transaction."""


@dataclass(frozen=True, slots=True)
class ReviewParts:
    """Methods block and are thread-safe.

    Attributes:
        store: the loop's database.
        corpus: the exchanges.
        config: how reviewers work, how many items may wait and how long.
        events: told of each item that changes its state.
        clock: seconds since the epoch.
    """

    store: FlywheelStore
    corpus: Exchanges
    config: ReviewsConfig
    events: EventBus
    clock: Callable[[], float] = time.time

    def found(self, query: Select[Any]) -> Sequence[Any]:
        """The first column of what is there."""
        with self.store.read() as session:
            return session.scalars(query).all()

    def write(self, work: Callable[[Session, float], T]) -> T:
        """One durable transaction, given the time."""
        return self.store.write(lambda session: work(session, self.clock()))

    def change(
        self, which: Select[ReviewRow], change: Callable[[Session, ReviewRow, float], None]
    ) -> None:
        """Change some of those items, move their exchanges along, and tell; if there are any."""

        def work(session: Session, now: float) -> list[tuple[str, str]]:
            changed = []
            for row in session.scalars(which.limit(AT_ONCE)).all():
                change(session, row, now)
                rows.place(session, self.corpus, row, now)
                changed.append((row.id, row.state))
            return changed

        if self.found(which.with_only_columns(ReviewRow.id).limit(1)):
            for identity, state in self.write(work):
                self.events.emit("review", id=identity, state=state)
