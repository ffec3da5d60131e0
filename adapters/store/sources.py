"""Places where finished adapters appear: a local directory, or a bucket that is listed.

Both hold ``<alias>/<any name>/<files of a PEFT directory>``. Names that begin with a dot are not
looked at. An entry is *complete* when a ``_SUCCESS`` file is in it that is no older than anything
else there; without one it has to keep still for a while, which is the watcher's to judge.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import stat
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from adapters.atomic import NO_ROOM, sweep, write_file
from adapters.errors import StoreError, StoreFull
from adapters.format.checkpoint import MAX_ENTRIES, MOST_NAMED, Selection, select
from adapters.format.files import Entry, chunks, few, open_regular, reason, walk

SUCCESS = "_SUCCESS"
REJECTED_SUFFIX = ".rejected.json"


@dataclass(frozen=True)
class Found:
    """One entry of the watched store at one moment."""

    alias: str
    name: str
    fingerprint: str
    """Changes whenever a file in the entry does."""
    complete: bool
    newest: float
    """Time of the last change in it, seconds since the epoch."""
    problem: str = ""
    """Why its files must not even be read; empty when they may be."""

    @property
    def source(self) -> str:
        """The entry's name in the registry's bookkeeping."""
        return f"{self.alias}/{self.name}"


class Source(Protocol):
    """A watched store. Methods block and may raise ``StoreError``; call them from a thread."""

    left_out: int
    """Entries that the last scan did not look at, because there were too many."""

    def scan(self) -> list[Found]:
        """Everything that is there now."""
        ...

    def fetch(self, found: Found, destination: Path) -> bool:
        """Copy an entry's files into an empty directory; False when it changed meanwhile."""
        ...

    def mark(self, found: Found, reasons: dict[str, Any]) -> None:
        """Leave a file beside the entry that says why it was refused."""
        ...

    def unmark(self, found: Found) -> None:
        """Take that file away again, if it is there."""
        ...


