"""Copies of versions on this node: bounded, shared by its processes, never cleared while in use.

A copy that some process holds, has in an engine or is still writing is locked by the kernel, on a
file of its own under ``.locks``; a process that dies lets go of everything. Whoever needs room
clears the copies that were used least recently and that nobody holds. What is still being written
counts as well: its writer reserves the bytes in the name of the directory that it writes to.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters.config import StagingSettings
from adapters.errors import StoreFull
from adapters.format.names import validate_alias, validate_digest
from adapters.store.lease import Lease
from adapters.store.local import UNFINISHED, Fill, LocalStore
from adapters.store.store import StagedFiles

_MEASURED_FOR_S = 10.0
_ABANDONED_S = 3600.0
"""A half-written copy that nobody of this node writes to is left for so long, seconds."""


class StagingArea:
    """The copies below one directory."""

    def __init__(self, root: Path, limits: StagingSettings) -> None:
        self._copies = LocalStore(root)
        self._locks = root.absolute() / ".locks"
        self._limits = limits
        self._usage = StagedFiles()
        self._measure_at = 0.0

    def path(self, alias: str, digest: str) -> Path:
        """Where a copy is or would be, without looking."""
        return self._copies.files(alias, digest).path

    def lease(self, alias: str, digest: str, size_bytes: Callable[[], int], fill: Fill) -> Lease:
        """Hold the copy, written by ``fill`` if it is not there; ``size_bytes`` says how large.

        Of several who want the same copy one writes it and the others wait. Raises ``StoreFull``
        (code ``staging-full``) when everything here is in use, and what ``fill`` raises.
        """
        while True:
            lock = self._lock(alias, digest, fcntl.LOCK_SH)
            if self._copies.exists(alias, digest):
                os.utime(lock)
                return Lease(self.path(alias, digest), lock)
            os.close(lock)
            self._write(alias, digest, size_bytes, fill)

    def delete(self, alias: str, digest: str) -> None:
        """Clear one copy, unless it is in use."""
        if self._copies.exists(alias, digest):
            self._clear(alias, digest)

    def usage(self) -> StagedFiles:
        """What is here, half-written copies included; what others changed shows within seconds."""
        now = time.monotonic()
        if now >= self._measure_at:
            sizes = [*self._sizes().values(), *self._reserved()]
            self._usage = StagedFiles(len(sizes), sum(sizes))
            self._measure_at = now + _MEASURED_FOR_S
        return self._usage

    @property
    def copies(self) -> LocalStore:
        """The same directory as a plain store, for what has nothing to do with bounds."""
        return self._copies

    def _write(self, alias: str, digest: str, size_bytes: Callable[[], int], fill: Fill) -> None:
        lock = self._lock(alias, digest, fcntl.LOCK_EX)
        self._measure_at = 0.0
        try:
            if self._copies.exists(alias, digest):
                return
            size = size_bytes()
            with self._alone():
                self._make_room(size)
                place = self._copies.reserve(alias, size)
            self._copies.receive(self._copies.files(alias, digest), place, fill)
        except BaseException:
            self._lock_path(alias, digest).unlink(missing_ok=True)
            raise
        finally:
            os.close(lock)

    def _make_room(self, size_bytes: int) -> None:
        """Clear copies until one more of this size fits. Raises ``StoreFull``."""
        self._copies.sweep(older_than_s=_ABANDONED_S)
        sizes = self._sizes()
        reserved = list(self._reserved())
        for alias, digest in sorted(sizes, key=self._last_use):
            if self._fits(size_bytes, [*sizes.values(), *reserved]):
                return
            if self._clear(alias, digest):
                del sizes[alias, digest]
        if not self._fits(size_bytes, [*sizes.values(), *reserved]):
            raise StoreFull(
                f"{len(sizes)} versions of {sum(sizes.values())} bytes are staged on this node and "
                f"in use; {size_bytes} bytes more exceed its bounds",
                code="staging-full",
                remedy="Raise adapters.staging.max_bytes or max_versions, or retire adapters.",
            )

    def _fits(self, size_bytes: int, sizes: list[int]) -> bool:
        few = len(sizes) < self._limits.max_versions
        return few and sum(sizes) + size_bytes <= self._limits.max_bytes

    def _clear(self, alias: str, digest: str) -> bool:
        """Remove one copy; False when it is in use."""
        try:
            lock = self._lock(alias, digest, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._measure_at = 0.0
        try:
            self._copies.delete(alias, digest)
            self._lock_path(alias, digest).unlink(missing_ok=True)
        finally:
            os.close(lock)
        return True

    def _sizes(self) -> dict[tuple[str, str], int]:
        listed = ((files.alias, files.digest) for files in self._copies.list())
        measured = ((key, self._copies.size(*key)) for key in listed)
        return {key: size for key, size in measured if size is not None}

    def _reserved(self) -> Iterator[int]:
        for place in self._copies.unfinished():
            digits = place.name.removeprefix(UNFINISHED).partition("-")[0]
            if digits.isdigit():
                yield int(digits)

    def _last_use(self, key: tuple[str, str]) -> float:
        try:
            return self._lock_path(*key).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else on this node makes room meanwhile."""
        lock = self._locked(self._locks / ".room", fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(lock)

    def _lock(self, alias: str, digest: str, kind: int) -> int:
        return self._locked(self._lock_path(alias, digest), kind)

    def _lock_path(self, alias: str, digest: str) -> Path:
        return self._locks / f"{validate_alias(alias)}@{validate_digest(digest)}"

    def _locked(self, path: Path, kind: int) -> int:
        """An open, locked descriptor; ``BlockingIOError`` when it is taken and may not wait."""
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            # To write as well: network file systems demand it of an exclusive lock.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, kind)
                if _is(path, descriptor):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            # Whoever cleared the copy took this file with it.
            os.close(descriptor)


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
