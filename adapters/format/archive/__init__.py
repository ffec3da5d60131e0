"""Unpacking a pushed archive (.tar, .tar.gz, .zip) that may have been made to do harm.

What it is decides the content, not the name. Members are checked one by one before anything is
written, and bytes are counted as they come out of the decompressor, never as the archive declares
them. Only regular files and directories are made, with plain modes; a refused archive leaves
nothing behind. Errors are ``ArchiveError`` with one of these codes:

``unknown-format`` ``truncated`` ``corrupt`` ``encrypted`` ``unsupported-compression``
``absolute-path`` ``drive-letter`` ``backslash`` ``path-traversal`` ``bad-name`` ``path-too-long``
``path-too-deep`` ``duplicate-name`` ``symlink`` ``hardlink`` ``special-file`` ``archive-too-large``
``too-many-files`` ``file-too-large`` ``total-too-large`` ``compression-bomb`` ``empty``
``destination-not-empty``.
"""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from adapters.errors import ArchiveError
from adapters.format.archive.members import ArchiveLimits, MemberWriter, refused, safe_path
from adapters.format.archive.tars import BLOCK_BYTES, Tar, is_tar
from adapters.format.archive.zips import MAGIC, unpack_zip
from adapters.format.files import open_regular

__all__ = ["ArchiveLimits", "safe_path", "unpack"]


def unpack(source: Path, destination: Path, limits: ArchiveLimits | None = None) -> Path:
    """Unpack ``source`` into the new or empty directory ``destination``.

    Returns the directory that holds the content: ``destination``, or the one directory in it when
    everything in the archive lies below that one. Raises ``ArchiveError``; then ``destination`` is
    empty again. An ``OSError`` of the file system (disk full) passes through, after the same
    clean-up.
    """
    limits = limits or ArchiveLimits()
    destination.mkdir(parents=True, exist_ok=True)
    if any(destination.iterdir()):
        raise ArchiveError("the destination is not empty", code="destination-not-empty")
    try:
        with _opened(source) as file:
            writer = MemberWriter(destination, limits, _archive_bytes(file, limits))
            _unpack_by_magic(file, writer, limits)
        writer.finish()
    except BaseException:
        _empty(destination)
        raise
    return _content_root(destination)


def _archive_bytes(file: BinaryIO, limits: ArchiveLimits) -> int:
    size = os.fstat(file.fileno()).st_size
    if size > limits.max_archive_bytes:
        raise refused("archive-too-large", f"{size} > {limits.max_archive_bytes} bytes")
    return size


def _unpack_by_magic(file: BinaryIO, writer: MemberWriter, limits: ArchiveLimits) -> None:
    head = file.read(BLOCK_BYTES)
    file.seek(0)
    with _typed_errors():
        if head.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=file) as stream:
                Tar(stream, writer, limits).unpack()
        elif head.startswith(MAGIC):
            unpack_zip(file, writer, limits)
        elif is_tar(head):
            Tar(file, writer, limits).unpack()
        else:
            raise refused("unknown-format", "neither tar, gzip nor zip")


@contextmanager
def _opened(source: Path) -> Iterator[BinaryIO]:
    try:
        file = open_regular(source, follow_links=True)
    except OSError as error:
        raise refused("unknown-format", f"{source.name} cannot be read") from error
    with file:
        yield file


@contextmanager
def _typed_errors() -> Iterator[None]:
    """The decompressors' own exceptions as ours; the file system's pass through."""
    try:
        yield
    except EOFError as error:
        raise refused("truncated", "the archive ends too early") from error
    except (
        gzip.BadGzipFile,
        zipfile.BadZipFile,
        tarfile.HeaderError,
        zlib.error,
        struct.error,
        NotImplementedError,
        ValueError,
        OverflowError,
    ) as error:
        raise refused("corrupt", str(error)[:200]) from error
    except OSError as error:
        # How a real file answers when a damaged zip sends the reader to a negative position.
        if error.errno != errno.EINVAL:
            raise
        raise refused("corrupt", "an offset points outside the archive") from error


def _content_root(destination: Path) -> Path:
    children = list(destination.iterdir())
    only = children[0] if len(children) == 1 else destination
    return only if only.is_dir() else destination


def _empty(directory: Path) -> None:
    for child in directory.iterdir():
        if child.is_dir() and not child.is_symlink():
            shutil.rmtree(child, ignore_errors=True)
        else:
            child.unlink(missing_ok=True)
