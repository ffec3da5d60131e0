"""Reviews as the registry's process does them: the queue, its resource, its background work."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from adapters.admin import reviews
from adapters.corpus.exchanges import Exchanges
from adapters.events import EventBus
from adapters.flywheel.config import ReviewsConfig
from adapters.flywheel.database import FlywheelStore
from adapters.jobs.periodic import After, Every, PeriodicJobs
from adapters.review.checks import Checks
from adapters.review.erasing import ReviewsOfPersons
from adapters.review.guidelines import Guidelines
from adapters.review.item import Demanded
from adapters.review.measuring import Measuring
from adapters.review.parts import ReviewParts
from adapters.review.queue import Queue
from adapters.review.reviews import Reviews
from adapters.review.tidying import Tidying
from router.account.gauges import Reading
from router.capture.consent import Consent
from router.wire.table import Bound, bound
from serving.registry.redacting import Redaction

_EVERY = Every(0.5, at_once=True, limit_s=300.0, max_retry_s=10.0)
_TIDY = Every(5.0, limit_s=300.0)


class Reviewing:
    """Everything about reviews, wired together.

    Attributes:
        reviews: the queue and the gold that comes out of it.
        queue: fills it.
        persons: what an erasure removes.
    """

    def __init__(
        self,
        store: FlywheelStore,
        corpus: Exchanges,
        config: ReviewsConfig,
        events: EventBus,
        redaction: Redaction,
        consent: Consent,
    ) -> None:
        parts = ReviewParts(store, corpus, config, events)
        self.reviews = Reviews(parts, consents=lambda tenant: not consent.said_no(tenant))
        self.queue = Queue(parts)
        self._tidying = Tidying(parts)
        self._checks = Checks(store, corpus, config.check_share)
        self.persons = ReviewsOfPersons(store, redaction.hashed)
        self._desk = reviews.ReviewDesk(
            self.reviews, Guidelines(store), Measuring(store), redaction.patiently
        )

    def resources(self) -> list[Bound]:
        """Rows of the admin plane."""
        return bound(reviews.RESOURCES, self._desk)

    def readings(self) -> dict[str, Reading]:
        """What is worth a gauge."""
        told = {
            "open": "Reviews that wait for a verdict.",
            "disputed": "Of those, the ones whose verdicts differ.",
            "done": "Reviews that are settled.",
        }
        found: dict[str, Reading] = {
            f"graftwork_reviews_{name}": (text, partial(self._count, name))
            for name, text in told.items()
        }
        left_out = "Exchanges that found no room in the queue of reviews since the start."
        return {**found, "graftwork_reviews_left_out": (left_out, lambda: self.queue.left_out)}

    def _count(self, name: str) -> int:
        return self._tidying.counts[name]

    async def demand(self, told: Mapping[str, Any]) -> None:
        """Open a review that rules want, as a router tells of it."""
        wanted = Demanded(
            id=told["id"],
            decision_id=told["decision_id"],
            rules=tuple(told["rules"]),
            when=told["when"],
            tenant=told["tenant"],
            intent=told.get("intent", ""),
        )
        await asyncio.to_thread(self.reviews.demand, wanted)

    def add_to(self, jobs: PeriodicJobs) -> None:
        """Fill the queue and keep it in order."""

        async def fill() -> After | None:
            await asyncio.to_thread(self.queue.attach)
            more = await asyncio.to_thread(self.queue.fill)
            return After(0.0) if more else None

        async def tidy() -> None:
            await asyncio.to_thread(self._tidying.tidy)
            await asyncio.to_thread(self._checks.keep_up)

        jobs.add("reviews", fill, _EVERY)
        jobs.add("reviews-tidy", tidy, _TIDY)
