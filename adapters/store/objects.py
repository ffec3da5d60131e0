"""The same store over object storage (S3, Google, Azure, a directory, memory) with a local cache.

Objects lie at ``versions/<alias>/<digest>/<file>`` below the URL. ``graftwork.json`` is written
last and removed first: where it is, the version is complete. Readers fetch into this node's staging
area, which hashes what arrived before anybody may use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore as Bucket
from obstore.store import from_url

from adapters.atomic import NO_ROOM
from adapters.config import StagingSettings
from adapters.errors import (
    AdapterError,
    BadName,
    CheckResult,
    NotInStore,
    StoreError,
    StoreFull,
)
from adapters.fleet import AdapterFiles
from adapters.format.files import reason
from adapters.format.manifest import (
    CONTENT_FILES,
    MANIFEST_FILE,
    PASSENGER_FILES,
    Manifest,
    read_manifest,
)
from adapters.format.names import validate_alias, validate_digest
from adapters.store.lease import Lease
from adapters.store.local import (
    REASONS_FILE,
    LocalStore,
    content_bytes,
    copy_content,
    reasons_json,
    store_errors,
)
from adapters.store.staging import StagingArea
from adapters.store.store import StagedFiles, VersionStore

_VERSIONS = "versions"
_KNOWN_FILES = frozenset({*CONTENT_FILES, *PASSENGER_FILES, MANIFEST_FILE})


def open_store(
    place: str | Path,
    staging_dir: Path,
    limits: StagingSettings | None = None,
    *,
    max_version_bytes: int = 4 << 30,
) -> VersionStore:
    """The store at a local directory, or at an ``s3://``, ``gs://``, ``az://``, ``file://`` URL.

    Copies of what lies elsewhere are kept in ``staging_dir``, within ``limits``; a version of more
    than ``max_version_bytes`` is not fetched. Credentials and endpoints of object storage come from
    the usual environment variables. Raises ``StoreError``.
    """
    if isinstance(place, Path) or "://" not in place:
        return LocalStore(Path(place).expanduser())
    try:
        is_local = place.startswith("file://")
        bucket = from_url(place, mkdir=True) if is_local else from_url(place)
    except (BaseError, ValueError) as error:
        raise StoreError(f"cannot open {place}: {error}", code="store-url") from error
    staging = StagingArea(staging_dir, limits or StagingSettings())
    return ObjectStore(bucket, place, staging, max_version_bytes=max_version_bytes)


class ObjectStore:
    """A ``VersionStore`` in a bucket. ``url`` is where other nodes find the same bucket."""

    def __init__(
        self, bucket: Bucket, url: str, staging: StagingArea, *, max_version_bytes: int = 4 << 30
    ) -> None:
        self._bucket = bucket
        self._max_version_bytes = max_version_bytes
        self._url = url.rstrip("/")
        self._staging = staging

    def put(self, directory: Path, alias: str, digest: str, manifest: Manifest) -> AdapterFiles:
        """See ``VersionStore.put``; the local copy is verified before a byte is uploaded."""

        def fill(place: Path) -> Manifest:
            copy_content(directory, place)
            return manifest

        with store_errors(f"storing {alias}"):
            lease = self._staging.lease(alias, digest, lambda: content_bytes(directory), fill)
        with lease:
            if not self.exists(alias, digest):
                with _bucket_errors(f"uploading {alias}"):
                    self._upload(lease.path, _key(alias, digest))
        return self.files(alias, digest)

    def files(self, alias: str, digest: str) -> AdapterFiles:
        """See ``VersionStore.files``; the path is the copy's, the URI the bucket's."""
        path = self._staging.path(alias, digest)
        return AdapterFiles(alias, digest, path, f"{self._url}/{_key(alias, digest)}")

    def lease(self, alias: str, digest: str) -> Lease:
        objects: dict[str, int] = {}

        def size_bytes() -> int:
            objects.update(self._listed(alias, digest))
            size = sum(objects.values())
            if size > self._max_version_bytes:
                raise StoreError(
                    f"{alias}@{digest[:12]} takes {size} bytes", code="version-too-large"
                )
            return size

        def fill(place: Path) -> Manifest:
            for name in sorted(objects):
                self._download(f"{_key(alias, digest)}/{name}", place / name, objects[name])
            return read_manifest(place) or Manifest()

        with store_errors(f"staging {alias}"), _bucket_errors(f"fetching {alias}"):
            return self._staging.lease(alias, digest, size_bytes, fill)

    def staged(self) -> StagedFiles:
        with store_errors("measuring the staging area"):
            return self._staging.usage()

    def exists(self, alias: str, digest: str) -> bool:
        with _bucket_errors(f"looking for {alias}"):
            try:
                obstore.head(self._bucket, f"{_key(alias, digest)}/{MANIFEST_FILE}")
            except FileNotFoundError:
                return False
            return True

    def size(self, alias: str, digest: str) -> int | None:
        if not self.exists(alias, digest):
            return None
        with _bucket_errors(f"measuring {alias}"):
            return sum(size for _, size in self._objects(_key(alias, digest)))

    def delete(self, alias: str, digest: str) -> None:
        """See ``VersionStore.delete``; this node's copy goes too, unless it is in use."""
        key = _key(alias, digest)
        with _bucket_errors(f"deleting {alias}"):
            with suppress(FileNotFoundError):
                obstore.delete(self._bucket, f"{key}/{MANIFEST_FILE}")
            for path, _ in self._objects(key):
                with suppress(FileNotFoundError):
                    obstore.delete(self._bucket, path)
        with store_errors(f"deleting {alias}"):
            self._staging.delete(alias, digest)

    def list(self) -> Sequence[AdapterFiles]:
        found = []
        with _bucket_errors("listing versions"):
            for path, _ in self._objects(_VERSIONS):
                parts = path.split("/")[-4:]
                if len(parts) == 4 and parts[3] == MANIFEST_FILE:
                    with suppress(BadName):
                        found.append(self.files(parts[1], parts[2]))
        return sorted(found, key=lambda files: (files.alias, files.digest))

    def sweep(self, *, older_than_s: float = 3600.0) -> int:
        """See ``VersionStore.sweep``: among the copies; a bucket shows whole versions only."""
        return self._staging.copies.sweep(older_than_s=older_than_s)

    def quarantine(self, source: Path, reasons: Iterable[CheckResult | str]) -> Path:
        """See ``VersionStore.quarantine``: files stay on this machine, reasons go up as well."""
        listed = list(reasons)
        entry = self._staging.copies.quarantine(source, listed)
        with _bucket_errors("quarantining"):
            key = f"quarantine/{entry.name}/{REASONS_FILE}"
            obstore.put(self._bucket, key, reasons_json(listed).encode())
        return entry

    def _upload(self, directory: Path, key: str) -> None:
        names = sorted(path.name for path in directory.iterdir() if path.name != MANIFEST_FILE)
        for name in (*names, MANIFEST_FILE):
            obstore.put(self._bucket, f"{key}/{name}", directory / name)

    def _listed(self, alias: str, digest: str) -> dict[str, int]:
        """Sizes in bytes of the version's files in the bucket."""
        objects = {p.rpartition("/")[2]: size for p, size in self._objects(_key(alias, digest))}
        if MANIFEST_FILE not in objects:
            raise NotInStore(f"{alias}@{digest[:12]} is not in the store")
        return {name: objects[name] for name in _KNOWN_FILES & objects.keys()}

    def _download(self, key: str, target: Path, size_bytes: int) -> None:
        with target.open("wb") as file:
            for piece in obstore.get(self._bucket, key).stream():
                size_bytes -= len(piece)
                if size_bytes < 0:
                    raise StoreError(f"{key} is larger than its listing said")
                file.write(piece)

    def _objects(self, prefix: str) -> Iterator[tuple[str, int]]:
        """Keys and sizes in bytes below a prefix."""
        for batch in obstore.list(self._bucket, prefix):
            for meta in batch:
                yield meta["path"], meta["size"]


def _key(alias: str, digest: str) -> str:
    return f"{_VERSIONS}/{validate_alias(alias)}/{validate_digest(digest)}"


@contextmanager
def _bucket_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except AdapterError:
        raise
    except (BaseError, OSError) as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise StoreFull(f"{doing}: {error.strerror}") from error
        # Clients add whole answers and stack traces to the text; the first line says what matters.
        why = reason(error).partition("\n")[0][:300]
        raise StoreError(f"{doing}: {why}", code="store-unreachable") from error
