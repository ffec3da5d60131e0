"""The same store over object storage (S3, Google, Azure, a directory, memory) with a local cache.

Objects lie at ``versions/<alias>/<digest>/<file>`` below the URL. ``graftwork.json`` is written
last and removed first: where it is, the version is complete. Readers fetch into a ``LocalStore``,
which hashes what arrived before anybody may use it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore as Bucket
from obstore.store import from_url

from adapters.errors import AdapterError, BadName, CheckResult, NotInStore, StoreError
from adapters.fleet import AdapterFiles
from adapters.format.manifest import (
    CONTENT_FILES,
    MANIFEST_FILE,
    PASSENGER_FILES,
    Manifest,
    read_manifest,
)
from adapters.format.names import validate_alias, validate_digest
from adapters.store.local import REASONS_FILE, LocalStore, Store, reasons_json

_VERSIONS = "versions"
_KNOWN_FILES = frozenset({*CONTENT_FILES, *PASSENGER_FILES, MANIFEST_FILE})


def open_store(place: str | Path, cache_dir: Path, *, max_version_bytes: int = 4 << 30) -> Store:
    """The store at a local directory, or at an ``s3://``, ``gs://``, ``az://``, ``file://`` URL.

    Credentials and endpoints of object storage come from the usual environment variables.
    """
    if isinstance(place, Path) or "://" not in place:
        return LocalStore(Path(place).expanduser())
    try:
        is_local = place.startswith("file://")
        bucket = from_url(place, mkdir=True) if is_local else from_url(place)
    except (BaseError, ValueError) as error:
        raise StoreError(f"cannot open {place}: {error}", code="store-url") from error
    return ObjectStore(bucket, place, cache_dir, max_version_bytes=max_version_bytes)


class ObjectStore:
    """A ``Store`` in a bucket. ``url`` is where other nodes find the same bucket."""

    def __init__(
        self, bucket: Bucket, url: str, cache_dir: Path, *, max_version_bytes: int = 4 << 30
    ) -> None:
        self._bucket = bucket
        self._url = url.rstrip("/")
        self._cache = LocalStore(cache_dir)
        self._max_version_bytes = max_version_bytes

    def put(self, directory: Path, alias: str, digest: str, manifest: Manifest) -> AdapterFiles:
        """See ``Store.put``; the local copy is verified before the first byte is uploaded."""
        local = self._cache.put(directory, alias, digest, manifest).path
        if not self.exists(alias, digest):
            with _bucket_errors(f"uploading {alias}"):
                self._upload(local, _key(alias, digest))
        return self.files(alias, digest)

    def files(self, alias: str, digest: str) -> AdapterFiles:
        """See ``Store.files``; the path is the cache's, the URI the bucket's."""
        path = self._cache.files(alias, digest).path
        return AdapterFiles(alias, digest, path, f"{self._url}/{_key(alias, digest)}")

    def path(self, alias: str, digest: str) -> Path:
        """See ``Store.path``."""
        if not self._cache.exists(alias, digest):
            with _bucket_errors(f"fetching {alias}"):
                self._fetch(alias, digest)
        return self._cache.path(alias, digest)

    def exists(self, alias: str, digest: str) -> bool:
        """See ``Store.exists``."""
        with _bucket_errors(f"looking for {alias}"):
            try:
                obstore.head(self._bucket, f"{_key(alias, digest)}/{MANIFEST_FILE}")
            except FileNotFoundError:
                return False
            return True

    def size(self, alias: str, digest: str) -> int | None:
        """See ``Store.size``."""
        if not self.exists(alias, digest):
            return None
        with _bucket_errors(f"measuring {alias}"):
            return sum(size for _, size in self._objects(_key(alias, digest)))

    def delete(self, alias: str, digest: str) -> None:
        """See ``Store.delete``; the cached copy goes too."""
        key = _key(alias, digest)
        with _bucket_errors(f"deleting {alias}"):
            with suppress(FileNotFoundError):
                obstore.delete(self._bucket, f"{key}/{MANIFEST_FILE}")
            for path, _ in self._objects(key):
                with suppress(FileNotFoundError):
                    obstore.delete(self._bucket, path)
        self._cache.delete(alias, digest)

    def list(self) -> Sequence[AdapterFiles]:
        """See ``Store.list``."""
        found = []
        with _bucket_errors("listing versions"):
            for path, _ in self._objects(_VERSIONS):
                parts = path.split("/")[-4:]
                if len(parts) == 4 and parts[3] == MANIFEST_FILE:
                    with suppress(BadName):
                        found.append(self.files(parts[1], parts[2]))
        return sorted(found, key=lambda files: (files.alias, files.digest))

    def sweep(self, *, older_than_s: float = 3600.0) -> int:
        """See ``Store.sweep``: in the cache; a bucket shows whole versions only."""
        return self._cache.sweep(older_than_s=older_than_s)

    def quarantine(self, source: Path, reasons: Iterable[CheckResult | str]) -> Path:
        """See ``Store.quarantine``: the files stay on this machine, the reasons go up as well."""
        listed = list(reasons)
        entry = self._cache.quarantine(source, listed)
        with _bucket_errors("quarantining"):
            key = f"quarantine/{entry.name}/{REASONS_FILE}"
            obstore.put(self._bucket, key, reasons_json(listed).encode())
        return entry

    def _upload(self, directory: Path, key: str) -> None:
        names = sorted(path.name for path in directory.iterdir() if path.name != MANIFEST_FILE)
        for name in (*names, MANIFEST_FILE):
            obstore.put(self._bucket, f"{key}/{name}", directory / name)

    def _fetch(self, alias: str, digest: str) -> None:
        key = _key(alias, digest)
        objects = {path.rpartition("/")[2]: size for path, size in self._objects(key)}
        if MANIFEST_FILE not in objects:
            raise NotInStore(f"{alias}@{digest[:12]} is not in the store")
        names = _KNOWN_FILES & objects.keys()
        size = sum(objects[name] for name in names)
        if size > self._max_version_bytes:
            raise StoreError(f"{alias}@{digest[:12]} takes {size} bytes", code="version-too-large")
        with tempfile.TemporaryDirectory(prefix="graftwork-fetch-") as scratch:
            for name in sorted(names):
                self._download(f"{key}/{name}", Path(scratch) / name)
            manifest = read_manifest(Path(scratch)) or Manifest()
            self._cache.put(Path(scratch), alias, digest, manifest)

    def _download(self, key: str, target: Path) -> None:
        with target.open("wb") as file:
            for piece in obstore.get(self._bucket, key).stream():
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
        # Clients add whole answers and stack traces to the text; the first line says what matters.
        reason = str(error).partition("\n")[0][:300]
        raise StoreError(f"{doing}: {reason}", code="store-unreachable") from error
