"""Every replica holds what the registry says, and nothing else: at its birth and again and again.

The registry holds the desired set, the engines tell the true one; each pass repairs differences. It
takes the same locks as a publish, so the two never undo each other's work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from adapters.config import RolloutSettings
from adapters.errors import AdapterError, FleetError
from adapters.events import EventBus
from adapters.fleet import AdapterFiles, Fleet
from adapters.format.base_model import BaseFacts
from adapters.publish.loading import NO_CAPACITY
from adapters.publish.placement import place
from adapters.publish.rollout import Rollout
from adapters.registry import Registry, Snapshot, VersionBrief
from adapters.registry.lifecycle import IN_ENGINE, RESIDENT, State
from adapters.store.store import VersionStore

# What a full replica must hold first.
_COMING = frozenset({State.PREPARING, State.GATING, State.PREPARED})
_URGENCY = {State.LIVE: 0, State.CANARY: 1, State.SHADOW: 2, State.SUPERSEDED: 3}


@dataclass
class ReplicaReport:
    """One replica after a pass. Names are engine names."""

    held: frozenset[str] = frozenset()
    missing: list[str] = field(default_factory=list)
    """What it should hold and does not; the replica must not be sent requests for these."""
    cold: list[str] = field(default_factory=list)
    """What it has no room for now; other targets answer for these (law 3)."""
    loaded: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    error: str = ""
    """Why the replica could not be asked; empty when it could."""

    @property
    def converged(self) -> bool:
        """Whether the replica holds everything that it should."""
        return not self.error and not self.missing


def desired_for(
    snapshot: Snapshot,
    replica_id: str,
    replica_ids: Iterable[str],
    *,
    copies: int | None = None,
    base_digest: str | None = None,
) -> list[VersionBrief]:
    """The versions that a replica should hold, the most urgent first. Pure.

    Versions that were made for another base are nobody's.
    """
    everyone = {*replica_ids, replica_id}
    wanted = [
        version
        for version in snapshot.versions
        if version.state in RESIDENT
        and base_digest in {None, version.base}
        and replica_id in place(version.alias, everyone, copies)
    ]
    return sorted(wanted, key=lambda version: (_URGENCY[version.state], -version.left_epoch))


class Reconciler:
    """Repairs residency, pass by pass."""

    def __init__(
        self,
        registry: Registry,
        store: VersionStore,
        fleet: Fleet,
        rollout: Rollout,
        base: Callable[[], BaseFacts | None],
        settings: RolloutSettings,
        events: EventBus,
    ) -> None:
        self._registry = registry
        self._store = store
        self._fleet = fleet
        self._rollout = rollout
        self._base = base
        self._settings = settings
        self._events = events
        self._pass = asyncio.Lock()

    async def committed(self, replica_id: str) -> list[AdapterFiles]:
        """What a new replica must load, in this order, before it reports ready."""
        snapshot = await asyncio.to_thread(self._registry.snapshot)
        wanted = self._desired(snapshot, replica_id, self._fleet.replica_ids())
        return [self._store.files(version.alias, version.digest) for version in wanted]

    async def converge(self) -> dict[str, ReplicaReport]:
        """One pass over all live replicas; says by replica what was found and done."""
        async with self._pass:
            replicas = list(self._fleet.replica_ids())
            # Residency first: what is loaded after this look is not judged by it.
            reports = dict(
                zip(replicas, await asyncio.gather(*map(self._look, replicas)), strict=True)
            )
            snapshot = await asyncio.to_thread(self._registry.snapshot)
            self._rollout.heat.keep(version.name for version in snapshot.versions)
            self._rollout.retirer.begin_pass()
            await asyncio.gather(*(self._fill(replica, reports, snapshot) for replica in replicas))
            for replica in replicas:
                await self._clear(replica, reports, snapshot)
                await self._pin(replica, snapshot)
            if any(report.loaded or report.removed for report in reports.values()):
                self._rollout.ledger.show()
            await self._rollout.take_up()
            return reports

    def _desired(
        self, snapshot: Snapshot, replica: str, replicas: Iterable[str]
    ) -> list[VersionBrief]:
        base = self._base()
        wanted = desired_for(
            snapshot,
            replica,
            replicas,
            copies=self._settings.copies,
            base_digest=base.digest if base is not None else None,
        )
        if self._settings.capacity is None:
            return wanted
        # What was made cold for a publish under way must not be back in its place before it is.
        coming = sum(
            version.state in _COMING
            and replica in place(version.alias, replicas, self._settings.copies)
            for version in snapshot.versions
        )
        room = max(0, self._settings.capacity - coming)
        return sorted(wanted, key=self._deserves)[:room]

    def _deserves(self, version: VersionBrief) -> tuple[bool, bool, float]:
        """Order of claims on a full replica: pinned first, then whatever was used last."""
        return (
            version.state is State.SUPERSEDED,
            version.alias not in self._settings.pinned,
            -self._rollout.heat.last_used(version.name),
        )

    async def _look(self, replica: str) -> ReplicaReport:
        try:
            return ReplicaReport(held=await self._fleet.residency(replica))
        except FleetError as error:
            return ReplicaReport(error=str(error))

    async def _fill(
        self, replica: str, reports: dict[str, ReplicaReport], snapshot: Snapshot
    ) -> None:
        report = reports[replica]
        if report.error:
            return
        for version in self._desired(snapshot, replica, reports):
            if version.name in report.held:
                if not self._rollout.names.busy(version.name):
                    self._fleet.restore(replica, version.name)
                continue
            try:
                done = await self._load(replica, version)
            except AdapterError as error:
                if error.code == NO_CAPACITY:
                    report.cold.append(version.name)
                    continue
                report.missing.append(version.name)
                self._events.emit(
                    "converge-failed",
                    version.alias,
                    version.digest,
                    replica=replica,
                    error=str(error),
                )
            else:
                report.loaded += [version.name] if done else []

    async def _load(self, replica: str, version: VersionBrief) -> bool:
        names = self._rollout.names
        async with names.hold(version.name):
            # It may have been retired since the snapshot.
            now = await asyncio.to_thread(self._registry.version, version.alias, version.digest)
            if now.state not in RESIDENT:
                return False
            files = self._store.files(version.alias, version.digest)
            retirer = self._rollout.retirer
            await self._rollout.loader.load(replica, files, retirer.make_room_gently)
        self._events.emit("converged", version.alias, version.digest, replica=replica)
        return True

    async def _clear(
        self, replica: str, reports: dict[str, ReplicaReport], snapshot: Snapshot
    ) -> None:
        """Remove what no version accounts for, and copies that have moved to other replicas."""
        report = reports[replica]
        known = {version.name: version for version in snapshot.versions}
        for name in sorted(report.held):
            version = known.get(name)
            if version is not None and not self._moved_away(replica, version, reports):
                continue
            if await self._remove(replica, name, version):
                report.removed.append(name)

    def _moved_away(
        self, replica: str, version: VersionBrief, reports: dict[str, ReplicaReport]
    ) -> bool:
        """Whether the version is wanted on other replicas, and all of those hold it already."""
        homes = place(version.alias, reports, self._settings.copies)
        if version.state not in RESIDENT:
            return version.state not in IN_ENGINE
        return replica not in homes and all(
            version.name in reports[home].held or version.name in reports[home].loaded
            for home in homes
        )

    async def _pin(self, replica: str, snapshot: Snapshot) -> None:
        """Live versions of pinned aliases keep a slot wherever they are resident."""
        wanted = {
            version.name
            for version in snapshot.versions
            if version.state is State.LIVE and version.alias in self._settings.pinned
        } & self._fleet.held(replica)
        if wanted == self._fleet.pinned(replica):
            return
        try:
            await self._fleet.pin(replica, frozenset(wanted))
        except FleetError as error:
            self._events.emit("pin-failed", replica=replica, error=str(error))

    async def _remove(self, replica: str, name: str, version: VersionBrief | None) -> bool:
        """A copy that moved may be hot elsewhere: only its requests on this replica matter."""
        moved = version is not None and version.state in RESIDENT
        async with self._rollout.names.hold(name):
            if not moved and self._fleet.in_flight(name) > 0:
                return False
            if await self._is_wanted_now(name, version):
                return False
            if not await self._rollout.retirer.leave(replica, name):
                # Stays withheld: the next pass finds fewer requests on it.
                return False
            self._fleet.restore(replica, name)
        self._events.emit("residue-removed", replica=replica, name=name)
        return True

    async def _is_wanted_now(self, name: str, version: VersionBrief | None) -> bool:
        """Whether a publish has begun since the snapshot; a moved copy is wanted elsewhere only."""
        if version is not None and version.state in RESIDENT:
            return False
        alias, at, digest = name.partition("@")
        if not at:
            return False
        try:
            now = await asyncio.to_thread(self._registry.version, alias, digest)
        except AdapterError as error:
            return error.code not in {"unknown-alias", "unknown-version"}
        return now.state in IN_ENGINE
