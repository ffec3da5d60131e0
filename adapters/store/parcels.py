"""Directories kept as one object each, where another node finds them: pushes that wait."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore as Bucket
from obstore.store import from_url

from adapters.atomic import scratch, sync, sync_tree
from adapters.errors import AdapterError, StoreError
from adapters.format.files import reason

_END = ".tar"
_WAITING = "waiting"
_HIDDEN = ".parcels"
"""Names that begin with a dot are no aliases."""


def open_parcels(place: str, state_dir: Path, folder: Path) -> Parcels | None:
    """Those beside a content store that other nodes reach: a URL, or a directory on a disk that is
    not the state directory's. None: what is on this disk is all that there would be.

    Raises ``StoreError``.
    """
    if "://" in place:
        url = place
    else:
        root = Path(place).expanduser().absolute()
        with _errors("looking where the content store is"):
            root.mkdir(parents=True, exist_ok=True)
            state_dir.mkdir(parents=True, exist_ok=True)
            if root.stat().st_dev == state_dir.stat().st_dev:
                return None
        url = (root / _HIDDEN).as_uri()
    with _errors("opening the content store"):
        bucket = from_url(url, mkdir=True) if url.startswith("file://") else from_url(url)
    return Parcels(bucket, _WAITING, folder)


class Parcels:
    """Below one prefix of a bucket. Every method blocks, and raises ``StoreError``.

    Args:
        folder: where they are packed and unpacked, on this node.
    """

    def __init__(self, bucket: Bucket, prefix: str, folder: Path) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._folder = folder

    def names(self) -> list[str]:
        """What is there."""
        with _errors("listing what waits"):
            paths = [
                meta["path"].rpartition("/")[2]
                for batch in obstore.list(self._bucket, self._prefix)
                for meta in batch
            ]
        return sorted(path.removesuffix(_END) for path in paths if path.endswith(_END))

    def keep(self, name: str, directory: Path) -> None:
        """Put a directory there, whole or not at all."""
        with _errors("keeping what waits"), scratch(self._folder) as place:
            packed = place / "packed.tar"
            with tarfile.open(packed, "w") as tar:
                tar.add(directory, arcname=".")
            obstore.put(self._bucket, self._key(name), packed)

    def fetch(self, name: str, target: Path) -> None:
        """Unpack one into a new directory, which appears whole or not at all."""
        with _errors("fetching what waits"), scratch(self._folder) as place:
            packed, unpacked = place / "packed.tar", place / "unpacked"
            with packed.open("wb") as file:
                for piece in obstore.get(self._bucket, self._key(name)).stream():
                    file.write(piece)
            with tarfile.open(packed) as tar:
                tar.extractall(unpacked, filter="data")
            sync_tree(unpacked)
            unpacked.rename(target)
            sync(target.parent)

    def drop(self, name: str) -> None:
        """Remove one; idempotent."""
        with _errors("clearing away what waited"), suppress(FileNotFoundError):
            obstore.delete(self._bucket, self._key(name))

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}{_END}"


@contextmanager
def _errors(doing: str) -> Iterator[None]:
    try:
        yield
    except AdapterError:
        raise
    except (BaseError, OSError, ValueError, tarfile.TarError) as error:
        why = reason(error).partition("\n")[0][:300]
        raise StoreError(f"{doing}: {why}", code="store-unreachable") from error
