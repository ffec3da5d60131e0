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
import re
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Protocol

from pydantic import BaseModel, ConfigDict

from adapters.errors import ArchiveError
from adapters.format.checkpoint import MAX_ENTRIES, is_left_out, is_training_state
from adapters.format.files import CHUNK_BYTES, open_regular

_BLOCK_BYTES = 512
_MAX_COMPONENT_BYTES = 255
_DRIVE = re.compile(r"[A-Za-z]:")
# What desktop systems put into archives without being asked.
_LITTER = re.compile(r"(^|/)(__MACOSX|\.DS_Store|\._[^/]*|PaxHeaders?(\.\d+)?)(/|$)")
_END_OF_CENTRAL_DIRECTORY = b"PK\x05\x06"
_ZIP64_LOCATOR = b"PK\x06\x07"
_CENTRAL_ENTRY_BYTES = 46
_MAX_ZIP_COMMENT_BYTES = 65_535


class ArchiveLimits(BaseModel):
    """How much a pushed archive may cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_archive_bytes: int = 4 << 30
    """The archive itself, as it was sent."""
    max_total_bytes: int = 4 << 30
    """All unpacked bytes together."""
    max_file_bytes: int = 4 << 30
    """One unpacked file."""
    max_files: int = 256
    """Members that are written, directories included."""
    max_members: int = MAX_ENTRIES
    """Members of any kind; what training left behind is read over and not written."""
    max_path_bytes: int = 512
    """One path, in UTF-8."""
    max_depth: int = 8
    """Components of one path."""
    max_ratio: float = 200.0
    """Unpacked bytes per archive byte, beyond ``ratio_floor_bytes``."""
    ratio_floor_bytes: int = 64 << 20
    """Up to this many unpacked bytes no ratio is suspicious: untrained adapters are all zeros."""
    max_extension_bytes: int = 64 << 10
    """Size of one tar extension header (a long name, pax attributes)."""


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
            writer = _Writer(destination, limits, _archive_bytes(file, limits))
            _unpack_by_magic(file, writer, limits)
        writer.finish()
    except BaseException:
        _empty(destination)
        raise
    return _content_root(destination)


def _archive_bytes(file: BinaryIO, limits: ArchiveLimits) -> int:
    size = os.fstat(file.fileno()).st_size
    if size > limits.max_archive_bytes:
        raise _refused("archive-too-large", f"{size} > {limits.max_archive_bytes} bytes")
    return size


def safe_path(name: str, limits: ArchiveLimits) -> tuple[str, ...]:
    """A member's name as path components that stay inside the destination; () for the top itself.

    Raises ``ArchiveError`` for names that point elsewhere or that no PEFT directory has.
    """
    shown = repr(name[:120])
    if not name or any(unicodedata.category(char) in {"Cc", "Cs"} for char in name):
        raise _refused("bad-name", f"{shown} is empty, or holds control or undecodable characters")
    if "\\" in name:
        raise _refused("backslash", f"{shown} holds a backslash")
    if name.startswith("/"):
        raise _refused("absolute-path", f"{shown} is absolute")
    if _DRIVE.match(name):
        raise _refused("drive-letter", f"{shown} begins with a drive letter")
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if ".." in parts:
        raise _refused("path-traversal", f"{shown} leaves the archive")
    if len(name.encode()) > limits.max_path_bytes:
        raise _refused("path-too-long", f"{shown} is longer than {limits.max_path_bytes} bytes")
    if any(len(part.encode()) > _MAX_COMPONENT_BYTES for part in parts):
        raise _refused("path-too-long", f"{shown} has a component that is too long")
    if len(parts) > limits.max_depth:
        raise _refused("path-too-deep", f"{shown} is deeper than {limits.max_depth}")
    return parts


class _Writer:
    """Writes members below one directory and keeps count of what they cost."""

    def __init__(self, root: Path, limits: ArchiveLimits, archive_bytes: int) -> None:
        self._root = root
        self._limits = limits
        self._archive_bytes = max(archive_bytes, 1)
        self._names: dict[str, tuple[str, str]] = {}
        self._members = 0
        self._written = 0
        self._files = 0
        self._total_bytes = 0

    def directory(self, name: str) -> None:
        parts = self._admit(name, "directory")
        if self._is_wanted(name, parts):
            self._root.joinpath(*parts).mkdir(parents=True, exist_ok=True, mode=0o755)

    def file(self, name: str, content: Iterator[bytes]) -> None:
        """Write one member; ``content`` has been counted by whoever decompressed it."""
        parts = self._admit(name, "file")
        if not self._is_wanted(name, parts):
            return
        self._files += 1
        path = self._root.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(path, flags, 0o644), "wb") as out:
            self._copy(name, content, out)

    def skip(self, name: str) -> None:
        """Note a member that is not written."""
        self._admit(name, "file")

    def count(self, size_bytes: int) -> None:
        """Book bytes that came out of the decompressor."""
        self._total_bytes += size_bytes
        if self._total_bytes > self._limits.max_total_bytes:
            raise _refused("total-too-large", f"more than {self._limits.max_total_bytes} bytes")
        ratio = self._total_bytes / self._archive_bytes
        if self._total_bytes > self._limits.ratio_floor_bytes and ratio > self._limits.max_ratio:
            raise _refused(
                "compression-bomb", f"more than {self._limits.max_ratio:g} bytes per archive byte"
            )

    def finish(self) -> None:
        if self._files == 0:
            raise _refused("empty", "the archive holds no files")

    def _copy(self, name: str, content: Iterator[bytes], out: IO[bytes]) -> None:
        written = 0
        for piece in content:
            written += len(piece)
            if written > self._limits.max_file_bytes:
                raise _refused(
                    "file-too-large", f"{name!r} exceeds {self._limits.max_file_bytes} bytes"
                )
            out.write(piece)

    def _admit(self, name: str, kind: str) -> tuple[str, ...]:
        self._members += 1
        if self._members > self._limits.max_members:
            raise _refused("too-many-files", f"more than {self._limits.max_members} members")
        parts = safe_path(name, self._limits)
        if kind == "file" and not parts:
            raise _refused("bad-name", f"{name[:120]!r} names no file")
        for depth in range(1, len(parts)):
            self._reserve(parts[:depth], "directory")
        if parts:
            self._reserve(parts, kind)
        return parts

    def _is_wanted(self, name: str, parts: tuple[str, ...]) -> bool:
        """Whether a member is written; those that are are counted."""
        if _LITTER.search(name) or is_training_state("/".join(parts)):
            return False
        self._written += 1
        if self._written > self._limits.max_files:
            raise _refused("too-many-files", f"more than {self._limits.max_files} files")
        return True

    def _reserve(self, parts: tuple[str, ...], kind: str) -> None:
        """Refuse a second file of one name, also where only case or Unicode form differs."""
        path = "/".join(parts)
        key = unicodedata.normalize("NFC", path).casefold()
        known = self._names.get(key)
        if known is not None and (kind == "file" or known != (kind, path)):
            raise _refused("duplicate-name", f"{path[:120]!r} occurs twice")
        self._names[key] = (kind, path)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Tar:
    """A tar stream, block by block.

    ``tarfile`` reads extension headers whole, whatever size they claim, and takes a missing end for
    an end; only its parser for one header block is used here.
    """

    def __init__(self, file: _Readable, writer: _Writer, limits: ArchiveLimits) -> None:
        self._file = file
        self._writer = writer
        self._limits = limits

    def unpack(self) -> None:
        attributes: dict[str, str] = {}
        while any(block := self._exactly(_BLOCK_BYTES)):
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            if info.size < 0:
                raise _refused("corrupt", "a member of negative size")
            if info.type in _TAR_EXTENSIONS:
                attributes.update(self._extension(info))
            else:
                self._member(info, attributes)
                attributes = {}
        self._expect_only_padding()

    def _extension(self, info: tarfile.TarInfo) -> dict[str, str]:
        """What a GNU or pax header says about the member that follows it."""
        if info.size > self._limits.max_extension_bytes:
            raise _refused("corrupt", f"an extension header of {info.size} bytes")
        data = b"".join(self._content(info.size))
        if info.type == tarfile.GNUTYPE_LONGNAME:
            return {"path": data.rstrip(b"\0").decode("utf-8", "surrogateescape")}
        if info.type == tarfile.GNUTYPE_LONGLINK:
            return {}
        records = _pax_records(data)
        if info.type == tarfile.XGLTYPE and {"path", "size"} & records.keys():
            raise _refused("corrupt", "a global header names a member")
        return records

    def _member(self, info: tarfile.TarInfo, attributes: dict[str, str]) -> None:
        name = attributes.get("path", info.name)
        size = _size(attributes.get("size"), info.size)
        if any(key.startswith("GNU.sparse") for key in attributes):
            raise _refused("special-file", f"{name[:120]!r} is a sparse file")
        if info.type not in _TAR_KINDS:
            self._other(info, name)
            return
        content = self._content(size)
        if info.isdir():
            self._writer.directory(name)
        else:
            self._writer.file(name, content)
        for _ in content:  # what the writer did not want must still be passed over
            pass

    def _other(self, info: tarfile.TarInfo, name: str) -> None:
        """Pass over a link among what training left behind; refuse any other kind of member."""
        if not (info.issym() or info.islnk()) or info.size or not is_left_out(name):
            raise _refused(*_tar_refusal(info, name))
        self._writer.skip(name)

    def _content(self, size: int) -> Iterator[bytes]:
        left = size
        while left:
            piece = self._exactly(min(left, CHUNK_BYTES))
            left -= len(piece)
            yield piece
        self._exactly(-size % _BLOCK_BYTES)

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        self._writer.count(len(data))
        if len(data) != size:
            raise _refused("truncated", "the archive ends too early")
        return data

    def _expect_only_padding(self) -> None:
        while data := self._file.read(CHUNK_BYTES):
            self._writer.count(len(data))
            if any(data):
                raise _refused("corrupt", "data behind the end of the archive")


_TAR_EXTENSIONS = {
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
}
_TAR_KINDS = {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE}
_UNIX_KINDS = {0, stat.S_IFREG, stat.S_IFDIR}


def _tar_refusal(info: tarfile.TarInfo, name: str) -> tuple[str, str]:
    shown = repr(name[:120])
    if info.issym():
        return "symlink", f"{shown} is a symbolic link"
    if info.islnk():
        return "hardlink", f"{shown} is a hard link"
    return "special-file", f"{shown} is a device, a pipe or of unknown kind"


def _pax_records(data: bytes) -> dict[str, str]:
    """Records are ``<length> <key>=<value>`` and a line end; the length counts all of it."""
    records: dict[str, str] = {}
    start = 0
    while start < len(data):
        digits = data[start : start + 8].partition(b" ")[0]
        end = start + int(digits) if digits.isdigit() else 0
        record = data[start + len(digits) + 1 : end]
        if not start + len(digits) < end <= len(data) or not record.endswith(b"\n"):
            raise _refused("corrupt", "malformed pax attributes")
        key, _, value = record[:-1].partition(b"=")
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        start = end
    return records


def _size(attribute: str | None, size: int) -> int:
    if attribute is None:
        return size
    if not attribute.isascii() or not attribute.isdigit() or len(attribute) > 20:
        raise _refused("corrupt", "malformed pax size")
    return int(attribute)


def _unpack_by_magic(file: BinaryIO, writer: _Writer, limits: ArchiveLimits) -> None:
    head = file.read(_BLOCK_BYTES)
    file.seek(0)
    with _typed_errors():
        if head.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=file) as stream:
                _Tar(stream, writer, limits).unpack()
        elif head.startswith((b"PK\x03\x04", _END_OF_CENTRAL_DIRECTORY)):
            _unpack_zip(file, writer, limits)
        elif _is_tar(head):
            _Tar(file, writer, limits).unpack()
        else:
            raise _refused("unknown-format", "neither tar, gzip nor zip")


def _is_tar(head: bytes) -> bool:
    if len(head) == _BLOCK_BYTES and not any(head):
        return True  # an archive of nothing but its end
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _unpack_zip(file: BinaryIO, writer: _Writer, limits: ArchiveLimits) -> None:
    _check_central_directory(file, limits)
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            _unpack_zip_member(archive, info, writer)


def _unpack_zip_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, writer: _Writer) -> None:
    # `filename` is cut at a NUL; `orig_filename` is what the archive says.
    name = info.orig_filename
    shown = repr(name[:120])
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.flag_bits & 0x41:
        raise _refused("encrypted", f"{shown} is encrypted")
    if kind == stat.S_IFLNK:
        if is_left_out(name):
            writer.skip(name)
            return
        raise _refused("symlink", f"{shown} is a symbolic link")
    if kind not in _UNIX_KINDS:
        raise _refused("special-file", f"{shown} is a device or a pipe")
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise _refused("unsupported-compression", f"{shown}: method {info.compress_type}")
    if info.is_dir() or kind == stat.S_IFDIR:
        writer.directory(name)
        return
    with archive.open(info) as member:
        writer.file(name, _counted(member, writer))


def _counted(member: IO[bytes], writer: _Writer) -> Iterator[bytes]:
    while piece := member.read(CHUNK_BYTES):
        writer.count(len(piece))
        yield piece


def _check_central_directory(file: BinaryIO, limits: ArchiveLimits) -> None:
    """Refuse a directory that ``zipfile`` would need much memory for; it reads all of it first."""
    size = file.seek(0, os.SEEK_END)
    tail_start = max(0, size - 22 - 76 - _MAX_ZIP_COMMENT_BYTES)
    file.seek(tail_start)
    tail = file.read()
    at = tail.rfind(_END_OF_CENTRAL_DIRECTORY)
    if at < 0 or len(tail) - at < 22:
        raise _refused("truncated", "the zip archive has no end")
    entries, directory_bytes = struct.unpack_from("<HL", tail, at + 10)
    if at >= 76 and tail[at - 20 : at - 16] == _ZIP64_LOCATOR:
        (position,) = struct.unpack_from("<Q", tail, at - 12)
        if position != tail_start + at - 76:
            raise _refused("corrupt", "the zip64 end record is elsewhere")
        entries, directory_bytes = struct.unpack_from("<QQ", tail, at - 76 + 32)
    room = limits.max_members * (_CENTRAL_ENTRY_BYTES + limits.max_path_bytes + 4096)
    if entries > limits.max_members or directory_bytes > room:
        raise _refused("too-many-files", f"more than {limits.max_members} members")
    file.seek(0)


@contextmanager
def _opened(source: Path) -> Iterator[BinaryIO]:
    try:
        file = open_regular(source, follow_links=True)
    except OSError as error:
        raise _refused("unknown-format", f"{source.name} cannot be read") from error
    with file:
        yield file


@contextmanager
def _typed_errors() -> Iterator[None]:
    """The decompressors' own exceptions as ours; the file system's pass through."""
    try:
        yield
    except EOFError as error:
        raise _refused("truncated", "the archive ends too early") from error
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
        raise _refused("corrupt", str(error)[:200]) from error
    except OSError as error:
        # How a real file answers when a damaged zip sends the reader to a negative position.
        if error.errno != errno.EINVAL:
            raise
        raise _refused("corrupt", "an offset points outside the archive") from error


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


def _refused(code: str, message: str) -> ArchiveError:
    return ArchiveError(message, code=code)
