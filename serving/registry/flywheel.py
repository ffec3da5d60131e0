"""The learning loop's rooms, wired together for the registry's process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from adapters.admin import datasets, exchanges, trace
from adapters.corpus.erasable import CapturedExchanges
from adapters.corpus.exchanges import Exchanges, Limits
from adapters.dataset.bringing import Importer
from adapters.dataset.datasets import DIRECTORY, Datasets
from adapters.distill.data import FrozenData
from adapters.distill.job import Trainer
from adapters.distill.tracing import Tracer
from adapters.flywheel.database import FlywheelStore
from adapters.gate.held_out import FrozenItems
from adapters.jobs.periodic import After, Every, Periodic, PeriodicJobs, Work, in_thread
from adapters.records.erasable import Erasable
from adapters.registry.claim import Claim
from router.account.gauges import Reading
from router.capture.consent import Consent
from router.wire.table import Bound, bound
from serving.config.settings import FLYWHEEL_FILE, Settings
from serving.registry import capturing
from serving.registry.adapters import Adapters
from serving.registry.clustering import Clustering
from serving.registry.difficulty import Learning
from serving.registry.distilling import Distilling
from serving.registry.gating import Gating
from serving.registry.judged import Judged
from serving.registry.membership import Membership
from serving.registry.redacting import Redaction
from serving.registry.reviewing import Reviewing

_SWEEP_S = 3600.0
_NOT_YET = After(1.0)


def database_url(settings: Settings) -> str:
    """Where the loop's tables are: PostgreSQL beside the registry's, or a file beside its file."""
    url = settings.adapters_here().database_url or ""
    if url.startswith("postgresql"):
        return url
    return f"sqlite:///{Path(url.removeprefix('sqlite:///')).parent / FLYWHEEL_FILE}"


class _WritersJobs(PeriodicJobs):
    """Jobs that write: with nothing to do until this registry is the one writer.

    A system that starts beside the one that serves is not, before an engine of its own reports;
    the first write would take the right from the other (law 13).
    """

    def __init__(self, jobs: PeriodicJobs, claim: Claim) -> None:
        super().__init__()
        self._them = jobs
        self._claim = claim

    def add(self, name: str, work: Work, every: Every) -> Periodic:
        """Among the registry's own."""

        async def when_writer() -> object:
            # What it returns says when to look again.
            return _NOT_YET if self._claim.writer is None else await work()

        return self._them.add(name, when_writer, every)


