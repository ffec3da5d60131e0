"""What one router asks of other processes: metrics and decision records."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import aiohttp

from adapters.aliases import Peer
from router.audit.query import RecordQuery
from router.replicas.table import TableHolder

_TIMEOUT = aiohttp.ClientTimeout(total=5.0)


class Peers:
    """The other processes, as the routing table names them."""

    def __init__(self, holder: TableHolder, own_id: str) -> None:
        self._holder = holder
        self._own_id = own_id
        self._session: aiohttp.ClientSession | None = None

    async def newest(self, query: RecordQuery) -> list[dict[str, Any]]:
        """Newest decision records of the other routers."""
        answers = await self._ask_routers(f"/internal/decisions?{query.encoded()}")
        return [record for answer in answers for record in answer]

    async def find(self, decision_id: str) -> dict[str, Any] | None:
        """One decision record of another router."""
        answers = await self._ask_routers(f"/internal/decisions/{quote(decision_id, safe='')}")
        return answers[0] if answers else None

    async def feedback(self, decision_id: str) -> list[dict[str, Any]]:
        """What was said of a decision to the other routers."""
        answers = await self._ask_routers(f"/internal/feedback/{quote(decision_id, safe='')}")
        return [each for answer in answers for each in answer]

    async def judgements(self, limit: int, since_s: float) -> list[dict[str, Any]]:
        """The newest feedback that was given to the other routers."""
        answers = await self._ask_routers(f"/internal/feedback?limit={limit}&since={since_s}")
        return [each for answer in answers for each in answer]

    async def metrics(self) -> list[tuple[str, str]]:
        """(process, Prometheus text) of every other process that answers."""
        table = self._holder.current
        peers = [
            *self._others(),
            *(Peer(id=r.id, url=r.url, secret=r.secret) for r in table.replicas),
        ]
        if table.registry is not None:
            peers.append(table.registry)
        texts = await asyncio.gather(*(self._text(peer, "/metrics") for peer in peers))
        return [(p.id, text) for p, text in zip(peers, texts, strict=True) if text is not None]

    def _others(self) -> list[Peer]:
        return [peer for peer in self._holder.current.routers if peer.id != self._own_id]

    async def _ask_routers(self, path: str) -> list[Any]:
        answers = await asyncio.gather(*(self._json(peer, path) for peer in self._others()))
        return [answer for answer in answers if answer is not None]

    async def _json(self, peer: Peer, path: str) -> Any:
        try:
            async with self._client().get(peer.url + path, headers=_bearer(peer)) as response:
                return await response.json() if response.status == 200 else None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return None

    async def _text(self, peer: Peer, path: str) -> str | None:
        try:
            async with self._client().get(peer.url + path, headers=_bearer(peer)) as response:
                return await response.text() if response.status == 200 else None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False)
        return self._session

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()


def _bearer(peer: Peer) -> dict[str, str]:
    return {"Authorization": f"Bearer {peer.secret}"}
