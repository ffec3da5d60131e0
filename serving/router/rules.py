"""What a router gets from the registry, wherever the table has it, by digest: rules, made intents,
the model of difficulty.
"""

from __future__ import annotations

from router.replicas.table import TableHolder
from serving.internal.client import InternalClient
from serving.internal.paths import DIFFICULTY, INTENTS, POLICY, one

_TIMEOUT_S = 10.0


class RegistryRules:
    """Asks the registry for files by their version, which is a digest of their content."""

    def __init__(self, holder: TableHolder) -> None:
        self._holder = holder
        self._client = InternalClient()

    async def fetch(self, version: str) -> bytes:
        """A rules file's bytes. Raises as ``intents`` does."""
        return await self._file(one(POLICY, version))

    async def intents(self, digest: str) -> bytes:
        """The intents that were made of clusters.

        Raises ``OSError`` when the registry does not have it or is not known, ``Unanswered``.
        """
        return await self._file(one(INTENTS, digest))

    async def difficulty(self, digest: str) -> bytes:
        """The model of how hard requests are. Raises as ``intents`` does."""
        return await self._file(one(DIFFICULTY, digest))

    async def _file(self, path: str) -> bytes:
        registry = self._holder.current.registry
        if registry is None:
            raise OSError("no registry is known yet")
        answer = await self._client.ask(registry, "GET", path, timeout_s=_TIMEOUT_S)
        if answer.status != 200:
            raise OSError(f"the registry answered {answer.status} to {path}")
        return answer.body

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()
