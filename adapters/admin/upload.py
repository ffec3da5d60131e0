"""From the body of a push to a private PEFT directory: archive, form or reference, all bounded."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from starlette.requests import Request

from adapters.admin.form import FormFile
from adapters.admin.models import ImportRequest
from adapters.atomic import scratch, sweep_scratch
from adapters.config import AdaptersConfig
from adapters.errors import AdapterError, ArchiveError, StoreFull
from adapters.format.archive import unpack
from adapters.format.checkpoint import MAX_ENTRIES, MOST_NAMED, select
from adapters.format.files import chunks, few, walk
from adapters.resources import BadField, body_of
from adapters.store.sources import SUCCESS, Found, ObjectSource, copy_file, open_source

ARCHIVES = frozenset(
    {
        "application/gzip",
        "application/octet-stream",
        "application/tar",
        "application/tar+gzip",
        "application/x-gtar",
        "application/x-gzip",
        "application/x-tar",
        "application/x-zip-compressed",
        "application/zip",
    }
)
# Boundaries and headers of a form around its one file.
_FORM_OVERHEAD_BYTES = 64 * 1024


class TooManyPushes(AdapterError):
    """As many pushes as may be are under way."""

    code = "too-many-pushes"
    remedy = "Try again shortly."


class Uploads:
    """Receives pushes: so many at once, each in one folder that is gone after it (law 9).

    What a push costs of the disk is bounded: its archive and what that unpacks to, and the archive
    goes before the store takes its copy.
    """

    def __init__(self, config: AdaptersConfig, folder: Path) -> None:
        """``folder``: where pushes are put together, best on the store's own disk."""
        self._config = config
        self._folder = folder
        self.under_way = 0

    def sweep(self) -> None:
        """Remove what processes that died left in the folder. Blocks."""
        sweep_scratch(self._folder)

    @asynccontextmanager
    async def received(self, request: Request) -> AsyncIterator[Path]:
        """The pushed PEFT directory, private and gone after the block.

        Raises ``ArchiveError`` (also ``archive-too-large``), ``BadField``, ``StoreFull`` and
        ``TooManyPushes``.
        """
        if self.under_way >= self._config.push.at_once:
            raise TooManyPushes(f"{self.under_way} pushes are under way")
        self.under_way += 1
        try:
            with self._place() as place:
                with _no_room():
                    directory = await self._directory(request, place)
                yield directory
        finally:
            self.under_way -= 1

    @contextmanager
    def _place(self) -> Iterator[Path]:
        with contextlib.ExitStack() as held:
            with _no_room():
                place = held.enter_context(scratch(self._folder))
            yield place

    async def _directory(self, request: Request, place: Path) -> Path:
        config = self._config
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            return await _imported(request, place, config)
        archive = place / "archive"
        if kind == "multipart/form-data":
            await _receive_form(request, archive, config)
        elif kind in ARCHIVES:
            await _receive(request, archive, config)
        else:
            raise BadField(
                "send the archive as application/x-tar, application/gzip or application/zip, as "
                f'the form field "file", or JSON {{"uri": …}}; got {kind or "no content type"}',
                "content-type",
                code="unsupported_media_type",
                status=415,
            )
        return await asyncio.to_thread(_unpacked, archive, place / "files", config)


async def _receive(request: Request, archive: Path, config: AdaptersConfig) -> None:
    with archive.open("wb") as file:
        async for piece in _bounded(request, config.push.archive.max_archive_bytes, config):
            await asyncio.to_thread(file.write, piece)


async def _receive_form(request: Request, archive: Path, config: AdaptersConfig) -> None:
    limit = config.push.archive.max_archive_bytes + _FORM_OVERHEAD_BYTES
    with archive.open("wb") as target:
        form = FormFile(request.headers.get("content-type", ""), target)
        async for piece in _bounded(request, limit, config):
            await asyncio.to_thread(form.write, piece)
        form.close()


async def _bounded(
    request: Request, limit: int, config: AdaptersConfig
) -> AsyncGenerator[bytes, None]:
    """The body as it arrives; ``ArchiveError`` once it is too long, or too slow to come."""
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    total, pieces = 0, request.stream()
    while True:
        try:
            async with asyncio.timeout(config.push.idle_timeout_s):
                piece = await anext(pieces, None)
        except TimeoutError as error:
            raise ArchiveError(
                f"nothing came for {config.push.idle_timeout_s:g} s", code="upload-too-slow"
            ) from error
        if piece is None:
            return
        total += len(piece)
        if total > limit:
            raise _too_large(limit)
        yield piece


