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
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from adapters.atomic import NO_ROOM, is_left_behind, sync, writer_of
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
from adapters.store.lease import Lease
from adapters.store.store import StagedFiles

REASONS_FILE = "reasons.json"
UNFINISHED = ".staging-"
"""How the name of a directory begins that is still being written."""
Fill = Callable[[Path], Manifest]
"""Writes a version's files into an empty directory, and returns its manifest."""
_TRASH = ".trash-"


class LocalStore:
    """A ``VersionStore`` in a local directory; methods without a word are the Protocol's.

    ``max_quarantined`` bounds the quarantine: beyond it the oldest entries go.
    """

    def __init__(self, root: Path, *, max_quarantined: int = 100) -> None:
        self._root = root.absolute()
        self._versions = self._root / ".versions"
        self._quarantine = self._root / ".quarantine"
        self._max_quarantined = max_quarantined

    def put(self, directory: Path, alias: str, digest: str, manifest: Manifest) -> AdapterFiles:
        files = self.files(alias, digest)
        if not files.path.is_dir():
            with store_errors(f"storing {alias}"):
                self.receive(
                    files, self.reserve(alias), lambda place: _copied(directory, place, manifest)
                )
        return files

    def reserve(self, alias: str, size_bytes: int = 0) -> Path:
        """An empty directory for a version to be written into, its size in the name."""
        parent = self._versions / validate_alias(alias)
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{UNFINISHED}{size_bytes}-", dir=parent))

    def receive(self, files: AdapterFiles, place: Path, fill: Fill) -> None:
        """Fill a reserved directory, check what came, and make it the version.

        Raises ``DigestMismatch`` and what ``fill`` raises; the place is gone either way.
        """
        try:
            with writer_of(place):
                write_manifest(place, fill(place))
                _check_digest(place, files.digest)
                _seal(place)
                _publish(place, files.path)
        finally:
            remove_tree(place)

    def unfinished(self) -> Iterable[Path]:
        """Directories that were reserved and are no version yet."""
        return self._versions.glob(f"*/{UNFINISHED}*")

    def files(self, alias: str, digest: str) -> AdapterFiles:
        """See ``VersionStore.files``; the URI is a ``file:`` one."""
        path = self._versions / validate_alias(alias) / validate_digest(digest)
        return AdapterFiles(alias, digest, path, path.as_uri())

    def lease(self, alias: str, digest: str) -> Lease:
        """See ``VersionStore.lease``; the files are the store's own."""
        return Lease(self._path(alias, digest))

    def staged(self) -> StagedFiles:
        """See ``VersionStore.staged``: none."""
        return StagedFiles()

    def exists(self, alias: str, digest: str) -> bool:
        return self.files(alias, digest).path.is_dir()

    def size(self, alias: str, digest: str) -> int | None:
        path = self.files(alias, digest).path
        with store_errors(f"measuring {alias}"):
            return sum(f.stat().st_size for f in path.iterdir()) if path.is_dir() else None

    def delete(self, alias: str, digest: str) -> None:
        """See ``VersionStore.delete``; the version is gone at once, its bytes a moment later."""
        path = self.files(alias, digest).path
        if not path.is_dir():
            return
        with store_errors(f"deleting {alias}"):
            # Renamed within its own parent: elsewhere a directory without write permission stays.
            trash = Path(tempfile.mkdtemp(prefix=_TRASH, dir=path.parent))
            path.rename(trash)
            remove_tree(trash)

    def list(self) -> Sequence[AdapterFiles]:
        found = []
        with store_errors("listing versions"):
            for path in sorted(self._versions.glob("[!.]*/[!.]*")):
                with suppress(BadName):
                    found.append(self.files(path.parent.name, path.name))
        return found

    def verify(self, alias: str, digest: str) -> None:
        """Hash the stored content again; ``DigestMismatch`` when the disk changed it."""
        _check_digest(self._path(alias, digest), digest)

    def sweep(self, *, older_than_s: float = 3600.0) -> int:
        with store_errors("clearing away what was left behind"):
            leftovers = [
                path
                for path in self._versions.glob("*/.*")
                if path.name.startswith((UNFINISHED, _TRASH)) and is_left_behind(path, older_than_s)
            ]
            for path in leftovers:
                remove_tree(path)
        return len(leftovers)

    def quarantine(self, source: Path, reasons: Iterable[CheckResult | str]) -> Path:
        """See ``VersionStore.quarantine``; the entry holds ``reasons.json`` and ``files``."""
        with store_errors("quarantining"):
            self._quarantine.mkdir(parents=True, exist_ok=True)
            stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
            name = "".join(c if c.isalnum() else "-" for c in source.name)[:60]
            prefix = f"{stamp}-{time.time_ns() % 10**9:09d}-{name}-"
            entry = Path(tempfile.mkdtemp(prefix=prefix, dir=self._quarantine))
            _write_reasons(entry / REASONS_FILE, reasons)
            move_tree(source, entry / "files")
            self._trim_quarantine()
        return entry

    def _path(self, alias: str, digest: str) -> Path:
        path = self.files(alias, digest).path
        if not path.is_dir():
            raise NotInStore(f"{alias}@{digest[:12]} is not in the store")
        return path

    def _trim_quarantine(self) -> None:
        entries = sorted(self._quarantine.iterdir())
        for entry in entries[: max(0, len(entries) - self._max_quarantined)]:
            remove_tree(entry)


