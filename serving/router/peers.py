"""What one router asks of other processes: metrics and decision records."""

from __future__ import annotations

import asyncio
from typing import Any

from adapters.aliases import Peer
from router.audit.query import RecordQuery
from router.replicas.table import TableHolder
from serving.internal import paths
from serving.internal.client import Answer, InternalClient, Unanswered

_TIMEOUT_S = 5.0


class Peers:
    """The other processes, as the routing table names them."""

    def __init__(self, holder: TableHolder, own_id: str) -> None:
        self._holder = holder
        self._own_id = own_id
        self._client = InternalClient()

    async def newest(self, query: RecordQuery) -> list[dict[str, Any]]:
        """Newest decision records of the other routers."""
        answers = await self._ask_routers(f"{paths.DECISIONS}?{query.encoded()}")
        return [record for answer in answers for record in answer]

    async def find(self, decision_id: str) -> dict[str, Any] | None:
        """One decision record of another router."""
        answers = await self._ask_routers(paths.one(paths.DECISION, decision_id))
        return answers[0] if answers else None

    async def feedback(self, decision_id: str) -> list[dict[str, Any]]:
        """What was said of a decision to the other routers."""
        answers = await self._ask_routers(paths.one(paths.FEEDBACK_OF, decision_id))
        return [each for answer in answers for each in answer]

    async def judgements(self, limit: int, since_s: float) -> list[dict[str, Any]]:
        """The newest feedback that was given to the other routers."""
        answers = await self._ask_routers(f"{paths.FEEDBACK}?limit={limit}&since={since_s}")
        return [each for answer in answers for each in answer]

    async def keep(self, decision_id: str) -> None:
        """Have whichever of the other routers remembers it keep the exchange of a decision."""
        path = paths.one(paths.CAPTURE, decision_id)
        await asyncio.gather(*(self._answer(peer, path, "POST") for peer in self._others()))

    async def metrics(self) -> list[tuple[str, str]]:
        """(process, Prometheus text) of every other process that answers."""
        table = self._holder.current
        peers = [
            *self._others(),
            *(Peer(id=r.id, url=r.url, secret=r.secret) for r in table.replicas),
        ]
        if table.registry is not None:
            peers.append(table.registry)
        texts = await asyncio.gather(*(self._text(peer, paths.METRICS) for peer in peers))
        return [(p.id, text) for p, text in zip(peers, texts, strict=True) if text is not None]

    def _others(self) -> list[Peer]:
        return [peer for peer in self._holder.current.routers if peer.id != self._own_id]

    async def _ask_routers(self, path: str) -> list[Any]:
        answers = await asyncio.gather(*(self._json(peer, path) for peer in self._others()))
        return [answer for answer in answers if answer is not None]

    async def _json(self, peer: Peer, path: str) -> Any:
        answer = await self._answer(peer, path)
        return None if answer is None else answer.json()

    async def _text(self, peer: Peer, path: str) -> str | None:
        answer = await self._answer(peer, path)
        return None if answer is None else answer.body.decode("utf-8", "replace")

    async def _answer(self, peer: Peer, path: str, method: str = "GET") -> Answer | None:
        try:
            answer = await self._client.ask(peer, method, path, timeout_s=_TIMEOUT_S)
        except Unanswered:
            return None
        return answer if answer.status == 200 else None

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()
