"""The content-addressed store: one immutable directory per version, named by alias and digest.

Layout under the root; names that begin with a dot are no aliases, so a watched directory may be the
same root::

    .versions/<alias>/<digest>/     files 0444, directory 0555
    .quarantine/<time>-<name>/      reasons.json, and what was refused under files/

A version appears by one rename after every byte is on disk and hashed again, so a reader sees all
of it or nothing. ``store_object`` offers the same over object storage.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from adapters.errors import (
    AdapterError,
    BadName,
    CheckResult,
    DigestMismatch,
    NotInStore,
    StoreError,
    StoreFull,
)
from adapters.fleet import AdapterFiles
from adapters.format.files import chunks, is_regular, open_regular
from adapters.format.manifest import (
    CONTENT_FILES,
    PASSENGER_FILES,
    Manifest,
    digest_directory,
    write_manifest,
)
from adapters.format.names import validate_alias, validate_digest

REASONS_FILE = "reasons.json"
_STAGING = ".staging-"
_TRASH = ".trash-"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class Store(Protocol):
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

    def path(self, alias: str, digest: str) -> Path:
        """The version's local directory, fetched if need be; ``NotInStore`` without it."""
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
        """Remove what writers that died left half-done here; returns how many directories."""
        ...

    def quarantine(self, source: Path, reasons: Iterable[CheckResult | str]) -> Path:
        """Move a refused directory or file out of the way, its reasons beside it."""
        ...


class LocalStore:
    """A ``Store`` in a local directory.

    ``max_quarantined`` bounds the quarantine: beyond it the oldest entries go.
    """

    def __init__(self, root: Path, *, max_quarantined: int = 100) -> None:
        self._root = root.absolute()
        self._versions = self._root / ".versions"
        self._quarantine = self._root / ".quarantine"
        self._max_quarantined = max_quarantined

    def put(self, directory: Path, alias: str, digest: str, manifest: Manifest) -> AdapterFiles:
        """See ``Store.put``."""
        files = self.files(alias, digest)
        if not files.path.is_dir():
            with _store_errors(f"storing {alias}"):
                self._put(directory, files, manifest)
        return files

    def files(self, alias: str, digest: str) -> AdapterFiles:
        """See ``Store.files``; the URI is a ``file:`` one."""
        path = self._versions / validate_alias(alias) / validate_digest(digest)
        return AdapterFiles(alias, digest, path, path.as_uri())

    def path(self, alias: str, digest: str) -> Path:
        """See ``Store.path``."""
        path = self.files(alias, digest).path
        if not path.is_dir():
            raise NotInStore(f"{alias}@{digest[:12]} is not in the store")
        return path

    def exists(self, alias: str, digest: str) -> bool:
        """See ``Store.exists``."""
        return self.files(alias, digest).path.is_dir()

    def size(self, alias: str, digest: str) -> int | None:
        """See ``Store.size``."""
        path = self.files(alias, digest).path
        with _store_errors(f"measuring {alias}"):
            return sum(f.stat().st_size for f in path.iterdir()) if path.is_dir() else None

    def delete(self, alias: str, digest: str) -> None:
        """See ``Store.delete``; the version is gone at once, its bytes a moment later."""
        path = self.files(alias, digest).path
        if not path.is_dir():
            return
        with _store_errors(f"deleting {alias}"):
            # Renamed within its own parent: elsewhere a directory without write permission stays.
            trash = Path(tempfile.mkdtemp(prefix=_TRASH, dir=path.parent))
            path.rename(trash)
            _remove(trash)

    def list(self) -> Sequence[AdapterFiles]:
        """See ``Store.list``."""
        found = []
        with _store_errors("listing versions"):
            for path in sorted(self._versions.glob("[!.]*/[!.]*")):
                with suppress(BadName):
                    found.append(self.files(path.parent.name, path.name))
        return found

    def verify(self, alias: str, digest: str) -> None:
        """Hash the stored content again; ``DigestMismatch`` when the disk changed it."""
        _check_digest(self.path(alias, digest), digest)

    def sweep(self, *, older_than_s: float = 3600.0) -> int:
        """See ``Store.sweep``."""
        before = time.time() - older_than_s
        leftovers = [
            path
            for path in self._versions.glob("*/.*")
            if path.name.startswith((_STAGING, _TRASH)) and path.lstat().st_mtime < before
        ]
        for path in leftovers:
            _remove(path)
        return len(leftovers)

    def quarantine(self, source: Path, reasons: Iterable[CheckResult | str]) -> Path:
        """See ``Store.quarantine``; the entry holds ``reasons.json`` and ``files``."""
        with _store_errors("quarantining"):
            self._quarantine.mkdir(parents=True, exist_ok=True)
            stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
            name = "".join(c if c.isalnum() else "-" for c in source.name)[:60]
            prefix = f"{stamp}-{time.time_ns() % 10**9:09d}-{name}-"
            entry = Path(tempfile.mkdtemp(prefix=prefix, dir=self._quarantine))
            _write_reasons(entry / REASONS_FILE, reasons)
            _move(source, entry / "files")
            self._trim_quarantine()
        return entry

    def _put(self, directory: Path, files: AdapterFiles, manifest: Manifest) -> None:
        files.path.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=files.path.parent))
        try:
            _copy_content(directory, staging)
            write_manifest(staging, manifest)
            _check_digest(staging, files.digest)
            _seal(staging)
            _publish(staging, files.path)
        finally:
            _remove(staging)

    def _trim_quarantine(self) -> None:
        entries = sorted(self._quarantine.iterdir())
        for entry in entries[: max(0, len(entries) - self._max_quarantined)]:
            _remove(entry)


