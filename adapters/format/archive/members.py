"""What may come out of an archive: names that stay inside, plain files, counted bytes."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict

from adapters.errors import ArchiveError
from adapters.format.checkpoint import MAX_ENTRIES, is_training_state

_MAX_COMPONENT_BYTES = 255
_DRIVE = re.compile(r"[A-Za-z]:")
# What desktop systems put into archives without being asked.
_LITTER = re.compile(r"(^|/)(__MACOSX|\.DS_Store|\._[^/]*|PaxHeaders?(\.\d+)?)(/|$)")


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


def safe_path(name: str, limits: ArchiveLimits) -> tuple[str, ...]:
    """A member's name as path components that stay inside the destination; () for the top itself.

    Raises ``ArchiveError`` for names that point elsewhere or that no PEFT directory has.
    """
    shown = repr(name[:120])
    if not name or any(unicodedata.category(char) in {"Cc", "Cs"} for char in name):
        raise refused("bad-name", f"{shown} is empty, or holds control or undecodable characters")
    if "\\" in name:
        raise refused("backslash", f"{shown} holds a backslash")
    if name.startswith("/"):
        raise refused("absolute-path", f"{shown} is absolute")
    if _DRIVE.match(name):
        raise refused("drive-letter", f"{shown} begins with a drive letter")
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if ".." in parts:
        raise refused("path-traversal", f"{shown} leaves the archive")
    if len(name.encode()) > limits.max_path_bytes:
        raise refused("path-too-long", f"{shown} is longer than {limits.max_path_bytes} bytes")
    if any(len(part.encode()) > _MAX_COMPONENT_BYTES for part in parts):
        raise refused("path-too-long", f"{shown} has a component that is too long")
    if len(parts) > limits.max_depth:
        raise refused("path-too-deep", f"{shown} is deeper than {limits.max_depth}")
    return parts


class MemberWriter:
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
            raise refused("total-too-large", f"more than {self._limits.max_total_bytes} bytes")
        ratio = self._total_bytes / self._archive_bytes
        if self._total_bytes > self._limits.ratio_floor_bytes and ratio > self._limits.max_ratio:
            raise refused(
                "compression-bomb", f"more than {self._limits.max_ratio:g} bytes per archive byte"
            )

    def finish(self) -> None:
        if self._files == 0:
            raise refused("empty", "the archive holds no files")

    def _copy(self, name: str, content: Iterator[bytes], out: IO[bytes]) -> None:
        written = 0
        for piece in content:
            written += len(piece)
            if written > self._limits.max_file_bytes:
                raise refused(
                    "file-too-large", f"{name!r} exceeds {self._limits.max_file_bytes} bytes"
                )
            out.write(piece)

    def _admit(self, name: str, kind: str) -> tuple[str, ...]:
        self._members += 1
        if self._members > self._limits.max_members:
            raise refused("too-many-files", f"more than {self._limits.max_members} members")
        parts = safe_path(name, self._limits)
        if kind == "file" and not parts:
            raise refused("bad-name", f"{name[:120]!r} names no file")
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
            raise refused("too-many-files", f"more than {self._limits.max_files} files")
        return True

    def _reserve(self, parts: tuple[str, ...], kind: str) -> None:
        """Refuse a second file of one name, also where only case or Unicode form differs."""
        path = "/".join(parts)
        key = unicodedata.normalize("NFC", path).casefold()
        known = self._names.get(key)
        if known is not None and (kind == "file" or known != (kind, path)):
            raise refused("duplicate-name", f"{path[:120]!r} occurs twice")
        self._names[key] = (kind, path)


def refused(code: str, message: str) -> ArchiveError:
    """The error to raise; codes are listed in the package."""
    return ArchiveError(message, code=code)