def reasons_json(reasons: Iterable[CheckResult | str]) -> str:
    """``reasons.json``: the failed checks, or plain sentences."""
    listed = [
        reason if isinstance(reason, str) else reason.model_dump(mode="json") for reason in reasons
    ]
    return json.dumps({"reasons": listed}, indent=2, ensure_ascii=False) + "\n"


def _write_reasons(path: Path, reasons: Iterable[CheckResult | str]) -> None:
    path.write_text(reasons_json(reasons), encoding="utf-8")


def copy_content(source: Path, target: Path) -> None:
    """Copy what belongs to a version, and nothing else that may lie beside it."""
    for name in (*CONTENT_FILES, *PASSENGER_FILES):
        if is_regular(source / name):
            with open_regular(source / name) as reader, (target / name).open("wb") as writer:
                for piece in chunks(reader):
                    writer.write(piece)


def content_bytes(directory: Path) -> int:
    """What ``copy_content`` would copy."""
    files = (directory / name for name in (*CONTENT_FILES, *PASSENGER_FILES))
    return sum(path.lstat().st_size for path in files if is_regular(path))


def _copied(directory: Path, place: Path, manifest: Manifest) -> Manifest:
    copy_content(directory, place)
    return manifest


def _check_digest(directory: Path, digest: str) -> None:
    found = digest_directory(directory)
    if found != digest:
        raise DigestMismatch(f"content has digest {found[:12]}, not {digest[:12]}")


def _seal(directory: Path) -> None:
    """Make everything durable and read-only."""
    for path in directory.iterdir():
        sync(path)
        path.chmod(0o444)
    sync(directory)
    directory.chmod(0o555)


def _publish(staging: Path, final: Path) -> None:
    try:
        staging.rename(final)
    except OSError as error:
        # Another writer of the same content was quicker; its copy is as good.
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
    sync(final.parent)


def move_tree(source: Path, target: Path) -> None:
    """Move what may be hostile, also to another file system: links as links, no devices."""
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
        remove_tree(source)


def _only_plain(directory: str, names: Iterable[str]) -> set[str]:
    """Names that are pipes or devices: copying one would never end."""
    modes = {name: (Path(directory) / name).lstat().st_mode for name in names}
    plain = (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK)
    return {name for name, mode in modes.items() if not any(kind(mode) for kind in plain)}


def remove_tree(path: Path) -> None:
    """Remove a file or a tree, read-only or not; nothing when it is not there."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    path.chmod(0o755)
    for child in path.iterdir():
        remove_tree(child)
    path.rmdir()


@contextmanager
def store_errors(doing: str) -> Iterator[None]:
    """The file system's errors as the store's own, without the paths of this machine."""
    try:
        yield
    except AdapterError:
        raise
    except OSError as error:
        if error.errno in NO_ROOM:
            raise StoreFull(f"{doing}: {error.strerror}") from error
        raise StoreError(f"{doing}: {error.strerror or type(error).__name__}") from error
