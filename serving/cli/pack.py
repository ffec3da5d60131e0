"""A PEFT directory as a tar, made while it is sent: nothing is written to the disk."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from adapters.format.checkpoint import MAX_ENTRIES, advice, select
from adapters.format.files import Entry, chunks, open_regular, walk
from adapters.store.sources import SUCCESS

_BLOCK = tarfile.BLOCKSIZE
_END = tarfile.NUL * (2 * _BLOCK)


class CannotPack(Exception):
    """The directory is not one of regular files; the message names the culprit."""


class Pack:
    """The tar of the adapter in one directory; what training left beside it stays here.

    Only regular files go in, under their relative paths. Raises ``CannotPack``.
    """

    def __init__(self, directory: Path, alias: str) -> None:
        entries = walk(directory, MAX_ENTRIES)
        names = [entry.relative for entry in entries if not entry.is_directory]
        if not names:
            raise CannotPack(f"{directory} holds no files: name a PEFT directory")
        if len(entries) > MAX_ENTRIES:
            raise CannotPack(
                f"{directory} holds more than {MAX_ENTRIES} files: name the PEFT directory itself"
            )
        selection = select(names, alias)
        if selection.ambiguity:
            raise CannotPack(f"{directory}: {selection.ambiguity}")
        kept = set(selection.kept) - {SUCCESS}
        self._entries = [entry for entry in entries if entry.relative in kept]
        if not self._entries:
            raise CannotPack(f"{directory} holds no adapter. {advice(names)}")
        if odd := [entry.relative for entry in self._entries if not entry.is_regular]:
            raise CannotPack(
                f"{', '.join(odd)}: links or devices, but an adapter is made of regular files"
            )
        self._headers = [_header(entry) for entry in self._entries]

    @property
    def size_bytes(self) -> int:
        """Length of the whole tar."""
        files = sum(entry.size_bytes + _padding(entry) for entry in self._entries)
        return sum(map(len, self._headers)) + files + len(_END)

    def pieces(self, sent: Callable[[int], None]) -> Iterator[bytes]:
        """The tar's bytes; ``sent`` hears how many after each piece. Raises ``CannotPack``."""
        for piece in self._pieces():
            yield piece
            sent(len(piece))

    def _pieces(self) -> Iterator[bytes]:
        for entry, header in zip(self._entries, self._headers, strict=True):
            yield header
            yield from _content(entry)
            yield tarfile.NUL * _padding(entry)
        yield _END


def _header(entry: Entry) -> bytes:
    info = tarfile.TarInfo(entry.relative)
    info.size = entry.size_bytes
    return info.tobuf()


def _padding(entry: Entry) -> int:
    return -entry.size_bytes % _BLOCK


def _content(entry: Entry) -> Iterator[bytes]:
    left = entry.size_bytes
    with open_regular(entry.path) as file:
        for piece in chunks(file):
            left -= len(piece)
            if left < 0:
                break
            yield piece
    if left != 0:
        raise CannotPack(f"{entry.relative} changed while it was read: push again")
