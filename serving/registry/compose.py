"""One registry process wired together, without Ray: the deployment runs it, tests do too."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from prometheus_client import CollectorRegistry

from adapters.admin import erasures
from adapters.admin.parts import Parts
from adapters.admin.upload import Uploads
from adapters.aliases import Peer
from adapters.distill.job import Trainer
from adapters.events import EventBus
from adapters.jobs.periodic import Every, in_thread
from adapters.records.anchoring import Anchoring, open_anchor
from adapters.records.auditing import Audit
from adapters.records.sealing import AUDIT, open_sealer
from adapters.records.writer import RecordLog
from adapters.registry import Registry
from router.account.gauges import Gauges
from router.admin import audit, holds
from router.admin.documents import DocumentsAdmin
from router.audit.logs import FEEDBACK
from router.wire.table import bound
from serving.config.settings import Settings
from serving.content import open_content, open_waiting
from serving.registry import capturing
from serving.registry.accounts.signals import DriftCollector
from serving.registry.accounts.surface import AccountsSurface
from serving.registry.adapters import Adapters
from serving.registry.admin import admin_rows, registry_surface
from serving.registry.auditing import RouterLogs
from serving.registry.documents import open_library, readings, routes
from serving.registry.erasing import Erasing
from serving.registry.fleet import HttpFleet
from serving.registry.flywheel import Flywheel
from serving.registry.membership import Membership
from serving.registry.metrics import RegistryCollector
from serving.registry.policies import RulesOffice
from serving.registry.service import RegistryService
from serving.registry.takeover import Takeover
from serving.registry.training import ProcessTrainer
from serving.telemetry.jobs import JobsCollector
from serving.telemetry.logs import get_logger
from serving.telemetry.records import record_gauges

_PATIENCE = 0.9
"""Before any router does, which would read all records beside its requests."""


class RegistryProcess:
    """Everything that one registry needs. Belongs to the running event loop.

    With its first write, and at the latest when an engine reports, it is the one writer: a registry
    that ran before can change nothing any more. Raises ``RegistryError`` when the database cannot
    be opened, ``StoreError`` for a bad store.

    Attributes:
        service: hears engines and routers, and does what is done again and again.
        adapters: what moves versions.
        accounts: the books of budgets and usage.
        documents: what answers may draw on.
        flywheel: from captured exchanges to promoted adapters.
        surface: the ASGI application for routers, and behind them for administrators.
    """

    def __init__(self, settings: Settings, trainer: Trainer | None = None) -> None:
        """``trainer``: what runs trainings; processes of this machine unless it is given."""
        log = get_logger("graftwork.registry")
        config = settings.adapters_here()
        assert config.database_url is not None
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        self._log = RecordLog(
            settings.state_dir / AUDIT,
            f"registry-{secrets.token_hex(4)}",
            settings.router.records,
            open_sealer(settings.state_dir, AUDIT, settings.audit, _PATIENCE),
        )
        membership = Membership()
        # Tables are made of fleet and versions, which ask for tables: later, when they are there.
        fleet = HttpFleet(membership, self._refresh)
        waiting_dir = settings.state_dir.absolute() / "waiting"
        self.adapters = Adapters(
            config,
            Registry.open(config.database_url),
            open_content(settings),
            fleet,
            membership.base,
            self._publish,
            EventBus(
                config.events_kept, lambda event: log.info("adapter_event", **event.as_dict())
            ),
            waiting_dir,
            open_waiting(settings, waiting_dir),
        )
        self.service = RegistryService(settings, self.adapters, fleet, membership)
        self.accounts = AccountsSurface(config.database_url, self.adapters.registry.writing)
        self.accounts.add_to(self.service.jobs)
        self._metrics = CollectorRegistry()
        self._add_sealing(settings)
        self._metrics.register(RegistryCollector(self.service))
        self._metrics.register(JobsCollector(self.service.jobs.statuses))
        self._metrics.register(DriftCollector(self.accounts.drifts))
        self._metrics.register(record_gauges(self._log))
        uploads = self._uploads = Uploads(config, settings.state_dir.absolute() / "incoming")
        under_way = ("Pushes that are being received.", lambda: uploads.under_way)
        room, most = self.adapters.rollout.queue.room, config.push.waiting
        waiting = (
            f"Pushes that wait for the first engine; at most {most}.",
            lambda: len(room.entries()),
        )
        bus = self.adapters.events
        followers = ("Clients that follow what happens, over all routers.", lambda: bus.followers)
        self._metrics.register(
            Gauges(
                {
                    "graftwork_pushes_under_way": under_way,
                    "graftwork_pushes_waiting": waiting,
                    "graftwork_event_followers": followers,
                }
            )
        )
        self.documents = open_library(settings, self.adapters.registry)
        self._metrics.register(Gauges(readings(self.documents)))
        self.flywheel = Flywheel(
            settings, self.adapters, trainer or ProcessTrainer(), self._publish, membership
        )
        self.flywheel.add_to(self.service.jobs)
        self._metrics.register(Gauges(self.flywheel.distilling.readings()))
        takeover = Takeover(
            settings,
            self.adapters,
            self.accounts,
            self.flywheel.distilling,
            self.flywheel.reviews,
        )
        takeover.add_to(self.service.jobs)
        self.service.tables.intents = self.flywheel.clustering.intents
        self.service.tables.difficulty = lambda: self.flywheel.difficulty.digest
        self._metrics.register(Gauges(capturing.readings(self.flywheel.exchanges)))
        self._metrics.register(Gauges(self.flywheel.clustering.readings()))
        self._metrics.register(Gauges(self.flywheel.reviewing.readings()))
        self._metrics.register(Gauges(self.flywheel.gating.readings()))
        self._metrics.register(Gauges(self.flywheel.difficulty.readings()))
        self._metrics.register(Gauges(self.flywheel.readings()))
        rules = RulesOffice(
            self.adapters.registry.policies,
            fleet,
            self._publish,
            self.adapters.events,
            self.flywheel.reviewing.demand,
        )
        rules.add_to(self.service.jobs)
        self._router_logs = RouterLogs(membership.routers)
        self._erasing = Erasing(
            settings,
            self._log,
            [self.documents, *self.flywheel.rooms()],
            self.flywheel.store.compact,
            membership.routers,
            self.adapters.events,
        )
        self._metrics.register(Gauges(self._erasing.readings()))
        own = Audit(self._log)
        resources = [
            *admin_rows(self._parts(), self.accounts, DocumentsAdmin(self.documents), rules.admin),
            *bound(audit.RESOURCES, audit.Auditing(own, self._router_logs)),
            *bound(holds.RESOURCES, holds.Holding(own.holds, self._router_logs)),
            *bound(erasures.RESOURCES, self._erasing.add_to(self.service.jobs)),
            *self.flywheel.resources(),
            *takeover.resources(),
        ]
        self.surface: Any = registry_surface(
            resources,
            [
                *self.accounts.routes(),
                *rules.routes(),
                *routes(self.documents),
                *self.flywheel.routes(),
            ],
            self._metrics,
            self._log,
        )

    def _add_sealing(self, settings: Settings) -> None:
        """Checkpoints over the logs of this machine, those that only routers write to included."""
        config = settings.audit
        sealers = [
            self._log.sealer,
            open_sealer(settings.state_dir, FEEDBACK, config, _PATIENCE),
        ]

        def seal() -> None:
            for sealer in sealers:
                sealer.tick()

        self.service.jobs.add("seal", in_thread(seal), Every(config.checkpoint_s / 2))
        anchor = None if config.anchor is None else open_anchor(config.anchor)
        anchoring = Anchoring(self._log.layout, anchor)
        if anchor is not None:
            every = Every(config.checkpoint_s / 2, max_retry_s=config.checkpoint_s)
            self.service.jobs.add("anchor", in_thread(anchoring.once), every)
        behind = "How long a checkpoint has not been put where `audit.anchor` says, seconds."
        name = "graftwork_records_anchor_behind_seconds"
        self._metrics.register(Gauges({name: (behind, lambda: anchoring.behind_s)}))

    async def _refresh(self) -> int:
        return await self.service.tables.refresh()

    def _publish(self) -> None:
        self.service.tables.publish()

    def _parts(self) -> Parts:
        parts = self.adapters
        return Parts(
            parts.rollout,
            parts.registry,
            parts.store,
            parts.fleet,
            parts.config,
            self._uploads,
            self.service.replicas,
            self.flywheel.distilling.origins.reports,
        )

    async def start(self, peer: Peer) -> None:
        """Begin to work. ``peer``: how routers reach ``surface``."""
        self._log.start()
        await asyncio.to_thread(self._uploads.sweep)
        await self.service.start(peer)

    def check(self) -> None:
        """For health checks. Raises when background work ended that nobody stopped."""
        self.service.check()
        self._log.check()

    async def aclose(self) -> None:
        """Stop where it stands, and let go of the database; the next process resumes."""
        await self.service.aclose()
        await self._erasing.aclose()
        await self._router_logs.aclose()
        await self.flywheel.aclose()
        self.accounts.close()
        await asyncio.to_thread(self.documents.close)
        await asyncio.to_thread(self._log.close)
