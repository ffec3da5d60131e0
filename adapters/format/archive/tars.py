"""Reading a tar block by block."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import Protocol

from adapters.format.archive.members import ArchiveLimits, MemberWriter, refused
from adapters.format.checkpoint import is_left_out
from adapters.format.files import CHUNK_BYTES

BLOCK_BYTES = 512


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def is_tar(head: bytes) -> bool:
    """Whether a file's first block is a tar's."""
    if len(head) == BLOCK_BYTES and not any(head):
        return True  # an archive of nothing but its end
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


class Tar:
    """A tar stream, block by block.

    ``tarfile`` reads extension headers whole, whatever size they claim, and takes a missing end for
    an end; only its parser for one header block is used here.
    """

    def __init__(self, file: _Readable, writer: MemberWriter, limits: ArchiveLimits) -> None:
        self._file = file
        self._writer = writer
        self._limits = limits

    def unpack(self) -> None:
        attributes: dict[str, str] = {}
        while any(block := self._exactly(BLOCK_BYTES)):
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            if info.size < 0:
                raise refused("corrupt", "a member of negative size")
            if info.type in _TAR_EXTENSIONS:
                attributes.update(self._extension(info))
            else:
                self._member(info, attributes)
                attributes = {}
        self._expect_only_padding()

    def _extension(self, info: tarfile.TarInfo) -> dict[str, str]:
        """What a GNU or pax header says about the member that follows it."""
        if info.size > self._limits.max_extension_bytes:
            raise refused("corrupt", f"an extension header of {info.size} bytes")
        data = b"".join(self._content(info.size))
        if info.type == tarfile.GNUTYPE_LONGNAME:
            return {"path": data.rstrip(b"\0").decode("utf-8", "surrogateescape")}
        if info.type == tarfile.GNUTYPE_LONGLINK:
            return {}
        records = _pax_records(data)
        if info.type == tarfile.XGLTYPE and {"path", "size"} & records.keys():
            raise refused("corrupt", "a global header names a member")
        return records

    def _member(self, info: tarfile.TarInfo, attributes: dict[str, str]) -> None:
        name = attributes.get("path", info.name)
        size = _size(attributes.get("size"), info.size)
        if any(key.startswith("GNU.sparse") for key in attributes):
            raise refused("special-file", f"{name[:120]!r} is a sparse file")
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
            raise refused(*_tar_refusal(info, name))
        self._writer.skip(name)

    def _content(self, size: int) -> Iterator[bytes]:
        left = size
        while left:
            piece = self._exactly(min(left, CHUNK_BYTES))
            left -= len(piece)
            yield piece
        self._exactly(-size % BLOCK_BYTES)

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        self._writer.count(len(data))
        if len(data) != size:
            raise refused("truncated", "the archive ends too early")
        return data

    def _expect_only_padding(self) -> None:
        while data := self._file.read(CHUNK_BYTES):
            self._writer.count(len(data))
            if any(data):
                raise refused("corrupt", "data behind the end of the archive")


_TAR_EXTENSIONS = {
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
}
_TAR_KINDS = {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE}


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
            raise refused("corrupt", "malformed pax attributes")
        key, _, value = record[:-1].partition(b"=")
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        start = end
    return records


def _size(attribute: str | None, size: int) -> int:
    if attribute is None:
        return size
    if not attribute.isascii() or not attribute.isdigit() or len(attribute) > 20:
        raise refused("corrupt", "malformed pax size")
    return int(attribute)