def reasons_json(reasons: Iterable[CheckResult | str]) -> str:
    """``reasons.json``: the failed checks, or plain sentences."""
    listed = [
        reason if isinstance(reason, str) else reason.model_dump(mode="json") for reason in reasons
    ]
    return json.dumps({"reasons": listed}, indent=2, ensure_ascii=False) + "\n"


def _write_reasons(path: Path, reasons: Iterable[CheckResult | str]) -> None:
    path.write_text(reasons_json(reasons), encoding="utf-8")


def _copy_content(source: Path, target: Path) -> None:
    for name in (*CONTENT_FILES, *PASSENGER_FILES):
        if is_regular(source / name):
            with open_regular(source / name) as reader, (target / name).open("wb") as writer:
                for piece in chunks(reader):
                    writer.write(piece)


def _check_digest(directory: Path, digest: str) -> None:
    found = digest_directory(directory)
    if found != digest:
        raise DigestMismatch(f"content has digest {found[:12]}, not {digest[:12]}")


def _seal(directory: Path) -> None:
    """Make everything durable and read-only."""
    for path in directory.iterdir():
        _sync(path)
        path.chmod(0o444)
    _sync(directory)
    directory.chmod(0o555)


def _publish(staging: Path, final: Path) -> None:
    try:
        staging.rename(final)
    except OSError as error:
        # Another writer of the same content was quicker; its copy is as good.
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
    _sync(final.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # Links are kept as links: what they point to is none of our business.
        if stat.S_ISDIR(source.lstat().st_mode):
            shutil.copytree(source, target, symlinks=True, ignore=_only_plain)
        else:
            shutil.copyfile(source, target, follow_symlinks=False)
        _remove(source)


def _only_plain(directory: str, names: Iterable[str]) -> set[str]:
    """Names that are pipes or devices: copying one would never end."""
    modes = {name: (Path(directory) / name).lstat().st_mode for name in names}
    plain = (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK)
    return {name for name, mode in modes.items() if not any(kind(mode) for kind in plain)}


def _remove(path: Path) -> None:
    """Remove a file or a tree, read-only or not; nothing when it is not there."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    path.chmod(0o755)
    for child in path.iterdir():
        _remove(child)
    path.rmdir()


@contextmanager
def _store_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except AdapterError:
        raise
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StoreFull(f"{doing}: {error.strerror}") from error
        raise StoreError(f"{doing}: {error}") from error
