"""A version's files on this node, in the page cache, before the engine reads them.

``add_lora`` blocks the engine's only loop for as long as the read takes, so the read happens here.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from adapters.aliases import engine_name
from adapters.errors import AdapterError
from adapters.store.local import Store

_CHUNK_BYTES = 1 << 20
_REMEMBERED = 512


class StagingError(Exception):
    """The files cannot be had on this node."""


class Stager:
    """Fetches versions from the content store to this node."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._staged: dict[str, None] = {}

    @property
    def staged(self) -> frozenset[str]:
        """Engine names whose files were brought to this node's disk; the newest few hundred."""
        return frozenset(self._staged)

    async def stage(self, alias: str, digest: str) -> Path:
        """The version's local directory, read through once. Raises ``StagingError``."""
        try:
            directory = await asyncio.to_thread(self._stage, alias, digest)
        except (AdapterError, OSError) as error:
            raise StagingError(
                f"cannot stage {alias}@{digest[:12]} on this node: {error}"
            ) from error

        self._staged[engine_name(alias, digest)] = None
        if len(self._staged) > _REMEMBERED:
            del self._staged[next(iter(self._staged))]
        return directory

    def _stage(self, alias: str, digest: str) -> Path:
        directory = self._store.path(alias, digest)
        for path in sorted(directory.rglob("*.safetensors")):
            with path.open("rb") as file:
                while file.read(_CHUNK_BYTES):
                    pass
        return directory
