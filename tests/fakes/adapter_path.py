"""The adapter path on fakes: a real registry, a real store, a fake fleet; crash and come back."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from adapters.aliases import Replica, RoutingTable
from adapters.config import AdaptersConfig, CollectSettings, PushSettings, RolloutSettings
from adapters.events import EventBus
from adapters.format.base_model import BaseFacts
from adapters.format.manifest import digest_directory
from adapters.publish.gating import Gate
from adapters.publish.outcome import Outcome
from adapters.publish.table import build_table
from adapters.registry import Registry, database
from adapters.registry.transaction import Transaction
from adapters.store.local import LocalStore
from adapters.store.parcels import Parcels
from serving.registry.adapters import Adapters
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
PUSHES = PushSettings(first_engine_s=0.05, wait_timeout_s=5.0)


class Killed(BaseException):
    """The process died: nothing may catch this."""


@dataclass
class Fate:
    """Counts the steps that the outside world can see, and dies at a chosen one."""

    dies_at: int | None = None
    steps: int = 0

    def step(self, *_: object) -> None:
        """One more step; the last one if it is the chosen one."""
        self.steps += 1
        if self.steps == self.dies_at:
            raise Killed(f"at step {self.steps}")


class MortalRegistry(Registry):
    """A registry whose process may die just before or just after each of its commits."""

    fate: Fate | None = None

    @contextmanager
    def _write(self, by: str) -> Iterator[Transaction]:
        with super()._write(by) as tx:
            yield tx
            if self.fate is not None:
                self.fate.step()
        if self.fate is not None:
            self.fate.step()


def quick_database(path: Path) -> Engine:
    """A migrated SQLite database that does not wait for the disk."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_migrated())
    engine = database.connect(f"sqlite:///{path}")
    event.listen(engine, "connect", _without_sync)
    return engine


def _without_sync(connection: Any, _: object) -> None:
    connection.execute("PRAGMA synchronous = OFF")


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "registry.db"
        Registry.open(f"sqlite:///{path}").close()
        return path.read_bytes()


@dataclass
class AdapterPath:
    """Everything that one registry process has, and what survives its death."""

    root: Path
    fleet: FakeFleet
    settings: RolloutSettings = FAST
    base: BaseFacts | None = BASE
    tables: list[RoutingTable] = field(default_factory=list)
    fate: Fate | None = None
    database_url: str | None = None
    """Of a migrated database; None: a quick one below ``root``."""
    keep_s: float = CollectSettings().keep_s or 0.0
    """How long the store keeps the files of what nobody serves, seconds."""
    gate: Gate | None = None
    """What versions have to pass, in each life; None: nothing."""
    parcels: Callable[[Path], Parcels] | None = None
    """Where other nodes find what waits, given where it lies here; None: nowhere."""

    def __post_init__(self) -> None:
        self.config = AdaptersConfig(
            rollout=self.settings,
            push=PUSHES,
            store=str(self.root / "watched"),
            collect=CollectSettings(keep_s=self.keep_s),
        )
        self.store = LocalStore(self.root / "store")
        self.start()

    def start(self) -> None:
        """A fresh process over what is on the disk."""
        self.registry = MortalRegistry(self._database())
        self.events = EventBus()
        parts = Adapters(
            self.config,
            self.registry,
            self.store,
            self.fleet,
            lambda: self.base,
            self.publish,
            self.events,
            self.root / "waiting",
            None if self.parcels is None else self.parcels(self.root / "waiting"),
        )
        self.rollout, self.reconciler, self.ladder = parts.rollout, parts.reconciler, parts.ladder
        self.registry.fate = self.fate
        if self.gate is not None:
            self.rollout.gate = self.gate

    def _database(self) -> Engine:
        if self.database_url is not None:
            return database.connect(self.database_url)
        return quick_database(self.root / "registry.db")

    def fork(self, other: AdapterPath) -> AdapterPath:
        """Make ``other`` continue from our state; we must be closed, and the store is shared."""
        other.registry.close()
        (other.root / "registry.db").write_bytes((self.root / "registry.db").read_bytes())
        other.store = self.store
        for replica, engine in self.fleet.engines.items():
            other.fleet.join(replica)
            other.fleet.holding(replica).update(engine.resident)
        other.start()
        return other

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
            Replica(id=name, url="", secret="", resident=self._shown(name))
            for name in self.fleet.engines
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

    def _shown(self, replica: str) -> frozenset[str]:
        hidden = {name for where, name in self.fleet.withheld if where == replica}
        return self.fleet.held(replica) - hidden

    @property
    def table(self) -> RoutingTable:
        """What the routers see now."""
        return self.tables[-1]

    def adapter(self, seed: int) -> Path:
        """A private PEFT directory whose content depends on ``seed``."""
        directory = self.root / "pushed" / str(seed)
        return directory if directory.is_dir() else tiny_adapter(directory, seed)

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
        await asyncio.wait_for(self.rollout.idle(), 60)
