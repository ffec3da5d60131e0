"""``adapters.fleet.Fleet`` over the internal HTTP surfaces of live engines and routers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import aiohttp

from adapters.aliases import Peer, RoutingTable, engine_name
from adapters.errors import FleetError, LoadFailed, ReplicaGone
from adapters.fleet import AdapterFiles, LoadResult, ProbeResult
from adapters.traffic import VersionTraffic
from serving.engine.surface import REFUSED
from serving.registry.membership import Membership
from serving.reports import RouterState

PROBE_PROMPTS = (
    "How do I return an item that I bought last week?",
    "Please summarise the following message in one line: the parcel arrived late and broken.",
    "1, 2, 3, 4, 5,",
    "The quick brown fox jumps over the lazy dog.",
)
_LOAD_TIMEOUT_S = 300.0
_ASK_TIMEOUT_S = 10.0
_POLL_S = 0.01
ROUTERS_POLL_S = 0.25
"""Age of in-flight counts at most, seconds; `rollout.drain_settle_s` must be longer."""


class HttpFleet:
    """The live engines and routers, addressed one by one."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._session: aiohttp.ClientSession | None = None
        self._states: dict[str, RouterState] = {}

    def replica_ids(self) -> Sequence[str]:
        """Engines that report, ready or still converging."""
        return [report.peer.id for report in self._membership.engines()]

    async def load(self, replica_id: str, files: AdapterFiles) -> LoadResult:
        """Have one replica stage the files and add them. Raises ``FleetError``."""
        name = engine_name(files.alias, files.digest)
        body = {"alias": files.alias, "digest": files.digest}
        answer = await self._engine(replica_id, "PUT", _adapter(name), body, _LOAD_TIMEOUT_S)
        await self.residency(replica_id)
        return LoadResult(replica_id, answer["seconds"], answer["already_resident"])

    async def unload(self, replica_id: str, name: str) -> None:
        """Have one replica free an adapter. Raises ``FleetError`` when it still holds it."""
        await self._engine(replica_id, "DELETE", _adapter(name))
        await self.residency(replica_id)

    async def residency(self, replica_id: str) -> frozenset[str]:
        """What one replica's engine holds now."""
        answer = await self._engine(replica_id, "GET", "/internal/adapters")
        resident = frozenset(answer["resident"])
        self._membership.set_resident(replica_id, resident)
        return resident

    async def probe(
        self, replica_id: str, name: str, golden_prompts: Sequence[str] = ()
    ) -> ProbeResult:
        """Score prompts with the adapter and with the base on one replica."""
        scored, base, golden = await asyncio.gather(
            self._score(replica_id, name, PROBE_PROMPTS),
            self._score(replica_id, None, PROBE_PROMPTS),
            self._score(replica_id, name, golden_prompts),
        )
        deltas = [
            abs(with_adapter - without)
            for ours, theirs in zip(scored, base, strict=True)
            for with_adapter, without in zip(ours, theirs, strict=True)
        ]
        # `max` over NaN depends on the order: a single one must be the verdict.
        worst = math.nan if any(map(math.isnan, deltas)) else max(deltas, default=0.0)
        return ProbeResult(replica_id, worst, golden)

    async def _score(
        self, replica_id: str, name: str | None, prompts: Sequence[str]
    ) -> list[list[float]]:
        if not prompts:
            return []
        body = {"name": name, "prompts": list(prompts)}
        answer = await self._engine(replica_id, "POST", "/internal/probe", body, _LOAD_TIMEOUT_S)
        return [[math.nan if x is None else x for x in row] for row in answer["logprobs"]]

    async def publish(self, table: RoutingTable) -> None:
        """Hand a new table to every live router; who misses it asks at its next report."""
        payload = table.model_dump(mode="json")
        await asyncio.gather(
            *(
                self._ask(router, "PUT", "/internal/table", payload)
                for router in self._membership.routers()
            ),
            return_exceptions=True,
        )

    async def routers_applied(self, epoch: int, timeout_s: float) -> bool:
        """Wait until every live router applies a table of at least this epoch."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    await self.ask_routers()
                    if all(state.epoch >= epoch for state in self._states.values()):
                        return True
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            return False

    def in_flight(self, name: str) -> int:
        """Requests under way on an engine name, as the routers last said."""
        return sum(state.in_flight.get(name, 0) for state in self._states.values())

    async def ask_routers(self) -> None:
        """Refresh what is known of every live router; a silent one keeps its last word."""
        routers = self._membership.routers()
        answers = await asyncio.gather(*map(self._router_state, routers))
        self._states = {
            router.id: answer or self._states.get(router.id) or RouterState(revision=-1, epoch=-1)
            for router, answer in zip(routers, answers, strict=True)
        }

    def traffic(self) -> dict[str, dict[str, VersionTraffic]]:
        """What each live router has counted since it began, by router and engine name."""
        return {router: state.traffic for router, state in self._states.items()}

    async def _router_state(self, router: Peer) -> RouterState | None:
        try:
            return RouterState.model_validate(await self._ask(router, "GET", "/internal/state"))
        except FleetError:
            return None

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
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False)
        try:
            async with self._session.request(
                method,
                peer.url + path,
                json=body,
                headers={"Authorization": f"Bearer {peer.secret}"},
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as response:
                answer: dict[str, Any] = await response.json(content_type=None)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise FleetError(
                f"{peer.id}: {method} {path}: {str(error) or type(error).__name__}"
            ) from error
        if response.status != 200:
            said = (answer or {}).get("error", {})
            message = f"{peer.id}: {said.get('message', f'status {response.status}')}"
            raise LoadFailed(message) if said.get("code") == REFUSED else FleetError(message)
        return answer

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()


def _adapter(name: str) -> str:
    return f"/internal/adapters/{quote(name, safe='')}"
