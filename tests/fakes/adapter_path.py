"""The adapter path on fakes: a real registry, a real store, a fake fleet; crash and come back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from adapters.aliases import Replica, RoutingTable
from adapters.base_model import BaseFacts
from adapters.config import AdaptersConfig, RolloutSettings
from adapters.events import EventBus
from adapters.manifest import digest_directory
from adapters.reconcile import Reconciler
from adapters.registry import Registry
from adapters.rollout import Outcome, Rollout
from adapters.store import LocalStore
from adapters.table import build_table
from tests.fakes.fleet import FakeFleet
from tests.fakes.tiny_adapter import BASE, tiny_adapter

FAST = RolloutSettings(
    stagger_s=0,
    drain_poll_s=0.005,
    drain_settle_s=0,
    drain_timeout_s=0.1,
    replicas_timeout_s=0.2,
    routers_timeout_s=0.1,
    reconcile_s=0.05,
)


@dataclass
class AdapterPath:
    """Everything that one registry process has, and what survives its death."""

    root: Path
    fleet: FakeFleet
    settings: RolloutSettings = FAST
    base: BaseFacts | None = BASE
    tables: list[RoutingTable] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.url = f"sqlite:///{self.root / 'registry.db'}"
        self.config = AdaptersConfig(rollout=self.settings)
        self.store = LocalStore(self.root / "store")
        self.start()

    def start(self) -> None:
        """A fresh process over what is on the disk."""
        self.registry = Registry.open(self.url)
        self.registry.claim()
        self.events = EventBus()
        self.rollout = Rollout(
            self.registry,
            self.store,
            self.fleet,
            lambda: self.base,
            self.config,
            self.publish,
            self.events,
        )
        self.reconciler = Reconciler(
            self.registry,
            self.store,
            self.fleet,
            self.rollout,
            lambda: self.base,
            self.config.rollout,
            self.events,
        )

    async def restart(self) -> None:
        """Die where we stand, come back and resume."""
        await self.rollout.aclose()
        self.registry.close()
        self.start()
        await self.rollout.resume()

    async def aclose(self) -> None:
        """End without a trace in this event loop."""
        await self.rollout.aclose()
        self.registry.close()

    def publish(self) -> None:
        """Build the routing table as the registry process would."""
        replicas = [
            Replica(id=name, url="", secret="", resident=frozenset(engine.resident))
            for name, engine in self.fleet.engines.items()
        ]
        self.tables.append(
            build_table(
                self.registry.snapshot(),
                revision=len(self.tables) + 1,
                base_id=BASE.base_id,
                base_digest=BASE.digest,
                replicas=replicas,
            )
        )

    @property
    def table(self) -> RoutingTable:
        """What the routers see now."""
        return self.tables[-1]

    def adapter(self, seed: int, **options: object) -> Path:
        """A private PEFT directory whose content depends on ``seed``."""
        return tiny_adapter(self.root / "pushed" / str(seed), seed, **options)  # type: ignore[arg-type]

    def digest(self, seed: int) -> str:
        """The digest of ``adapter(seed)``."""
        return digest_directory(self.adapter(seed))

    async def push(self, alias: str, seed: int, **options: object) -> Outcome:
        """Push ``adapter(seed)``; wait for the end of its publish and of what follows from it."""
        outcome = await self.rollout.push(alias, self.adapter(seed), wait=True, **options)  # type: ignore[arg-type]
        await self.idle()
        return outcome

    async def idle(self) -> None:
        """Wait until no background work is left."""
        await asyncio.wait_for(self.rollout.idle(), 10)