class LocalSource:
    """A local directory. Links are refused, not followed; nothing but markers is ever written.

    ``max_files`` and ``max_bytes`` bound one entry, training state aside; ``max_entries`` one pass.
    """

    def __init__(self, root: Path, *, max_files: int, max_bytes: int, max_entries: int) -> None:
        self.root = root
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self.left_out = 0

    def scan(self) -> list[Found]:
        """See ``Source.scan``. An empty directory is no entry yet; of too many the newest count."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            pairs = [(a, e) for a in _visible(self.root) for e in _visible(a)]
            self.left_out = max(0, len(pairs) - self._max_entries)
            if self.left_out:
                pairs.sort(key=lambda pair: pair[1].lstat().st_mtime_ns, reverse=True)
        except OSError as error:
            raise StoreError(f"the watched store cannot be read: {reason(error)}") from error
        looked_at = (self._look(alias.name, entry) for alias, entry in pairs[: self._max_entries])
        return [found for found in looked_at if found is not None]

    def fetch(self, found: Found, destination: Path) -> bool:
        directory = self._path(found)
        try:
            entries = walk(directory, MAX_ENTRIES)
            kept = set(_selected(found.alias, entries).kept) - {SUCCESS}
            for entry in entries:
                if entry.relative in kept:
                    copy_file(entry, destination)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise StoreFull("there is no room for a copy of the entry") from error
            # Somebody is still at work in there.
            return False
        now = self._look(found.alias, directory)
        return now is not None and now.fingerprint == found.fingerprint

    def mark(self, found: Found, reasons: dict[str, Any]) -> None:
        marker = self._marker(found)
        try:
            sweep(marker.parent)
            write_file(marker, _json(reasons), durable=False, private=False)
        except OSError as error:
            raise StoreError(f"cannot write {marker.name}: {reason(error)}") from error

    def unmark(self, found: Found) -> None:
        with contextlib.suppress(OSError):
            self._marker(found).unlink(missing_ok=True)

    def _path(self, found: Found) -> Path:
        return self.root / found.alias / found.name

    def _marker(self, found: Found) -> Path:
        return self.root / found.alias / f"{found.name}{REJECTED_SUFFIX}"

    def _look(self, alias: str, path: Path) -> Found | None:
        try:
            if path.is_symlink():
                return self._refused(alias, path, "is a symbolic link")
            if not path.is_dir():
                return None
            entries = walk(path, MAX_ENTRIES)
            return self._describe(alias, path.name, entries) if entries else None
        except OSError:
            # It went away while we looked; the next pass sees what is there then.
            return None

    def _describe(self, alias: str, name: str, entries: list[Entry]) -> Found:
        times = {entry.relative: entry.path.lstat().st_mtime_ns for entry in entries}
        newest = max(times.values())
        facts = [f"{e.relative}\0{e.mode}\0{e.size_bytes}\0{times[e.relative]}" for e in entries]
        selection = _selected(alias, entries)
        taken = [entry for entry in entries if entry.relative in selection.taken]
        odd = [entry.relative for entry in taken if not entry.is_regular]
        problem = selection.ambiguity
        if odd:
            problem = f"links or devices: {few(odd, MOST_NAMED)}"
        elif len(taken) > self._max_files or len(entries) > MAX_ENTRIES:
            problem = f"more than {self._max_files} files"
        elif sum(entry.size_bytes for entry in taken) > self._max_bytes:
            problem = f"more than {self._max_bytes} bytes"
        complete = SUCCESS not in odd and times.get(SUCCESS, -1) >= newest
        return Found(alias, name, _fingerprint(facts), complete, newest / 1e9, problem)

    def _refused(self, alias: str, path: Path, problem: str) -> Found:
        status = path.lstat()
        target = str(path.readlink()) if stat.S_ISLNK(status.st_mode) else ""
        facts = [target, str(status.st_mtime_ns)]
        return Found(alias, path.name, _fingerprint(facts), True, status.st_mtime, problem)


class ObjectSource:
    """A bucket, or a prefix in one: whatever ``obstore`` opens. Changes are seen by ETag."""

    def __init__(
        self, bucket: ObjectStore, *, max_files: int, max_bytes: int, max_entries: int = 10_000
    ) -> None:
        self._bucket = bucket
        self._max_entries = max_entries
        self.left_out = 0
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._marked: set[str] = set()

    def scan(self) -> list[Found]:
        """See ``Source.scan``: one listing."""
        entries: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
        marked, left_out = set(), 0
        last: tuple[str, str] | None = None
        for meta in self._list():
            parts = meta["path"].split("/", 2)
            if parts[0].startswith(".") or len(parts) < 2 or parts[1].startswith("."):
                continue
            if len(parts) == 3:
                key = parts[0], parts[1]
                if key in entries or len(entries) < self._max_entries:
                    # One more than may be says that it is too many.
                    if len(entries[key]) <= MAX_ENTRIES:
                        entries[key].append(dict(meta))
                elif key != last:
                    left_out, last = left_out + 1, key
            elif parts[1].endswith(REJECTED_SUFFIX):
                marked.add(meta["path"])
        self._marked, self.left_out = marked, left_out
        return [self._describe(*key, objects) for key, objects in entries.items()]

    def look(self, alias: str, name: str) -> Found | None:
        """One entry as it is now; None when there is nothing."""
        objects = [dict(meta) for meta in self._list(f"{alias}/{name}/")]
        return self._describe(alias, name, objects) if objects else None

    def fetch(self, found: Found, destination: Path) -> bool:
        """See ``Source.fetch``; the bytes of every object are counted as they come."""
        prefix = f"{found.source}/"
        objects = [dict(meta) for meta in self._list(prefix)]
        if self._describe(found.alias, found.name, objects).fingerprint != found.fingerprint:
            return False
        left = self._max_bytes
        names = [meta["path"].removeprefix(prefix) for meta in objects]
        for relative in select(names, found.alias).kept:
            if relative != SUCCESS:
                left = self._download(f"{prefix}{relative}", destination / relative, left)
        now = self.look(found.alias, found.name)
        return now is not None and now.fingerprint == found.fingerprint

    def mark(self, found: Found, reasons: dict[str, Any]) -> None:
        key = f"{found.source}{REJECTED_SUFFIX}"
        with _bucket_errors("writing a marker"):
            obstore.put(self._bucket, key, _json(reasons).encode())
        self._marked.add(key)

    def unmark(self, found: Found) -> None:
        key = f"{found.source}{REJECTED_SUFFIX}"
        if key in self._marked:
            with _bucket_errors("removing a marker"), contextlib.suppress(FileNotFoundError):
                obstore.delete(self._bucket, key)
            self._marked.discard(key)

    def _list(self, prefix: str | None = None) -> Iterable[Any]:
        with _bucket_errors("listing"):
            for batch in obstore.list(self._bucket, prefix):
                yield from batch

    def _describe(self, alias: str, name: str, objects: list[dict[str, Any]]) -> Found:
        objects.sort(key=lambda meta: meta["path"])
        facts = [f"{m['path']}\0{m['size']}\0{m['e_tag'] or m['last_modified']}" for m in objects]
        times = {m["path"]: m["last_modified"].timestamp() for m in objects}
        newest = max(times.values(), default=0.0)
        sizes = {m["path"].removeprefix(f"{alias}/{name}/"): m["size"] for m in objects}
        selection = select(sizes, alias)
        problem = selection.ambiguity
        if any(part in {"", ".", ".."} for m in objects for part in m["path"].split("/")):
            problem = "an object's key is no path"
        elif len(selection.taken) > self._max_files or len(objects) > MAX_ENTRIES:
            problem = f"more than {self._max_files} objects"
        elif sum(sizes[relative] for relative in selection.taken) > self._max_bytes:
            problem = f"more than {self._max_bytes} bytes"
        complete = times.get(f"{alias}/{name}/{SUCCESS}", -1.0) >= newest
        return Found(alias, name, _fingerprint(facts), complete, newest, problem)

    def _download(self, key: str, target: Path, left: int) -> int:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _bucket_errors(f"fetching {key}"), target.open("wb") as file:
            for piece in obstore.get(self._bucket, key).stream():
                left -= len(piece)
                if left < 0:
                    raise StoreError(f"{key}: more bytes than its listing said")
                file.write(piece)
        return left


def open_source(place: str, *, max_files: int, max_bytes: int, max_entries: int) -> Source:
    """The watched store at a local path or an ``s3://``, ``gs://``, ``az://`` URL."""
    if "://" not in place:
        return LocalSource(
            Path(place), max_files=max_files, max_bytes=max_bytes, max_entries=max_entries
        )
    try:
        return ObjectSource(
            from_url(place), max_files=max_files, max_bytes=max_bytes, max_entries=max_entries
        )
    except (BaseError, ValueError) as error:
        raise StoreError(f"cannot open {place}: {error}", code="store-url") from error


