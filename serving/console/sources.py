"""What the console shows, from where it is kept: the registry's books, and the routers' records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from adapters.aliases import Peer
from router.audit.lookup import Records
from router.errors import Overloaded
from serving.internal.client import InternalClient, Unanswered

_WAIT_S = 5.0
_USAGE = "/admin/v1/usage"
_DRIFT = "/admin/v1/drift"
_ROWS = 1000


class Sources:
    """Reads; changes nothing.

    Args:
        records: decisions of all routers.
        registry: where the registry is; None while it starts.
        client: for the registry.
    """

    def __init__(
        self, records: Records, registry: Callable[[], Peer | None], client: InternalClient
    ) -> None:
        self._records = records
        self._registry = registry
        self._client = client

    async def usage(self, by: str, since: float, tenant: str = "") -> list[dict[str, Any]]:
        """Rows of usage since a moment, at most a thousand. Raises ``Overloaded``."""
        asked = {"by": by, "since": f"{since:.0f}", "limit": str(_ROWS)}
        if tenant:
            asked["tenant"] = tenant
        found: list[dict[str, Any]] = (await self._ask(f"{_USAGE}?{urlencode(asked)}"))["data"]
        return found

    async def drift(self) -> list[dict[str, Any]]:
        """What is unlike the week before, by signal. Raises ``Overloaded``."""
        found: list[dict[str, Any]] = (await self._ask(_DRIFT))["data"]
        return found

    async def decisions(self, **asked: str) -> list[dict[str, Any]]:
        """Newest first, as ``GET /admin/v1/decisions`` is asked. Raises ``InvalidRequest``."""
        return await self._records.newest(urlencode({n: v for n, v in asked.items() if v}))

    async def decision(self, identity: str) -> dict[str, Any]:
        """One record with its feedback. Raises ``NotFound``."""
        return await self._records.find(identity)

    async def _ask(self, path: str) -> dict[str, Any]:
        registry = self._registry()
        if registry is None:
            raise Overloaded("The registry is starting; try again shortly.", retry_after_s=1.0)
        try:
            answer = await self._client.ask(registry, "GET", path, timeout_s=_WAIT_S)
        except Unanswered as error:
            raise Overloaded(
                "The registry does not answer; try again shortly.", retry_after_s=1.0
            ) from error
        found = answer.json()
        if answer.status != 200 or not isinstance(found, dict):
            raise Overloaded("The registry has no answer now.", retry_after_s=1.0)
        return found
