"""The logs of the routers' machines: each is asked for its own, and none is copied."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from adapters.aliases import Peer
from router.admin.audit import Page
from router.admin.holds import Terms
from serving.internal import paths
from serving.internal.client import InternalClient, Unanswered

_TIMEOUT_S = 10.0
_VERIFY_S = 1800.0


class RouterLogs:
    """What routers answer. ``routers``: those that are alive."""

    def __init__(self, routers: Callable[[], tuple[Peer, ...]]) -> None:
        self._routers = routers
        self._client = InternalClient()

    async def pages(self, query: str) -> tuple[list[Page], list[str]]:
        """Their pages for the same question, and who did not answer."""
        return await self._all(f"{paths.AUDIT}?{query}", _TIMEOUT_S)

    async def verdicts(self, known: str) -> tuple[list[dict[str, Any]], list[str]]:
        """What verifying them finds, and who did not answer; nothing of the log ``known``."""
        asked = f"{paths.AUDIT_VERIFY}?{urlencode({'known': known})}"
        found, silent = await self._all(asked, _VERIFY_S)
        return [each for each in found if each["name"] != known], silent

    async def proof(self, sequence: int, writer: str) -> dict[str, Any] | None:
        """Of a record of theirs."""
        path = paths.one(paths.AUDIT_PROOF, str(sequence)) + "/proof"
        found, _ = await self._all(f"{path}?{urlencode({'writer': writer})}", _TIMEOUT_S)
        return found[0] if found else None

    async def hold(self, terms: Terms) -> list[str]:
        """Have them keep the same; who did not answer."""
        return await self._tell("POST", paths.HOLDS, terms.model_dump())

    async def release(self, identity: str) -> list[str]:
        """Have them let go of it; who did not answer."""
        return await self._tell("DELETE", paths.one(paths.HOLD, identity), None)

    async def _tell(self, method: str, path: str, body: dict[str, Any] | None) -> list[str]:
        async def told(peer: Peer) -> bool:
            try:
                answer = await self._client.ask(peer, method, path, body, timeout_s=_TIMEOUT_S)
            except Unanswered:
                return False
            return answer.status == 204

        peers = self._routers()
        done = await asyncio.gather(*map(told, peers))
        return [peer.id for peer, is_done in zip(peers, done, strict=True) if not is_done]

    async def _all(self, path: str, timeout_s: float) -> tuple[list[dict[str, Any]], list[str]]:
        peers = self._routers()
        answers = await asyncio.gather(*(self._ask(peer, path, timeout_s) for peer in peers))
        found = [answer for answer in answers if answer is not None]
        silent = [p.id for p, answer in zip(peers, answers, strict=True) if answer is None]
        return found, silent

    async def _ask(self, peer: Peer, path: str, timeout_s: float) -> dict[str, Any] | None:
        try:
            answer = await self._client.ask(peer, "GET", path, timeout_s=timeout_s)
        except Unanswered:
            return None
        found = answer.json() if answer.status == 200 else None
        return found if isinstance(found, dict) else None

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()
