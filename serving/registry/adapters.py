"""The adapter path wired over a fleet, the registry process's own or a test's.

Whoever has engines gets the same parts and the same wires between them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from adapters.config import AdaptersConfig
from adapters.events import EventBus
from adapters.fleet import Fleet
from adapters.format.base_model import BaseFacts
from adapters.format.names import means_otherwise
from adapters.ladder.evidence import Evidence
from adapters.ladder.steps import Ladder
from adapters.publish.moving import PathParts
from adapters.publish.reconcile import Reconciler
from adapters.publish.rollout import Rollout
from adapters.publish.waiting import WaitingRoom
from adapters.publish.watch import Watcher
from adapters.registry import Registry
from adapters.store.parcels import Parcels
from adapters.store.store import VersionStore


@dataclass
class Adapters:
    """Everything that moves versions. Raises ``StoreError``."""

    config: AdaptersConfig
    """With a watched store."""
    registry: Registry
    store: VersionStore
    fleet: Fleet
    base: Callable[[], BaseFacts | None]
    """The base that is served; None until the first engine is up."""
    publish: Callable[[], None]
    """Has the routers see the registry's content soon; must not block."""
    events: EventBus
    waiting: Path
    """Where pushes wait that come before the first engine."""
    parcels: Parcels | None = None
    """Where other nodes find those too; None: nowhere."""
    rollout: Rollout = field(init=False)
    reconciler: Reconciler = field(init=False)
    evidence: Evidence = field(init=False)
    ladder: Ladder = field(init=False)
    watcher: Watcher = field(init=False)

    def __post_init__(self) -> None:
        config, registry, events = self.config, self.registry, self.events
        waiting = WaitingRoom(self.waiting, config.push.waiting, self.parcels)
        rollout = self.rollout = Rollout(
            PathParts(registry, self.store, self.fleet, self.base, config, self.publish, events),
            waiting,
        )
        self.reconciler = Reconciler(
            registry, self.store, self.fleet, rollout, self.base, config.rollout, events
        )
        self.evidence = Evidence()
        self.ladder = Ladder(registry, rollout, self.evidence, config.ladder, events)
        taking = self.waiting.with_name("taking")
        self.watcher = Watcher(rollout, registry, config, events, scratch=taking)

    def means_otherwise(self, alias: str) -> str | None:
        """Why a name cannot be an alias, though it looks like one; None: it can."""
        base = self.base()
        taken = self.config.preflight.taken_names
        return means_otherwise(alias, taken, base.base_id if base is not None else None)
