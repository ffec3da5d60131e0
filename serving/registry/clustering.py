"""Clusters as the registry's process does them: grouped in the background, handed to routers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from adapters.admin import clusters
from adapters.admin.clusters import ClustersAdmin
from adapters.corpus.cluster import Cluster
from adapters.corpus.clusters import Clusters
from adapters.corpus.exchange import Exchange
from adapters.corpus.exchanges import Exchanges
from adapters.corpus.signals import TROUBLE, struggles
from adapters.events import EventBus
from adapters.flywheel.config import FlywheelConfig
from adapters.flywheel.database import FlywheelStore
from adapters.jobs.periodic import After, Every, PeriodicJobs
from adapters.resources import BadField, Resource
from adapters.review.errors import ReviewError
from adapters.review.priority import Tier
from adapters.review.reviews import Reviews
from router.account.gauges import Reading
from router.embed.encoder import BgeSmall
from router.wire.table import Bound, bound
from serving.internal.paths import INTENTS

_EVERY = Every(1.0, at_once=True, limit_s=600.0, max_retry_s=30.0)
_MADE_INTENT = "made_intent"
_TOLD = 20
"""Clusters of one tick whose growth is told; who follows looks at all of them anyway."""
_log = logging.getLogger("graftwork.registry")


class Clustering:
    """Everything about clusters, wired together.

    Args:
        store: the loop's database.
        exchanges: what was captured.
        reviews: the queue.
        config: the loop's.
        publish: has routers see which intents there are now.
        hash_of: what stands for a person.
        events: told of each that grew, and of what was decided.
        consents: whether what a tenant's exchanges hold may be learnt, now.

    Attributes:
        clusters: all of them.
        persons: what an erasure removes.
    """

    def __init__(
        self,
        store: FlywheelStore,
        exchanges: Exchanges,
        reviews: Reviews,
        config: FlywheelConfig,
        publish: Callable[[], None],
        hash_of: Callable[[str], str],
        events: EventBus,
        consents: Callable[[str], bool],
    ) -> None:
        self._events = events
        self.clusters = Clusters(store, exchanges, BgeSmall(), consents=consents)
        self.persons = ExamplesOfPersons(self.clusters, publish, hash_of)
        self._reviews = reviews
        self._publish = publish
        self._aliases: Mapping[str, str] = {
            intent: route.alias for intent, route in config.routes.items()
        }
        exchanges.hear(self._heard)

    def _heard(self, exchange: Exchange, _signals: tuple[str, ...]) -> None:
        """What not even a frontier answers well, a person looks at first."""
        if not struggles(exchange.target, exchange.signals):
            return
        why = [signal for signal in exchange.signals if signal in TROUBLE]
        try:
            self._reviews.open(exchange.id, why, priority=Tier.STRUGGLED)
        except ReviewError as error:
            _log.warning("review_not_opened", extra={"why": error.code})

    def resources(self, means_otherwise: Callable[[str], str | None]) -> list[Bound]:
        """Rows of the admin plane, given why a name cannot be an alias."""
        admin = ClustersAdmin(self.clusters, self._changed, self._aliases, means_otherwise)
        return bound(clusters.RESOURCES, admin)

    def routes(self) -> list[Bound]:
        """What routers ask of the registry's internal surface."""
        return bound((Resource("internal", "GET", INTENTS, _document),), self.clusters)

    def learner(self, intent: str) -> str | None:
        """The alias that a made intent got; None where none was made or named. Blocks."""
        made = self.clusters.intents.made()
        return next((each.alias for each in made if each.name == intent), None)

    def intents(self) -> str:
        """Digest of the intents that were made of clusters. Blocks."""
        return self.clusters.intents.document()[0]

    def _changed(self, cluster: Cluster) -> None:
        """Somebody decided: routers may have to learn, reviews may have to be opened."""
        self._events.emit("cluster", id=cluster.id, state=cluster.state.value)
        self._publish()
        self._job.wake()

    def add_to(self, jobs: PeriodicJobs) -> None:
        """Group what came, and have reviewed what became an intent."""
        self._job = jobs.add("clusters", self._tick, _EVERY)

    async def _tick(self) -> After | None:
        more = await asyncio.to_thread(self.clusters.tick)
        for cluster_id in sorted(self.clusters.touched)[:_TOLD]:
            self._events.emit("cluster", id=cluster_id, state="grown")
        await asyncio.to_thread(self._open_reviews)
        return After(0.0) if more else None

    def _open_reviews(self) -> None:
        for exchange_id in self.clusters.wanted_reviews():
            try:
                self._reviews.open(exchange_id, _MADE_INTENT)
            except ReviewError as error:  # it is gone meanwhile, or the queue is full
                _log.info("review_not_opened", extra={"why": error.code})

    def readings(self) -> dict[str, Reading]:
        """What is worth a gauge."""
        return {
            "graftwork_clustered_exchanges": (
                "Exchanges that are clustered, or wait for others like them.",
                lambda: self.clusters.members,
            )
        }


class ExamplesOfPersons:
    """One room of an erasure: the examples of made intents. Members go with their exchanges."""

    counted_as = "intent_examples"

    def __init__(
        self,
        clusters: Clusters,
        publish: Callable[[], None],
        hash_of: Callable[[str], str],
    ) -> None:
        self._clusters = clusters
        self._publish = publish
        self._hash_of = hash_of

    async def found(self, subject: str) -> int:
        """How many examples carry this person's data."""
        hashed = self._hash_of(subject)
        return await asyncio.to_thread(self._clusters.intents.of_person, subject, hashed)

    async def erase(self, subject: str) -> int:
        """Remove them, and have routers forget them; how many there were."""
        hashed = self._hash_of(subject)
        gone = await asyncio.to_thread(self._clusters.intents.forget, subject, hashed)
        if gone:
            self._publish()
        return gone


async def _document(found: Clusters, request: Request) -> Response:
    """The made intents, as long as they are these."""
    digest, raw = await asyncio.to_thread(found.intents.document)
    if not digest or digest != request.path_params["digest"]:
        raise BadField("These intents are not the present ones.", None, code="gone", status=404)
    return Response(raw, media_type="application/json")
