"""Reading a zip whose directory was measured before it is believed."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from typing import IO, BinaryIO

from adapters.format.archive.members import ArchiveLimits, MemberWriter, refused
from adapters.format.checkpoint import is_left_out
from adapters.format.files import CHUNK_BYTES

_END_OF_CENTRAL_DIRECTORY = b"PK\x05\x06"
MAGIC = (b"PK\x03\x04", _END_OF_CENTRAL_DIRECTORY)
_ZIP64_LOCATOR = b"PK\x06\x07"
_CENTRAL_ENTRY_BYTES = 46
_MAX_ZIP_COMMENT_BYTES = 65_535
_UNIX_KINDS = {0, stat.S_IFREG, stat.S_IFDIR}


def unpack_zip(file: BinaryIO, writer: MemberWriter, limits: ArchiveLimits) -> None:
    """Write every member. Raises ``ArchiveError``, and what ``zipfile`` raises."""
    _check_central_directory(file, limits)
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            _unpack_zip_member(archive, info, writer)


def _unpack_zip_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, writer: MemberWriter
) -> None:
    # `filename` is cut at a NUL; `orig_filename` is what the archive says.
    name = info.orig_filename
    shown = repr(name[:120])
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.flag_bits & 0x41:
        raise refused("encrypted", f"{shown} is encrypted")
    if kind == stat.S_IFLNK:
        if is_left_out(name):
            writer.skip(name)
            return
        raise refused("symlink", f"{shown} is a symbolic link")
    if kind not in _UNIX_KINDS:
        raise refused("special-file", f"{shown} is a device or a pipe")
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise refused("unsupported-compression", f"{shown}: method {info.compress_type}")
    if info.is_dir() or kind == stat.S_IFDIR:
        writer.directory(name)
        return
    with archive.open(info) as member:
        writer.file(name, _counted(member, writer))


def _counted(member: IO[bytes], writer: MemberWriter) -> Iterator[bytes]:
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
        raise refused("truncated", "the zip archive has no end")
    entries, directory_bytes = struct.unpack_from("<HL", tail, at + 10)
    if at >= 76 and tail[at - 20 : at - 16] == _ZIP64_LOCATOR:
        (position,) = struct.unpack_from("<Q", tail, at - 12)
        if position != tail_start + at - 76:
            raise refused("corrupt", "the zip64 end record is elsewhere")
        entries, directory_bytes = struct.unpack_from("<QQ", tail, at - 76 + 32)
    room = limits.max_members * (_CENTRAL_ENTRY_BYTES + limits.max_path_bytes + 4096)
    if entries > limits.max_members or directory_bytes > room:
        raise refused("too-many-files", f"more than {limits.max_members} members")
    file.seek(0)
