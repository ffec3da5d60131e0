"""A queue of reviews of its own, over a database in a directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from adapters.corpus.exchanges import Exchanges
from adapters.events import EventBus
from adapters.flywheel.config import ReviewsConfig
from adapters.flywheel.database import FlywheelStore
from adapters.review.parts import ReviewParts
from adapters.review.reviews import Reviews
from tests.fakes.corpus import corpus, exchange

LOCK_S = 60.0


@dataclass
class Reviewing:
    """A queue, what it is about, and a clock that is turned by hand."""

    store: FlywheelStore
    exchanges: Exchanges
    config: ReviewsConfig
    consents: Callable[[str], bool]
    events: EventBus
    now: float = 1_800_000_000.0
    parts: ReviewParts = field(init=False)
    reviews: Reviews = field(init=False)

    def __post_init__(self) -> None:
        self.parts = ReviewParts(self.store, self.exchanges, self.config, self.events, self.tick)
        self.reviews = Reviews(self.parts, consents=self.consents)

    def tick(self) -> float:
        """Time goes on between any two looks at the clock."""
        self.now += 0.001
        return self.now

    def asked(self, said: str, **fields: Any) -> str:
        """An exchange in review; the review's id."""
        found, _ = self.exchanges.take(exchange(said, **fields))
        return self.reviews.open(found, "sampled")

    def state(self, review: str) -> str:
        """Where the exchange of a review is."""
        found = self.reviews.find(review).exchange
        assert found is not None
        return found.state.value

    def told(self, kind: str) -> list[tuple[str, str]]:
        """Id and state of each event of a kind."""
        found = [event for event in self.events.since(0) if event.kind == kind]
        return [(str(each.data["id"]), str(each.data["state"])) for each in found]


@contextmanager
def reviewing(
    url: str, *, consents: Callable[[str], bool] = lambda _tenant: True, **config: Any
) -> Iterator[Reviewing]:
    """Open it; ``config`` is ``flywheel.reviews``."""
    given = ReviewsConfig.model_validate({"lock_s": LOCK_S, **config})
    events = EventBus()
    with corpus(url) as (_, store):
        exchanges = Exchanges(
            store, on_change=lambda name, state: events.emit("exchange", id=name, state=state.value)
        )
        yield Reviewing(store, exchanges, given, consents, events)
