"""A version's files on this node, in the page cache, before the engine reads them.

``add_lora`` blocks the engine's only loop for as long as the read takes, so the read happens here.
The files stay for as long as the engine may read them again: it does so inside a step, when its own
memory runs short, and dies where they are missing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.aliases import engine_name
from adapters.errors import AdapterError
from adapters.format.files import reason
from adapters.store.lease import Lease
from adapters.store.store import StagedFiles, VersionStore

_CHUNK_BYTES = 1 << 20
_REMEMBERED = 512


class StagingError(Exception):
    """The files cannot be had on this node."""


class Stager:
    """Fetches versions from the content store to this node, and holds those that are in use.

    Belongs to one event loop.
    """

    def __init__(self, store: VersionStore) -> None:
        self._store = store
        self._leases: dict[str, Lease] = {}
        self._loading: Counter[str] = Counter()
        self._in_engine: frozenset[str] = frozenset()
        self._paths: dict[str, Path] = {}
        self._staged: frozenset[str] = frozenset()
        self._usage = StagedFiles()

    @property
    def staged(self) -> frozenset[str]:
        """Engine names whose files were brought to this node's disk and are there still.

        As of the last load here; the newest few hundred.
        """
        return self._staged

    @property
    def usage(self) -> StagedFiles:
        """What copies take on this node, as of the last load here."""
        return self._usage

    @asynccontextmanager
    async def stage(self, alias: str, digest: str) -> AsyncIterator[Path]:
        """The version's local directory, read through once. Raises ``StagingError``.

        It stays for the block, and after it until ``keep`` leaves the name out.
        """
        name = engine_name(alias, digest)
        self._loading[name] += 1
        try:
            yield await self._fetched(name, alias, digest)
        finally:
            self._loading[name] -= 1
            self._loading += Counter()
            self.keep(self._in_engine)

    def keep(self, in_engine: frozenset[str]) -> None:
        """Hold the files of these; all others but those that are being loaded may be cleared."""
        self._in_engine = in_engine
        for name in self._leases.keys() - in_engine - self._loading.keys():
            self._leases.pop(name).release()

    async def _fetched(self, name: str, alias: str, digest: str) -> Path:
        try:
            lease = await asyncio.to_thread(self._store.lease, alias, digest)
            # Two at once hold it twice; one is enough.
            self._leases.setdefault(name, lease)
            await asyncio.to_thread(_warm, lease.path)
            self._paths[name] = lease.path
            if len(self._paths) > _REMEMBERED:
                del self._paths[next(iter(self._paths))]
            self._staged, self._usage = await asyncio.to_thread(self._look, dict(self._paths))
        except (AdapterError, OSError) as error:
            why = error.advice if isinstance(error, AdapterError) else reason(error)
            raise StagingError(f"cannot stage {alias}@{digest[:12]} on this node: {why}") from error
        return lease.path

    def _look(self, paths: dict[str, Path]) -> tuple[frozenset[str], StagedFiles]:
        there = frozenset(name for name, path in paths.items() if path.is_dir())
        return there, self._store.staged()


def _warm(directory: Path) -> None:
    for path in sorted(directory.rglob("*.safetensors")):
        with path.open("rb") as file:
            while file.read(_CHUNK_BYTES):
                pass