def _visible(directory: Path) -> list[Path]:
    if directory.is_symlink() or not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if not path.name.startswith("."))


def _selected(alias: str, entries: Iterable[Entry]) -> Selection:
    return select((entry.relative for entry in entries if not entry.is_directory), alias)


def copy_file(entry: Entry, destination: Path) -> None:
    """Copy one regular file to its place below ``destination``; a link is an ``OSError``."""
    target = destination / entry.relative
    target.parent.mkdir(parents=True, exist_ok=True)
    with open_regular(entry.path) as reader, target.open("wb") as writer:
        for piece in chunks(reader):
            writer.write(piece)


def _fingerprint(facts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(facts).encode(errors="surrogateescape")).hexdigest()


def _json(reasons: dict[str, Any]) -> str:
    return json.dumps(reasons, indent=2, ensure_ascii=False) + "\n"


@contextlib.contextmanager
def _bucket_errors(doing: str) -> Any:
    try:
        yield
    except FileNotFoundError as error:
        raise StoreError(f"{doing}: {reason(error)}", code="not-found") from error
    except (BaseError, OSError) as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise StoreFull(f"{doing}: {error.strerror}") from error
        why = reason(error).partition("\n")[0][:300]
        raise StoreError(f"{doing}: {why}", code="store-unreachable") from error
