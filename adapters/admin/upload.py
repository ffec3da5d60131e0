"""From the body of a push to a private PEFT directory: archive, form or reference, all bounded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from fastapi import Request
from obstore.exceptions import BaseError
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from adapters.admin.errors import BadRequest
from adapters.admin.models import ImportRequest
from adapters.config import AdaptersConfig
from adapters.errors import ArchiveError
from adapters.format.archive import unpack
from adapters.format.checkpoint import MAX_ENTRIES, select
from adapters.format.files import chunks, walk
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
_MAX_JSON_BYTES = 64 * 1024
# Boundaries and headers of a form around its one file.
_FORM_OVERHEAD_BYTES = 64 * 1024


@asynccontextmanager
async def received(request: Request, config: AdaptersConfig) -> AsyncIterator[Path]:
    """The pushed PEFT directory, private and gone after the block.

    Raises ``ArchiveError`` (also ``archive-too-large``) and ``BadRequest``.
    """
    with tempfile.TemporaryDirectory(prefix="graftwork-push-") as name:
        scratch = Path(name)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            yield await _imported(request, scratch, config)
        elif kind == "multipart/form-data":
            yield await _unpacked(await _form_file(request, scratch, config), scratch, config)
        elif kind in ARCHIVES:
            yield await _unpacked(await _raw_body(request, scratch, config), scratch, config)
        else:
            raise BadRequest(
                "send the archive as application/x-tar, application/gzip or application/zip, as "
                f'the form field "file", or JSON {{"uri": …}}; got {kind or "no content type"}',
                "content-type",
                code="unsupported-media-type",
            )


async def _raw_body(request: Request, scratch: Path, config: AdaptersConfig) -> Path:
    target = scratch / "archive"
    limit = config.push.archive.max_archive_bytes
    with target.open("wb") as file:
        async for piece in _bounded(request, limit):
            await asyncio.to_thread(file.write, piece)
    return target


async def _form_file(request: Request, scratch: Path, config: AdaptersConfig) -> Path:
    limit = config.push.archive.max_archive_bytes + _FORM_OVERHEAD_BYTES
    parser = MultiPartParser(request.headers, _bounded(request, limit), max_files=1, max_fields=8)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise BadRequest(f"the form cannot be read: {error.message}", "file") from error
    try:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise BadRequest('the form has no file named "file"', "file")
        target = scratch / "archive"
        await asyncio.to_thread(_save, file.file, target)
    finally:
        await form.close()
    return target


async def _bounded(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """The body as it arrives; ``ArchiveError`` once it is longer than ``limit`` bytes."""
    declared = request.headers.get("content-length", "")
    total = int(declared) if declared.isdigit() else 0
    if total <= limit:
        total = 0
        async for piece in request.stream():
            total += len(piece)
            if total > limit:
                break
            yield piece
    if total > limit:
        raise ArchiveError(f"the archive is larger than {limit} bytes", code="archive-too-large")


def _save(source: BinaryIO, target: Path) -> None:
    source.seek(0)
    with target.open("wb") as file:
        shutil.copyfileobj(source, file)


async def _unpacked(archive: Path, scratch: Path, config: AdaptersConfig) -> Path:
    return await asyncio.to_thread(unpack, archive, scratch / "files", config.push.archive)


# By reference


async def _imported(request: Request, scratch: Path, config: AdaptersConfig) -> Path:
    alias = str(request.path_params["alias"])
    body = b"".join([piece async for piece in _bounded(request, _MAX_JSON_BYTES)])
    try:
        uri = ImportRequest.model_validate(json.loads(body)).uri
    except (ValidationError, ValueError) as error:
        raise BadRequest('the body must be {"uri": "…"}', "uri") from error
    if uri.startswith("file://") or "://" not in uri:
        path = unquote(urlsplit(uri).path) if uri.startswith("file://") else uri
        return await asyncio.to_thread(_from_local, path, scratch, config, alias)
    return await asyncio.to_thread(_from_bucket, uri, scratch, config)


def _from_local(text: str, scratch: Path, config: AdaptersConfig, alias: str) -> Path:
    path = Path(os.path.realpath(text))
    roots = [Path(os.path.realpath(root)) for root in _roots(config)]
    # Resolved first: a link inside an allowed root must not lead out of it.
    if not any(path.is_relative_to(root) and path != root for root in roots):
        raise BadRequest("this place may not be imported from", "uri", code="uri-not-allowed")
    if path.is_file():
        archive = scratch / "archive"
        with path.open("rb") as source, archive.open("wb") as target:
            for piece in chunks(source):
                target.write(piece)
        return unpack(archive, scratch / "files", config.push.archive)
    if not path.is_dir():
        raise BadRequest("there is no such directory or archive", "uri", code="uri-not-found")
    return _copied(path, scratch / "files", config, alias)


def _copied(directory: Path, target: Path, config: AdaptersConfig, alias: str) -> Path:
    limits = config.preflight
    entries = walk(directory, MAX_ENTRIES)
    selection = select((e.relative for e in entries if not e.is_directory), alias)
    taken = [entry for entry in entries if entry.relative in selection.taken]
    too_large = sum(entry.size_bytes for entry in taken) > limits.max_total_bytes
    if too_large or len(taken) > limits.max_files or len(entries) > MAX_ENTRIES:
        raise ArchiveError("the directory holds too much", code="archive-too-large")
    if odd := [entry.relative for entry in taken if not entry.is_regular]:
        raise ArchiveError(f"links or devices: {', '.join(odd)}", code="special-file")
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


def _from_bucket(uri: str, scratch: Path, config: AdaptersConfig) -> Path:
    """An entry of the watched bucket, which is the only one that we hold credentials for."""
    store = (config.store or "").rstrip("/") + "/"
    parts = uri.removeprefix(store).strip("/").split("/")
    if "://" not in store or not uri.startswith(store) or len(parts) != 2 or "" in parts:
        raise BadRequest("this place may not be imported from", "uri", code="uri-not-allowed")
    limits = config.preflight
    source = open_source(
        store, max_files=limits.max_files, max_bytes=limits.max_total_bytes, max_entries=1
    )
    assert isinstance(source, ObjectSource)
    target = scratch / "files"
    target.mkdir()
    found = source.look(*parts)
    if found is None:
        raise BadRequest("there is nothing at this place", "uri", code="uri-not-found")
    _fetch(source, found, target)
    return target


def _fetch(source: ObjectSource, found: Found, target: Path) -> None:
    if found.problem:
        raise ArchiveError(found.problem, code="archive-too-large")
    with contextlib.suppress(BaseError):
        if source.fetch(found, target):
            return
    raise BadRequest("the files changed while they were read", "uri", code="uri-changed")
