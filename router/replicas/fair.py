"""Fairness ahead of the engine: weighted fair queueing over adapters, per replica.

vLLM serves first come, first served, and lets requests of resident adapters overtake; one busy
adapter can starve the rest. Here each replica admits a bounded number of requests and of distinct
adapters; what waits is ordered by virtual finish times (start-time fair queueing, Goyal et al.,
1996), and a request that has waited long enough is not overtaken any more.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from router.config.fairness import FairnessConfig
from router.config.priority import Priority, PriorityConfig
from router.errors import Overloaded


@dataclass(frozen=True)
class FairLimits:
    """Bounds for one replica, as one router applies them."""

    max_in_flight: int = 256
    max_adapters: int = 4
    """Distinct adapters under way; the engine's ``max_loras`` fits one batch."""
    max_queued: int = 1024
    patience_s: float = 0.25
    """After so long a waiting request is not overtaken by later ones."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Share of an alias against others; 1 unless named."""
    priority: PriorityConfig = field(default_factory=PriorityConfig)


@dataclass(order=True)
class _Waiter:
    finish: float
    number: int
    name: str = field(compare=False)
    weight: float = field(compare=False)
    since: float = field(compare=False)
    turn: asyncio.Future[None] = field(compare=False)


class FairQueue:
    """Admission to one replica. Belongs to one event loop; bounded (law 9)."""

    def __init__(
        self, base: str, limits: FairLimits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._base = base
        self._limits = limits
        self._clock = clock
        self._running: Counter[str] = Counter()
        self._total = 0
        self._waiting: list[_Waiter] = []
        self._finish: dict[tuple[str, Priority], float] = {}
        self._virtual = 0.0
        self._numbers = itertools.count()

    @property
    def depth(self) -> int:
        """Requests under way and waiting."""
        return self._total + len(self._waiting)

    @property
    def queued(self) -> int:
        """Requests waiting."""
        return len(self._waiting)

    async def acquire(self, name: str, priority: Priority = Priority.INTERACTIVE) -> None:
        """Wait for a place for one request of an engine name. Raises ``Overloaded`` when full."""
        if not self._waiting and self._fits(name):
            self._enter(name)
            return
        if len(self._waiting) >= self._limits.max_queued * self._limits.priority.room[priority]:
            raise Overloaded(
                f"{len(self._waiting)} requests wait for this replica, which is its limit.",
                retry_after_s=1.0,
            )
        waiter = self._enqueue(name, priority)
        self._dispatch()
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.cancelled():
                self._waiting = [other for other in self._waiting if other is not waiter]
                heapq.heapify(self._waiting)
                self._dispatch()  # it may have been the one that nobody might overtake
            else:
                self.release(name)  # its turn came as it left
            raise

    def release(self, name: str) -> None:
        """Give a place back."""
        self._total -= 1
        self._running[name] -= 1
        if not self._running[name]:
            del self._running[name]
        self._dispatch()

    def _enqueue(self, name: str, priority: Priority) -> _Waiter:
        # A class of an adapter is a flow of its own: its batch work must not hold its rest back.
        flow = (name, priority)
        weight = self._weight(name) * self._limits.priority.weights[priority]
        start = max(self._virtual, self._finish.get(flow, 0.0))
        finish = start + 1.0 / weight
        self._finish[flow] = finish
        waiter = _Waiter(
            finish,
            next(self._numbers),
            name,
            weight,
            self._clock(),
            asyncio.get_running_loop().create_future(),
        )
        heapq.heappush(self._waiting, waiter)
        return waiter

    def _weight(self, name: str) -> float:
        return self._limits.weights.get(name.partition("@")[0], 1.0)

    def _fits(self, name: str) -> bool:
        if self._total >= self._limits.max_in_flight:
            return False
        if name == self._base or name in self._running:
            return True
        adapters = len(self._running) - (self._base in self._running)
        return adapters < self._limits.max_adapters

    def _enter(self, name: str) -> None:
        self._total += 1
        self._running[name] += 1

    def _dispatch(self) -> None:
        """Let in who may go, in order; skip who does not fit unless somebody has lost patience."""
        if not self._waiting:
            return
        patient_since = self._clock() - self._limits.patience_s
        skipped: list[_Waiter] = []
        while self._waiting and self._total < self._limits.max_in_flight:
            waiter = heapq.heappop(self._waiting)
            if waiter.turn.cancelled():
                continue
            if self._fits(waiter.name):
                self._admit(waiter)
                continue
            skipped.append(waiter)
            if waiter.since <= patient_since:
                break
        for waiter in skipped:
            heapq.heappush(self._waiting, waiter)
        if not self._waiting:
            self._finish.clear()

    def _admit(self, waiter: _Waiter) -> None:
        self._virtual = max(self._virtual, waiter.finish - 1.0 / waiter.weight)
        self._enter(waiter.name)
        waiter.turn.set_result(None)


def fair_limits(
    config: FairnessConfig, max_loras: int, priority: PriorityConfig | None = None
) -> FairLimits:
    """Limits as configured; ``max_loras``: adapters that the engine fits into one batch."""
    return FairLimits(
        max_in_flight=config.max_in_flight_per_replica,
        max_adapters=config.max_adapters_per_replica or max_loras,
        max_queued=config.max_queued_per_replica,
        patience_s=config.patience_s,
        weights=config.weights,
        priority=priority or PriorityConfig(),
    )


class FairQueues:
    """One queue per replica; queues of replicas that left are dropped when they are empty."""

    def __init__(self, limits: FairLimits) -> None:
        self._limits = limits
        self._queues: dict[str, FairQueue] = {}

    def of(self, replica_id: str, base: str) -> FairQueue:
        """The replica's queue."""
        queue = self._queues.get(replica_id)
        if queue is None:
            queue = self._queues[replica_id] = FairQueue(base, self._limits)
        return queue

    def depth(self, replica_id: str) -> int:
        """Requests under way and waiting on a replica."""
        queue = self._queues.get(replica_id)
        return queue.depth if queue else 0

    def queued(self) -> int:
        """Requests waiting anywhere."""
        return sum(queue.queued for queue in self._queues.values())

    def keep(self, replica_ids: set[str]) -> None:
        """Forget replicas that left, once nobody uses their queue."""
        gone = [i for i, queue in self._queues.items() if i not in replica_ids and not queue.depth]
        for identity in gone:
            del self._queues[identity]
