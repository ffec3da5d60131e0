"""Putting versions into engines and taking them out: one add at a time per replica, few at once.

Knows residency, capacity and retries; knows nothing of aliases' meaning or of the registry.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    Awaitable,
    Callable,
    Container,
    Coroutine,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import contextmanager
from typing import Any, TypeVar

from adapters.aliases import engine_name
from adapters.config import RolloutSettings
from adapters.errors import (
    FleetError,
    InUse,
    LoadFailed,
    QuorumNotReached,
    ReplicaGone,
    Unreachable,
    Withdrawn,
)
from adapters.events import EventBus
from adapters.fleet import AdapterFiles, Fleet, LoadResult, ProbeResult
from adapters.jobs.locks import KeyedLocks
from adapters.publish.placement import place

_T = TypeVar("_T")
MakeRoom = Callable[[str], Awaitable[bool]]
"""Asks for one place on a replica; answers whether something left."""
NO_CAPACITY = "no-capacity"
"""Error code: the replica is full and nothing may leave it."""
_RETRY_S = 0.2
_WAIT_FOR_REPLICAS_S = 0.1


async def together(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all and wait for each to end; raises the first error that one of them ended with."""
    for ended in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended


class Loader:
    """Loads and unloads. Rollout and reconcile share one, so that adds never overlap."""

    def __init__(self, fleet: Fleet, settings: RolloutSettings, events: EventBus) -> None:
        self._fleet = fleet
        self._settings = settings
        self._events = events
        self._engines = KeyedLocks()
        self._coming: dict[str, Callable[[], None]] = {}
        """Versions on their way into service, by engine name, and what ends their test."""
        self._called_off: set[str] = set()

    def homes(self, alias: str) -> tuple[str, ...]:
        """The live replicas that should hold the alias."""
        return place(alias, self._fleet.replica_ids(), self._settings.copies)

    @contextmanager
    def coming(self, name: str, stop: Callable[[], None]) -> Iterator[None]:
        """The block brings a version into service; hold its name's lock.

        Once it is called off, ``stop`` is called and no load or probe of it begins any more.
        """
        self._coming[name] = stop
        try:
            yield
        finally:
            del self._coming[name]
            self._called_off.discard(name)

    def call_off(self, name: str) -> None:
        """Nobody wants a version any more that may be on its way."""
        if name in self._coming:
            self._called_off.add(name)
            self._coming[name]()

    def require_wanted(self, name: str) -> None:
        """Raises ``Withdrawn`` for a version that was called off."""
        if name in self._called_off:
            raise Withdrawn(f"{name} was taken out of service meanwhile")

    async def wait_for_homes(self, alias: str, name: str) -> tuple[str, ...]:
        """The alias's homes, waiting for a first replica to appear. Raises ``Withdrawn``."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._settings.replicas_timeout_s
        while not (homes := self.homes(alias)):
            self.require_wanted(name)
            if clock() >= deadline:
                raise QuorumNotReached("no engine replica is alive", code="no-replicas")
            await asyncio.sleep(_WAIT_FOR_REPLICAS_S)
        return homes

    async def load_all(self, files: AdapterFiles, make_room: MakeRoom) -> float:
        """Load on every home that does not hold it; returns the slowest load in seconds.

        Raises ``QuorumNotReached`` when too few took it, ``LoadFailed`` when an engine refused it:
        then no further replica is asked to.
        """
        held: dict[str, LoadResult] = {}
        failed: dict[str, FleetError] = {}
        # Homes are asked for again each time: replicas come and go while others load.
        while todo := [r for r in self.homes(files.alias) if r not in held and r not in failed]:
            await self._load_on(todo, files, make_room, held, failed)
            for error in failed.values():
                if isinstance(error, LoadFailed):
                    raise error
            await self.settle(failed)
        self._require_quorum(files, held, failed)
        return max((result.seconds for result in held.values()), default=0.0)

    async def _load_on(
        self,
        replicas: Sequence[str],
        files: AdapterFiles,
        make_room: MakeRoom,
        held: dict[str, LoadResult],
        failed: dict[str, FleetError],
    ) -> None:
        waiting = list(reversed(replicas))

        async def work() -> None:
            while waiting and not any(isinstance(e, LoadFailed) for e in failed.values()):
                replica = waiting.pop()
                try:
                    result = await self._load_unless_held(replica, files, make_room)
                except FleetError as error:
                    failed[replica] = error
                    continue
                held[replica] = result
                if waiting and not result.already_resident:
                    await asyncio.sleep(self._settings.stagger_s)

        quarter = max(1, len(self.homes(files.alias)) // 4)
        await together(work() for _ in range(min(self._settings.loads_at_once, quarter)))

    async def settle(self, failed: dict[str, FleetError]) -> bool:
        """Who did not answer is dead, and then no home, or answers, and then may be tried again.

        Waits until that is clear and takes the latter out of ``failed``. False when nobody was
        silent.
        """
        silent = [r for r, error in failed.items() if isinstance(error, Unreachable)]
        answers = await asyncio.gather(*map(self.is_back, silent))
        for replica, back in zip(silent, answers, strict=True):
            # Once: a second silence is its answer.
            failed[replica] = FleetError(str(failed[replica]))
            if back:
                del failed[replica]
        return bool(silent)

    async def is_back(self, replica: str) -> bool:
        """Wait until a silent replica answers (True), or has left the fleet or stays silent."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._settings.unreachable_timeout_s
        while replica in self._fleet.replica_ids():
            try:
                await self._fleet.residency(replica)
                return True
            except FleetError:
                if clock() >= deadline:
                    return False
            await asyncio.sleep(_RETRY_S)
        return False

    async def _load_unless_held(
        self, replica: str, files: AdapterFiles, make_room: MakeRoom
    ) -> LoadResult:
        if engine_name(files.alias, files.digest) in self._fleet.held(replica):
            return LoadResult(replica, 0.0, already_resident=True)
        return await self.load(replica, files, make_room)

    async def load(self, replica: str, files: AdapterFiles, make_room: MakeRoom) -> LoadResult:
        """Load on one replica, trying again when the reason may pass.

        Raises ``FleetError``, ``Withdrawn``.
        """
        attempt = 1
        while True:
            try:
                return await self._load_once(replica, files, make_room)
            except FleetError as error:
                hopeless = isinstance(error, ReplicaGone) or not error.retryable
                if hopeless or attempt >= self._settings.load_attempts:
                    raise
                self._report("load-retried", files, replica, error)
            await asyncio.sleep(_RETRY_S * attempt)
            attempt += 1

    async def _load_once(
        self, replica: str, files: AdapterFiles, make_room: MakeRoom
    ) -> LoadResult:
        while True:
            async with self._engines.hold(replica):
                self.require_wanted(engine_name(files.alias, files.digest))
                if self._has_room(replica, files):
                    return await self._timed(self._fleet.load(replica, files), f"load on {replica}")
            # Outside the lock: making room unloads something, also from this replica.
            if not await make_room(replica):
                raise QuorumNotReached(
                    f"{replica} is full: it may hold {self._settings.capacity} versions",
                    code=NO_CAPACITY,
                    remedy="Retire an adapter, or raise max_cpu_loras and rollout.capacity.",
                )

    async def probe(
        self, replica: str, name: str, golden_prompts: Sequence[str] = ()
    ) -> ProbeResult:
        """Probe on one replica. Raises ``FleetError``, ``Withdrawn``."""
        self.require_wanted(name)
        work = self._fleet.probe(replica, name, golden_prompts)
        return await self._timed(work, f"probe on {replica}")

    def missing(self, alias: str, name: str) -> list[str]:
        """Homes that do not hold the version, as they said last: a flip waits for no engine."""
        return [replica for replica in self.homes(alias) if name not in self._fleet.held(replica)]

    async def unload_all(self, name: str, replicas: Iterable[str] | None = None) -> bool:
        """Unload everywhere, or on ``replicas``, and verify; False when one may still hold it."""
        waiting = list(self._fleet.replica_ids() if replicas is None else replicas)
        left: list[bool] = []

        async def work() -> None:
            while waiting:
                left.append(await self.unload(waiting.pop(), name))

        await together(work() for _ in range(self._settings.loads_at_once))
        return all(left)

    async def unload(self, replica: str, name: str) -> bool:
        """Unload from one replica and verify; False when it may still hold the version."""
        async with self._engines.hold(replica):
            try:
                await self._timed(self._fleet.unload(replica, name), f"unload on {replica}")
                return name not in self._fleet.held(replica)
            except ReplicaGone:
                return True
            except InUse:
                return False
            except FleetError as error:
                self._events.emit("unload-failed", replica=replica, name=name, error=str(error))
                return replica not in self._fleet.replica_ids()

    def _has_room(self, replica: str, files: AdapterFiles) -> bool:
        if self._settings.capacity is None:
            return True
        # Beyond its capacity vLLM evicts by itself, and later reads the disk inside a step.
        # What it said last is what it holds: nobody else loads, and a question costs it a step.
        held = self._fleet.held(replica)
        name = engine_name(files.alias, files.digest)
        return name in held or len(held) < self._settings.capacity

    async def _timed(self, work: Awaitable[_T], what: str) -> _T:
        try:
            async with asyncio.timeout(self._settings.load_timeout_s):
                return await work
        except TimeoutError as error:
            raise FleetError(
                f"{what} took longer than {self._settings.load_timeout_s:g} s", code="load-timeout"
            ) from error

    def _require_quorum(
        self, files: AdapterFiles, held: Container[str], failed: dict[str, FleetError]
    ) -> None:
        homes = self.homes(files.alias)
        holding = [replica for replica in homes if replica in held]
        short = {replica: str(failed[replica]) for replica in homes if replica in failed}
        if not holding or len(holding) < self._settings.quorum * len(homes):
            reasons = "; ".join(f"{replica}: {why}" for replica, why in short.items())
            raise QuorumNotReached(
                f"{len(holding)} of {len(homes)} replicas hold it: {reasons or 'none is alive'}"
            )
        if short:
            self._events.emit("prepared-in-part", files.alias, files.digest, missing=short)

    def _report(self, kind: str, files: AdapterFiles, replica: str, error: Exception) -> None:
        self._events.emit(kind, files.alias, files.digest, replica=replica, error=str(error))
