"""The routing table: built from what the registry holds and who is alive, handed to every router.

Of two tables a router takes the one with the higher revision. Revisions begin with the number of
the registry's claim, so that a successor's tables are newer than its predecessor's whatever any
clock says; and they exceed whatever a router was heard to apply, so that this also holds when the
database came back from a backup.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from adapters.aliases import Peer, RoutingTable
from adapters.errors import FleetError
from adapters.jobs.periodic import Every, JobStopped, PeriodicJobs
from adapters.publish.table import Capacity, build_table, with_cold, with_routes
from serving.registry.adapters import Adapters
from serving.registry.fleet import HttpFleet
from serving.registry.membership import Membership

_TABLES_PER_CLAIM = 1 << 32
_RETRY_S = 0.5


class Tables:
    """Makes tables when asked to. Belongs to the registry's event loop.

    Attributes:
        current: the newest table.
        intents: digest of the intents that were made of clusters; may block.
        difficulty: digest of the model of how hard requests are; may block.
    """

    def __init__(
        self,
        adapters: Adapters,
        fleet: HttpFleet,
        membership: Membership,
        jobs: PeriodicJobs,
        learns: Mapping[str, Iterable[str]],
    ) -> None:
        """``learns``: intents by the alias that learns them."""
        self._learns = learns
        self._registry = adapters.registry
        self._claim = adapters.registry.writing
        self._membership = membership
        self._fleet = fleet
        rollout = adapters.config.rollout
        self._room = (
            None if rollout.capacity is None else Capacity(rollout.capacity, rollout.copies)
        )
        self._highest = 0
        self._peer: Peer | None = None
        self._job = jobs.add("publish", self._make, Every(None, retry_s=_RETRY_S))
        self.current = RoutingTable()
        self.intents: Callable[[], str] = str
        self.difficulty: Callable[[], str] = str

    async def start(self, peer: Peer) -> None:
        """Make the first table. ``peer``: how routers reach the registry."""
        self._peer = peer
        await self._build()

    def publish(self) -> None:
        """Have the routers see the registry's present content; never blocks."""
        self._job.wake()

    async def refresh(self) -> int:
        """The same; returns the revision of the first table that shows the present state.

        Raises ``RegistryError``, ``FleetError`` when no table is made any more.
        """
        try:
            await self._job.run_now()
        except JobStopped as error:
            raise FleetError("this registry hands out no tables any more") from error
        return self.current.revision

    def lacks(self, revision: int) -> RoutingTable | None:
        """The table that a router with this revision must have; None when its own will do."""
        if revision > self._highest:
            # From a registry that this one's database does not know of: ours would be ignored.
            self._highest = revision
            self.publish()
            return None
        if revision == self.current.revision or not self._membership.settled:
            return None
        return self.current

    async def _make(self) -> None:
        await self._build()
        if self._membership.settled:
            self._fleet.publish(self.current)

    async def _build(self) -> None:
        snapshot = await asyncio.to_thread(self._registry.snapshot)
        self._claim.check(snapshot.writer)
        engines = self._membership.engines()
        base = self._membership.base()
        claimed = self._claim.writer or snapshot.writer
        self._highest = max(self._highest, claimed * _TABLES_PER_CLAIM) + 1
        table = build_table(
            with_routes(snapshot, self._learns),
            revision=self._highest,
            # A registry that was just restarted knows its base's name before an engine is up.
            base_id=base.base_id if base else snapshot.base_id,
            base_digest=base.digest if base else None,
            max_model_len=min((e.max_model_len for e in engines), default=None),
            replicas=self._fleet.shown(self._membership.replicas()),
            registry=self._peer,
            routers=self._membership.routers(),
        )
        made = await asyncio.to_thread(self.intents)
        hard = await asyncio.to_thread(self.difficulty)
        table = table.model_copy(update={"intents": made, "difficulty": hard})
        if base is not None:
            table = table.model_copy(update={"roles": base.roles})
        room = self._room
        self.current = table if room is None else with_cold(table, snapshot, room)
