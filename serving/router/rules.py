"""The rules file as a router gets it: from the registry, wherever the routing table has it."""

from __future__ import annotations

from router.replicas.table import TableHolder
from serving.internal.client import InternalClient
from serving.internal.paths import POLICY, one

_TIMEOUT_S = 10.0


class RegistryRules:
    """Asks the registry for files by their version."""

    def __init__(self, holder: TableHolder) -> None:
        self._holder = holder
        self._client = InternalClient()

    async def fetch(self, version: str) -> bytes:
        """A file's bytes.

        Raises ``OSError`` when the registry does not have it or is not known, ``Unanswered``.
        """
        registry = self._holder.current.registry
        if registry is None:
            raise OSError("no registry is known yet")
        path = one(POLICY, version)
        answer = await self._client.ask(registry, "GET", path, timeout_s=_TIMEOUT_S)
        if answer.status != 200:
            raise OSError(f"the registry answered {answer.status} to {path}")
        return answer.body

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()
