"""What a content-addressed store of versions offers, wherever it keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from adapters.errors import CheckResult
from adapters.fleet import AdapterFiles
from adapters.format.manifest import Manifest
from adapters.store.lease import Lease


@dataclass(frozen=True)
class StagedFiles:
    """What copies take on this node."""

    versions: int = 0
    size_bytes: int = 0


class VersionStore(Protocol):
    """Immutable versions by alias and digest. Every method may raise ``StoreError`` or ``BadName``.

    Methods block; call them from a thread.
    """

    def put(self, directory: Path, alias: str, digest: str, manifest: Manifest) -> AdapterFiles:
        """Keep a copy of the directory's content with ``manifest`` beside it; idempotent.

        The copy is hashed: ``DigestMismatch`` when it is not ``digest``; ``StoreFull`` without
        room. A version that is there already keeps its first manifest.
        """
        ...

    def files(self, alias: str, digest: str) -> AdapterFiles:
        """Where the version is or will be, without looking."""
        ...

    def lease(self, alias: str, digest: str) -> Lease:
        """The version's local directory, fetched if need be; ``NotInStore`` without it.

        What was fetched stays until the lease is released, and may make room for others then.
        """
        ...

    def staged(self) -> StagedFiles:
        """What copies of versions that lie elsewhere take on this node."""
        ...

    def exists(self, alias: str, digest: str) -> bool:
        """Whether the store holds all of the version."""
        ...

    def size(self, alias: str, digest: str) -> int | None:
        """Bytes that the store holds of the version; None when it does not hold it."""
        ...

    def delete(self, alias: str, digest: str) -> None:
        """Remove a version; idempotent."""
        ...

    def list(self) -> Sequence[AdapterFiles]:
        """Every version, by alias and digest."""
        ...

    def sweep(self, *, older_than_s: float = 3600.0) -> int:
        """Remove what writers that died left half-done here; returns how many directories.

        A living writer of this machine loses nothing, however long it takes; one of another
        machine must write something every ``older_than_s`` seconds.
        """
        ...

    def quarantine(self, source: Path, reasons: Iterable[CheckResult | str]) -> Path:
        """Move a refused directory or file out of the way, its reasons beside it."""
        ...
