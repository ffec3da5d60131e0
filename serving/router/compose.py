"""One router process wired together, without Ray: the deployment runs it, a benchmark can too."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from adapters.admin import erasures
from adapters.admin.flywheel import LOOP
from adapters.admin.table import RESOURCES
from adapters.aliases import RoutingTable
from adapters.jobs.periodic import Every, PeriodicJobs, in_thread
from adapters.records.auditing import Audit
from adapters.records.erasable import Erasable
from adapters.records.erasing import FeedbackPayloads, RecordPayloads
from adapters.records.subjects import Subjects
from router.account.gauges import Gauges
from router.account.metrics import RouterMetrics
from router.account.settle import Settlement
from router.account.totals import UsageCollector
from router.account.usage import Traffic
from router.admin import audit, decisions, documents, drift, holds, policy, usage
from router.admin.proxy import AdminProxy
from router.admit.admission import Admission
from router.admit.keys import LOOK_S, Keyring, KeysFile, load_keys
from router.admit.tokens import AccessTokens
from router.audit.logs import DecisionLog, FeedbackLog, open_logs
from router.audit.lookup import Records
from router.audit.requests import REFUSALS_EVERY_S, RequestRecords
from router.cache.key import configuration_version
from router.cache.responses import Responses
from router.cache.store import CachedAnswers, ResponseStore
from router.capture.entries import Entries
from router.capture.judged import Judgements
from router.choose.choose import Chooser
from router.choose.gauges import PriceGauges, readings
from router.choose.learning import EVERY_S, Learning, Refit
from router.config.governance import GovernanceConfig
from router.config.root import RouterConfig
from router.embed.encoder import BgeSmall
from router.embed.layers import Layers
from router.govern.detectors import detectors, kept_name
from router.govern.governance import Governance
from router.http import Door
from router.judge.confidence import Judge
from router.pipeline import Pipeline
from router.policy.source import PolicySource
from router.policy.stage import PolicyStage, Trust
from router.prepare import Fitting
from router.prices import LocalPricing
from router.replicas.fair import FairQueues, fair_limits
from router.replicas.table import TableHolder
from router.send import Sender
from router.send.health import HealthBook
from router.send.metrics import HealthCollector
from router.send.shadow import Shadow
from router.targets.directory import Catalog
from router.targets.frontier import frontier_targets
from router.targets.http_client import HttpClient
from router.wire.table import bound
from serving.config.settings import Settings
from serving.console.console import Console
from serving.internal.server import KEEPALIVE_S
from serving.router import asked, auditing, capturing
from serving.router.accounting import Accounting
from serving.router.capturing import Capturing
from serving.router.context import Context
from serving.router.guarding import safety
from serving.router.internal import RouterSurface, Told
from serving.router.name_models import name_detector
from serving.router.peers import Peers
from serving.router.reading import Reading
from serving.router.readings import gauges, shadows, waiting
from serving.router.rules import RegistryRules
from serving.telemetry.jobs import JobsCollector
from serving.telemetry.records import record_gauges
from serving.telemetry.scrape import merge
from serving.telemetry.scrubbing import StrayCopies

_NAMES_EVERY_S = 60.0
"""Between tries to load the model that finds names, as long as it is not loaded."""
_RULES_WITHIN_S = 10.0
_FITS = Every(None, retry_s=1.0, max_retry_s=60.0)
"""Answers' probabilities are fitted when enough more of them were judged."""
_POLICY = Every(None, retry_s=0.2, max_retry_s=5.0)
"""Rules are fetched when the table names others."""