class Flywheel:
    """Everything between a captured exchange and a promoted adapter. One per registry process.

    Attributes:
        store: the loop's database.
        exchanges: what was captured.
        reviewing: what experts say of it.
        reviews: the queue, and the gold that comes out of it.
        clustering: what is asked alike and answered poorly.
        datasets: what of it was frozen.
        gating: what versions have to pass.
        difficulty: how hard requests are for which target.
        distilling: the loop from datasets to versions.
    """

    def __init__(
        self,
        settings: Settings,
        adapters: Adapters,
        trainer: Trainer,
        publish: Callable[[], None],
        membership: Membership,
    ) -> None:
        """``publish`` has routers see what changed; ``membership`` knows whom to ask."""
        self.store = FlywheelStore.open(database_url(settings), adapters.registry.as_writer)
        self._adapters = adapters
        events = self._events = adapters.events
        corpus = settings.flywheel.corpus
        self.exchanges = Exchanges(
            self.store,
            Limits(corpus.max_exchanges, corpus.max_mb * 2**20),
            lambda identity, state: events.emit("exchange", id=identity, state=state.value),
        )
        redaction = self._redaction = Redaction(settings)
        consent = Consent(settings.router.capture)
        self.reviewing = Reviewing(
            self.store,
            self.exchanges,
            settings.flywheel.reviews,
            events,
            redaction,
            consent,
        )
        self.reviews = self.reviewing.reviews
        self.clustering = Clustering(
            self.store,
            self.exchanges,
            self.reviews,
            settings.flywheel,
            publish,
            self._redaction.hashed,
            events,
            lambda tenant: not consent.said_no(tenant),
        )
        self.datasets = Datasets(
            self.store,
            settings.state_dir.absolute() / DIRECTORY,
            self.reviews,
            settings.flywheel.datasets,
            lambda digest, state: events.emit("dataset", digest=digest, state=state),
        )
        self._corpus_desk = exchanges.Corpus(
            self.exchanges,
            redaction.hashed,
            capturing.importer(self.exchanges, redaction),
            capturing.refuses(settings),
            corpus.import_max_mb,
        )
        self._dataset_desk = datasets.Desk(
            self.datasets,
            Importer(self.datasets, redaction.patiently, redaction.hashed),
            settings.flywheel.datasets.max_import_mb,
        )
        self.gating = Gating(
            settings,
            self.store,
            adapters,
            self.datasets,
            self.exchanges,
            membership,
            redaction,
            lambda tenant: not consent.said_no(tenant),
        )
        self.difficulty = Learning(
            settings,
            self.store,
            Judged(
                self.exchanges,
                self.reviews,
                FrozenItems(self.store, self.datasets),
                self.gating.reports,
                membership.routers,
                lambda tenant: not consent.said_no(tenant),
            ),
            redaction,
            publish,
        )
        self.distilling = Distilling(
            settings,
            self.store,
            adapters,
            FrozenData(self.datasets),
            self.gating.gatekeeper,
            trainer,
            self.clustering.learner,
        )

    @property
    def _tracer(self) -> Tracer:
        return Tracer(
            self.exchanges,
            self.reviews,
            self.datasets,
            self.distilling.lineage,
            self._adapters.registry,
        )

    def resources(self) -> list[Bound]:
        """Rows of the admin plane."""
        return [
            *bound(exchanges.RESOURCES, self._corpus_desk),
            *self.reviewing.resources(),
            *self.clustering.resources(self._adapters.means_otherwise),
            *bound(datasets.RESOURCES, self._dataset_desk),
            *self.gating.resources(),
            *self.distilling.resources(),
            *self.difficulty.resources(),
            *bound(trace.RESOURCES, self._tracer),
        ]

    def routes(self) -> list[Bound]:
        """What routers ask of the registry's internal surface."""
        return [
            *capturing.routes(self.exchanges, self._redaction),
            *self.clustering.routes(),
            *self.difficulty.routes(),
        ]

    def readings(self) -> dict[str, Reading]:
        """What is worth a gauge and belongs to no room of its own."""
        said = "Datasets that are not erased; flywheel.datasets.max_datasets is the limit."
        gone = "Datasets known to have been erased; flywheel.datasets.max_erased is the limit."
        return {
            "graftwork_datasets": (said, lambda: self.datasets.kept),
            "graftwork_datasets_erased": (gone, lambda: self.datasets.erased),
        }

    def rooms(self) -> Iterable[Erasable]:
        """What keeps persons' data: what may be learned from, then what was learned."""
        return [
            self.reviewing.persons,
            CapturedExchanges(self.exchanges, self._redaction.hashed),
            self.clustering.persons,
            *self.distilling.rooms(self.datasets, self._redaction.hashed),
            self.difficulty.persons,
        ]

    def add_to(self, jobs: PeriodicJobs) -> None:
        """Background work."""
        jobs = _WritersJobs(jobs, self._adapters.registry.writing)
        self.reviewing.add_to(jobs)
        self.clustering.add_to(jobs)
        jobs.add("datasets", in_thread(self.datasets.sweep), Every(_SWEEP_S))
        self.distilling.add_to(jobs)
        self.difficulty.add_to(jobs)

    async def aclose(self) -> None:
        """Stop where it stands; the next process resumes."""
        await self.gating.aclose()
        await self.difficulty.aclose()
        await asyncio.to_thread(self.store.close)