def _too_large(limit: int) -> ArchiveError:
    return ArchiveError(f"the archive is larger than {limit} bytes", code="archive-too-large")


def _unpacked(archive: Path, files: Path, config: AdaptersConfig) -> Path:
    directory = unpack(archive, files, config.push.archive)
    archive.unlink()
    return directory


@contextlib.contextmanager
def _no_room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFull("there is no room for the push") from error
        raise


# By reference


async def _imported(request: Request, place: Path, config: AdaptersConfig) -> Path:
    alias = str(request.path_params["alias"])
    uri = (await body_of(request, ImportRequest)).uri
    if uri.startswith("file://") or "://" not in uri:
        path = unquote(urlsplit(uri).path) if uri.startswith("file://") else uri
        return await asyncio.to_thread(_from_local, path, place, config, alias)
    return await asyncio.to_thread(_from_bucket, uri, place, config)


def _from_local(text: str, place: Path, config: AdaptersConfig, alias: str) -> Path:
    path = _resolved(text)
    roots = [Path(os.path.realpath(root)) for root in _roots(config)]
    # Resolved first: a link inside an allowed root must not lead out of it.
    if not any(path.is_relative_to(root) and path != root for root in roots):
        raise BadField("this place may not be imported from", "uri", code="uri_not_allowed")
    if path.is_file():
        archive = place / "archive"
        _copy_bounded(path, archive, config.push.archive.max_archive_bytes)
        return unpack(archive, place / "files", config.push.archive)
    if not path.is_dir():
        raise BadField("there is no such directory or archive", "uri", code="uri_not_found")
    return _copied(path, place / "files", config, alias)


def _copy_bounded(path: Path, target: Path, limit: int) -> None:
    total = 0
    with path.open("rb") as source, target.open("wb") as file:
        for piece in chunks(source):
            total += len(piece)
            if total > limit:
                raise _too_large(limit)
            file.write(piece)


def _resolved(text: str) -> Path:
    try:
        return Path(os.path.realpath(text))
    except (OSError, ValueError) as error:  # too long a name, or one that no path can have
        raise BadField("this is no path", "uri", code="uri_not_allowed") from error


def _copied(directory: Path, target: Path, config: AdaptersConfig, alias: str) -> Path:
    limits = config.preflight
    entries = walk(directory, MAX_ENTRIES)
    selection = select((e.relative for e in entries if not e.is_directory), alias)
    taken = [entry for entry in entries if entry.relative in selection.taken]
    too_large = sum(entry.size_bytes for entry in taken) > limits.max_total_bytes
    if too_large or len(taken) > limits.max_files or len(entries) > MAX_ENTRIES:
        raise ArchiveError("the directory holds too much", code="archive-too-large")
    if odd := [entry.relative for entry in taken if not entry.is_regular]:
        raise ArchiveError(f"links or devices: {few(odd, MOST_NAMED)}", code="special-file")
    if selection.ambiguity:
        raise ArchiveError(selection.ambiguity, code="one-adapter")
    target.mkdir()
    for entry in taken:
        if entry.relative != SUCCESS:
            copy_file(entry, target)
    return target


def _roots(config: AdaptersConfig) -> list[Path]:
    watched = [Path(config.store)] if config.store and "://" not in config.store else []
    return [*config.push.import_roots, *watched]


def _from_bucket(uri: str, place: Path, config: AdaptersConfig) -> Path:
    """An entry of the watched bucket, which is the only one that we hold credentials for."""
    store = (config.store or "").rstrip("/") + "/"
    parts = uri.removeprefix(store).strip("/").split("/")
    if "://" not in store or not uri.startswith(store) or len(parts) != 2 or "" in parts:
        raise BadField("this place may not be imported from", "uri", code="uri_not_allowed")
    limits = config.preflight
    source = open_source(
        store, max_files=limits.max_files, max_bytes=limits.max_total_bytes, max_entries=1
    )
    assert isinstance(source, ObjectSource)
    target = place / "files"
    target.mkdir()
    found = source.look(*parts)
    if found is None:
        raise BadField("there is nothing at this place", "uri", code="uri_not_found")
    _fetch(source, found, target)
    return target


def _fetch(source: ObjectSource, found: Found, target: Path) -> None:
    if found.problem:
        raise ArchiveError(found.problem, code="archive-too-large")
    with contextlib.suppress(BaseError):
        if source.fetch(found, target):
            return
    raise BadField("the files changed while they were read", "uri", code="uri_changed")