class RouterProcess:
    """Everything that one router needs. Belongs to the running event loop.

    Attributes:
        holder: the routing table in use; tables are applied to it.
        door: the ASGI application for clients.
        jobs: what this process does again and again.
        pricing: what local tokens cost; what engines did is told to it.
        records: decisions and feedback of all routers.
        names: finds names in texts; loads in the background from the start on.
        surface: the ASGI application for the registry and the other routers.
    """

    def __init__(self, settings: Settings, identity: str, environ: Mapping[str, str]) -> None:
        config, limits = settings.router, settings.router.limits
        self._identity = identity
        # Engines keep idle connections longer than providers do (serving/internal/server.py).
        self._engines = HttpClient(keepalive_s=KEEPALIVE_S / 2)
        self._providers = HttpClient()
        catalog = Catalog(
            self._engines,
            frontier_targets(self._providers, config.providers, environ),
            default_frontier=config.auto.frontier,
            connect_timeout_s=limits.connect_timeout_s,
        )
        subjects = self._open_logs(settings)
        governance = self._govern(config.governance, subjects)
        self._registry = CollectorRegistry()
        layers = Layers()  # one for all, loaded with their first text
        encoder = BgeSmall(layers=layers)
        self._safety = safety(config, self._providers, environ, self._registry, governance, layers)
        queues = FairQueues(
            fair_limits(config.fairness, settings.engine.max_loras, config.priority)
        )
        self.holder = TableHolder(queues, self._forget)
        knows = self.holder.knows
        self._context = Context(
            settings, catalog, lambda: self.holder.current.registry, self._safety, encoder
        )
        self._registry.register(Gauges(self._context.readings()))
        self._rules = RegistryRules(self.holder)
        self._policies = PolicySource(self._rules.fetch)
        keyring = Keyring(load_keys(config.auth), AccessTokens(config.auth.tokens))
        self._keys_file = KeysFile(config.auth, keyring)
        decided, feedback = DecisionLog(self._log), FeedbackLog(self._feedback_log)
        admission = Admission(keyring, limits, config.priority)
        self._metrics = RouterMetrics(self._registry, lambda: admission.under_way, knows)
        self._traffic = Traffic(knows)
        self._accounting = Accounting(
            config.budgets, catalog, self.holder, identity, settings.state_dir / "budgets"
        )
        cache = ResponseStore(config.cache)
        self._registry.register(gauges(self._accounting, cache, self._policies))
        self._registry.register(waiting(queues, self._engines, self._providers, keyring.tokens))
        self._registry.register(UsageCollector(self._accounting.usage, knows))
        self._registry.register(record_gauges(self._log, self._feedback_log))
        self._peers = Peers(self.holder, identity)
        self._learn(config)
        self._health = HealthBook(config.delivery, remembered=knows)
        self._registry.register(HealthCollector(self._health))
        self._reading = Reading(settings, layers, self._rules, self._registry)
        self.holder.on_table = self._heard
        chooser = Chooser(
            config, self._learning, self._health, self._accounting.budgets, self.pricing
        )
        self._capturing = Capturing(
            settings,
            f"{identity}-{secrets.token_hex(4)}",
            lambda persons: Entries(governance, self._reading.intents, persons),
            self.holder,
            self._registry,
            self._peers.keep,
            encoder,
        )
        self._shadow = Shadow(
            catalog, self.holder, self._traffic, self._capturing.captures.compared
        )
        self._registry.register(shadows(self._shadow))
        pipeline = Pipeline(
            limits=limits,
            admission=admission,
            safety=self._safety,
            governance=governance,
            intents=self._reading.intents,
            difficulty=self._reading.difficulty,
            policies=PolicyStage(chooser.policies, self._policies, Trust(config.trust)),
            chooser=chooser,
            budgets=self._accounting.budgets,
            responses=Responses(config.cache, configuration_version(config), cache),
            context=self._context.stage,
            fitting=Fitting(lambda option: catalog.frontier(option).card.roles),
            sender=Sender(catalog, self.holder, limits, config.delivery, self._health),
            judge=Judge(config.routing, self._learning.calibration),
            settlement=Settlement(
                catalog,
                self._requests,
                self._metrics,
                self._traffic,
                self._accounting.usage,
                self._learning,
            ),
            shadows=self._shadow,
            captures=self._capturing.captures,
            holder=self.holder,
            records=self._requests,
        )
        self._admin = AdminProxy(
            self.holder,
            (
                *RESOURCES,
                *usage.RESOURCES,
                *drift.RESOURCES,
                *documents.RESOURCES,
                *audit.RESOURCES,
                *holds.RESOURCES,
                *policy.RESOURCES,
                *erasures.RESOURCES,
                *LOOP,
            ),
            limits.max_archive_bytes,
        )
        self.records = Records(
            decided,
            feedback,
            self._peers,
            self._judged,
            governance.kept,
            Judgements(self._capturing.captures).hear,
        )
        self._refit = Refit(self._learning, self.records.judgements)
        self.jobs = self._periodic(settings.audit.checkpoint_s)
        self._registry.register(JobsCollector(self.jobs.statuses))
        self.door = Door(
            config,
            keyring,
            pipeline,
            catalog,
            self.holder,
            [*self._admin.rows(), *self._console(keyring).rows()],
            self.records,
            self._scrape,
        )
        self.surface = RouterSurface(
            Told(self.holder, self._traffic, self._policies, self._requests.decided),
            decided,
            feedback,
            self._registry,
            [
                *bound(auditing.ROWS, Audit(self._log)),
                *bound(capturing.ROWS, self._capturing.captures),
                *bound(asked.ROWS, self.door),
                *bound(asked.LOOKING, asked.Checks(self._safety, self._policies)),
            ],
            self._erasable(settings, cache, governance),
        ).asgi_app()
        self._registry.register(Gauges(self.door.readings()))

    def _erasable(
        self, settings: Settings, cache: ResponseStore, governance: Governance
    ) -> list[Erasable]:
        """What this process and its machine keep of persons."""
        requests = RecordPayloads(self._log)
        return [
            governance.conversations,
            CachedAnswers(cache),
            FeedbackPayloads(self._feedback_log, requests),  # found through the requests' records
            requests,
            *self._capturing.rooms(),
            StrayCopies(settings),
        ]

    def _learn(self, config: RouterConfig) -> None:
        """What this router knows of targets' answers, and what local tokens cost."""
        self._learning = Learning(config.routing, self.holder.knows)
        self._registry.register(Gauges(readings(self._learning)))
        self.pricing = LocalPricing(config.routing.local.price)
        self._registry.register(PriceGauges(self.pricing))

    def _seal(self) -> None:
        self._log.sealer.tick()
        self._feedback_log.sealer.tick()

    def _judged(self, said: Mapping[str, Any]) -> None:
        """Somebody judged an answer, and told this router."""
        self._learning.judged(said)
        self._traffic.judged(said)

    def _console(self, keyring: Keyring) -> Console:
        def secret() -> str | None:
            peer = self.holder.current.registry
            return None if peer is None else peer.secret

        rows = [*self._admin.rows(), *bound(decisions.RESOURCES, self.records)]
        console = Console(keyring, secret, rows)
        self._registry.register(Gauges(console.readings()))
        return console

    def _govern(self, config: GovernanceConfig, subjects: Subjects) -> Governance:
        self.names = name_detector(config.pii.names)
        return Governance(config, detectors(self.names, config.pii.patterns), subjects.hash)

    def _open_logs(self, settings: Settings) -> Subjects:
        """The logs, and what stands in them for persons."""
        config, name = settings.router.records, f"{self._identity}-{secrets.token_hex(4)}"
        self._log, self._feedback_log = open_logs(settings.state_dir, name, config, settings.audit)
        subjects = Subjects(self._log.layout.root)
        self._requests = RequestRecords(self._log, settings.audit.durability, subjects, kept_name)
        return subjects

    def _periodic(self, checkpoint_s: float) -> PeriodicJobs:
        jobs = PeriodicJobs()
        if self._keys_file.is_there:
            look = in_thread(self._keys_file.look)
            jobs.add("api-keys", look, Every(LOOK_S, max_retry_s=5.0))
        jobs.add("refusals", self._requests.sum_up, Every(REFUSALS_EVERY_S))
        jobs.add("seal", in_thread(self._seal), Every(checkpoint_s / 2))
        jobs.add("refit", self._refit.once, Every(EVERY_S, at_once=True))
        calibration = self._learning.calibration
        calibration.wake = jobs.add("calibration", calibration.refit, _FITS).wake
        if self.names is not None:
            jobs.add("names", self.names.start, Every(_NAMES_EVERY_S, at_once=True))
        jobs.add("warm", self.warm, Every(None, at_once=True))
        self._policies.wake = jobs.add("policy", self._policies.refresh, _POLICY).wake
        self._accounting.add_to(jobs)
        self._capturing.add_to(jobs)
        self._reading.add_to(jobs)
        return jobs

    async def warm(self) -> None:
        """What the first request would wait for: tables of phone numbers, the safety encoder."""
        await asyncio.to_thread(detectors().patterns.find, "call +1 202 555 0143")
        await self._safety.warm()

    def _heard(self, table: RoutingTable) -> None:
        self._policies.heard(table)
        self._reading.heard(table)

    def start(self) -> None:
        """Begin to write logs, to learn and to renew what is leased, in the background."""
        self._log.start()
        self._feedback_log.start()
        self._capturing.captures.start()
        self.jobs.start()

    async def settle(self) -> None:
        """Wait, if not for long, until this router knows the rules that hold."""
        await self._policies.settle(_RULES_WITHIN_S)

    def check(self) -> None:
        """For health checks. Raises when background work ended that nobody stopped."""
        self.jobs.check()
        self._log.check()
        self._feedback_log.check()

    def requests(self) -> int:
        """How many requests came since the start."""
        return self._requests.seen

    def has_engine(self) -> bool:
        """Whether an engine takes traffic."""
        return any(replica.ready for replica in self.holder.current.replicas)

    def _forget(self, name: str) -> None:
        """A version left the table: drop its labels and counts, so that both stay bounded."""
        self._metrics.forget(f"adapter:{name}")
        self._accounting.usage.forget(f"adapter:{name}")
        self._traffic.forget(name)
        self._health.forget(f"adapter:{name}")
        self._learning.forget(f"adapter:{name}")

    async def _scrape(self) -> bytes:
        table = self.holder.current
        self._metrics.epoch.set(table.epoch)
        self._health.keep_replicas({replica.id for replica in table.replicas})
        own = generate_latest(self._registry).decode()
        others = await self._peers.metrics()
        merged = await asyncio.to_thread(merge, [(self._identity, own), *others])
        return merged.encode()

    async def aclose(self) -> None:
        """Stop background work, write what is left of the log, close every connection."""
        await self.jobs.aclose()
        await self._shadow.aclose()
        await self._capturing.aclose()
        await asyncio.to_thread(self._safety.close)
        await self._reading.aclose()
        if self.names is not None:
            await asyncio.to_thread(self.names.close)
        await self._accounting.aclose()
        await self._context.aclose()
        self._requests.sum_up_now()
        await asyncio.to_thread(self._log.close)
        await asyncio.to_thread(self._feedback_log.close)
        parts = (self._engines, self._providers, self._peers, self._admin)
        for part in (*parts, self._rules):
            await part.aclose()
