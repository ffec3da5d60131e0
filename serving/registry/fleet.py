"""``adapters.fleet.Fleet`` over the internal HTTP surfaces of live engines and routers."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from adapters.aliases import Peer, Replica, RoutingTable, engine_name
from adapters.errors import (
    ConnectionBroke,
    FleetError,
    InUse,
    LoadFailed,
    ReplicaGone,
    Unreachable,
)
from adapters.fleet import AdapterFiles, LoadResult, ProbeResult, ProbeRound, Scores
from adapters.traffic import VersionTraffic, total
from serving.internal import paths
from serving.internal.client import InternalClient, Silence, Unanswered
from serving.internal.reports import RouterState
from serving.registry.broadcast import Broadcast
from serving.registry.membership import Membership

PROBE_PROMPTS = (
    "How do I return an item that I bought last week?",
    "Please summarise the following message in one line: the parcel arrived late and broken.",
    "1, 2, 3, 4, 5,",
    "The quick brown fox jumps over the lazy dog.",
)
_LOAD_TIMEOUT_S = 300.0
_ASK_TIMEOUT_S = 10.0
ROUTERS_POLL_S = 0.25
"""Age of in-flight counts at most, seconds; `rollout.drain_settle_s` must be longer."""


class HttpFleet:
    """The live engines and routers, addressed one by one.

    ``refresh`` has the routers see the present state, and returns the revision of the first table
    that shows it.
    """

    def __init__(self, membership: Membership, refresh: Callable[[], Awaitable[int]]) -> None:
        self._membership = membership
        self._refresh = refresh
        self._client = InternalClient()
        self._broadcast = Broadcast(self._put_table, membership.routers)
        self._withheld: set[tuple[str, str]] = set()
        self._quiet_base: dict[str, Scores] = {}
        self._background: set[asyncio.Future[int]] = set()

    def replica_ids(self) -> Sequence[str]:
        """Engines that report, ready or still converging."""
        return [report.peer.id for report in self._membership.engines()]

    def busy(self, replica_id: str) -> int:
        """Requests under way on one replica, by its last report."""
        report = self._membership.engine(replica_id)
        return report.in_flight if report is not None else 0

    async def load(self, replica_id: str, files: AdapterFiles) -> LoadResult:
        """Have one replica stage the files and add them. Raises ``FleetError``."""
        name = engine_name(files.alias, files.digest)
        body = {"alias": files.alias, "digest": files.digest}
        answer = await self._engine(replica_id, "PUT", _adapter(name), body, _LOAD_TIMEOUT_S)
        self._holds(replica_id, answer)
        with _understood(replica_id):
            return LoadResult(replica_id, answer["seconds"], answer["already_resident"])

    async def unload(self, replica_id: str, name: str) -> None:
        """Have one replica free an adapter.

        Raises ``InUse`` while a request runs on it, ``FleetError`` when it is still held.
        """
        self._holds(replica_id, await self._engine(replica_id, "DELETE", _adapter(name)))

    async def residency(self, replica_id: str) -> frozenset[str]:
        """What one replica's engine holds now."""
        answer = await self._engine(replica_id, "GET", paths.ADAPTERS)
        return self._holds(replica_id, answer)

    def held(self, replica_id: str) -> frozenset[str]:
        """What one replica's engine held when it last said so."""
        report = self._membership.engine(replica_id)
        return report.resident if report is not None else frozenset()

    async def pin(self, replica_id: str, names: frozenset[str]) -> None:
        """Have exactly these keep a slot. Raises ``FleetError``."""
        await self._engine(replica_id, "PUT", paths.PINS, {"names": sorted(names)})

    def pinned(self, replica_id: str) -> frozenset[str]:
        """What keeps a slot there, by the replica's last report."""
        report = self._membership.engine(replica_id)
        return report.pinned if report is not None else frozenset()

    def _holds(self, replica_id: str, answer: dict[str, Any]) -> frozenset[str]:
        with _understood(replica_id):
            resident = frozenset(answer["resident"])
            self._membership.set_resident(replica_id, resident, answer["answer"])
        return resident

    async def withhold(self, replica_id: str, name: str, timeout_s: float) -> bool:
        """Take one copy out of the table, and wait until no router chooses it any more."""
        self._withheld.add((replica_id, name))
        revision = await self._refresh()
        return await self._broadcast.agreed(lambda said: said.revision >= revision, timeout_s)

    def restore(self, replica_id: str, name: str) -> None:
        """Put a copy that was withheld back into the table."""
        if (replica_id, name) in self._withheld:
            self._withheld.discard((replica_id, name))
            shown = asyncio.ensure_future(self._refresh())
            self._background.add(shown)
            shown.add_done_callback(self._shown_again)

    def _shown_again(self, shown: asyncio.Future[int]) -> None:
        self._background.discard(shown)
        if not shown.cancelled():
            # A table that could not be made is tried again, and told, by the job that makes them.
            shown.exception()

    def shown(self, replicas: Iterable[Replica]) -> tuple[Replica, ...]:
        """The replicas as routers may see them: without copies that are about to leave."""
        replicas = tuple(replicas)
        alive = {replica.id for replica in replicas}
        self._withheld = {copy for copy in self._withheld if copy[0] in alive}
        return tuple(map(self._without_withheld, replicas))

    def _without_withheld(self, replica: Replica) -> Replica:
        hidden = {name for identity, name in self._withheld if identity == replica.id}
        if not hidden & replica.resident:
            return replica
        return replica.model_copy(update={"resident": replica.resident - hidden})

    async def probe(
        self, replica_id: str, name: str, golden_prompts: Sequence[str] = ()
    ) -> ProbeResult:
        """One round on one replica."""
        body = {"name": name, "prompts": list(PROBE_PROMPTS), "golden": list(golden_prompts)}
        said = await self._engine(replica_id, "POST", paths.PROBE, body, _LOAD_TIMEOUT_S)
        with _understood(replica_id):
            scores = {key: _scores(said[key]) for key in ("adapter", "base", "golden")}
            one = ProbeRound(**scores, quiet=said["quiet"] is True)
            for ours, theirs in zip(one.adapter, one.base, strict=True):
                if len(ours) != len(theirs):
                    raise ValueError(f"{len(ours)} and {len(theirs)} scores of one prompt")
        if one.quiet:
            self._remember(replica_id, one.base)
        return ProbeResult(replica_id, (one,), self._quiet_base.get(replica_id))

    def _remember(self, replica_id: str, base: Scores) -> None:
        alive = set(self.replica_ids())
        self._quiet_base = {each: it for each, it in self._quiet_base.items() if each in alive}
        # One bad moment of an engine must not condemn every later version.
        if all(math.isfinite(score) for row in base for score in row):
            self._quiet_base[replica_id] = base

    def publish(self, table: RoutingTable) -> None:
        """Begin to hand a new table to every live router; never blocks."""
        self._broadcast.send(table)

    async def routers_applied(self, epoch: int, timeout_s: float) -> bool:
        """Wait until every live router applies a table of at least this epoch."""
        return await self._broadcast.agreed(lambda said: said.epoch >= epoch, timeout_s)

    async def routers_hold(self, policy: str, timeout_s: float) -> bool:
        """Wait until every live router uses these rules; False when one is late."""
        return await self._broadcast.agreed(lambda said: said.policy == policy, timeout_s)

    def differences(self) -> list[dict[str, Any]]:
        """What each live router said last of the rules in the shadow."""
        return [state.policy_differences for state in self._broadcast.states().values()]

    def reviews(self) -> list[dict[str, Any]]:
        """What each live router said last of reviews that rules want."""
        return [state.reviews for state in self._broadcast.states().values()]

    def decisions(self) -> list[dict[str, Any]]:
        """What each live router said last of its newest decisions."""
        return [state.decisions for state in self._broadcast.states().values()]

    def in_flight(self, name: str) -> int:
        """Requests under way on an engine name, as the routers last said."""
        return sum(s.in_flight.get(name, 0) for s in self._broadcast.states().values())

    async def ask_routers(self) -> None:
        """Refresh what is known of every live router; a silent one keeps its last word."""
        await asyncio.gather(*map(self._ask_router, self._membership.routers()))

    def traffic(self) -> dict[str, dict[str, VersionTraffic]]:
        """What each live router has counted since it began, by router and engine name."""
        return {router: state.traffic for router, state in self._broadcast.states().items()}

    def counted(self, name: str) -> VersionTraffic:
        """What live routers counted of one version."""
        return total(
            state.traffic[name]
            for state in self._broadcast.states().values()
            if name in state.traffic
        )

    async def _ask_router(self, router: Peer) -> None:
        with contextlib.suppress(FleetError):
            said = await self._ask(router, "GET", paths.STATE)
            await self._broadcast.hear(router, _state(router, said))

    async def _put_table(self, router: Peer, payload: bytes) -> RouterState:
        return _state(router, await self._ask(router, "PUT", paths.TABLE, payload))

    async def _engine(
        self,
        replica_id: str,
        method: str,
        path: str,
        body: Any = None,
        timeout_s: float = _ASK_TIMEOUT_S,
    ) -> dict[str, Any]:
        report = self._membership.engine(replica_id)
        if report is None:
            raise ReplicaGone(f"replica {replica_id} is gone")
        return await self._ask(report.peer, method, path, body, timeout_s)

    async def _ask(
        self,
        peer: Peer,
        method: str,
        path: str,
        body: Any = None,
        timeout_s: float = _ASK_TIMEOUT_S,
    ) -> dict[str, Any]:
        try:
            response = await self._client.ask(peer, method, path, body, timeout_s=timeout_s)
        except Unanswered as error:
            raise _SILENCE[error.silence](str(error)) from error
        answer = response.json()
        if not isinstance(answer, dict):
            raise FleetError(
                f"{peer.id}: {method} {path}: status {response.status}, no JSON object"
            )
        if response.status != 200:
            said = answer.get("error", {})
            message = f"{peer.id}: {said.get('message', f'status {response.status}')}"
            raise _SAID.get(said.get("code", ""), FleetError)(message)
        return answer

    async def end_tables(self) -> None:
        """No table is made any more: who waits for one to be applied is told that it is not."""
        await self._broadcast.end()

    async def aclose(self) -> None:
        """Stop publishing and close every connection."""
        await self._broadcast.aclose()
        for shown in self._background:
            shown.cancel()
        await self._client.aclose()


_SILENCE: Mapping[Silence, type[FleetError]] = {
    Silence.UNREACHABLE: Unreachable,
    Silence.BROKE: ConnectionBroke,
    Silence.SENSELESS: FleetError,
}
_SAID: dict[str, type[FleetError]] = {paths.REFUSED: LoadFailed, paths.IN_USE: InUse}


@contextlib.contextmanager
def _understood(who: str) -> Iterator[None]:
    """One process of another release must not end the work on all others."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise FleetError(f"{who}: its answer makes no sense: {error!r}") from error


def _scores(said: Any) -> list[list[float]]:
    """What an engine computed; JSON has no NaN, so it writes null."""
    return [[math.nan if score is None else float(score) for score in row] for row in said]


def _state(router: Peer, said: dict[str, Any]) -> RouterState:
    with _understood(router.id):
        return RouterState.model_validate(said)


def _adapter(name: str) -> str:
    return paths.one(paths.ADAPTER, name)
