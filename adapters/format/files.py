"""Reading files that strangers wrote: no links, no devices, no surprises in JSON, bounded sizes."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

CHUNK_BYTES = 1 << 20
_ABSOLUTE_PATH = re.compile(r"(?<![\w:/.])/(?:[^/\s'\"]+/)+([^/\s'\"]*)")


@dataclass(frozen=True)
class Entry:
    """One thing in a directory tree, as ``lstat`` sees it."""

    relative: str
    """POSIX path relative to the walked directory."""
    path: Path
    mode: int
    size_bytes: int

    @property
    def is_regular(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


def open_regular(path: Path, *, follow_links: bool = False) -> BinaryIO:
    """Open a regular file to read; a link (unless followed), pipe or device is an ``OSError``."""
    # O_NONBLOCK: opening a pipe that nobody writes to would otherwise hang for ever.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    descriptor = os.open(path, flags if follow_links else flags | os.O_NOFOLLOW)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path.name} is not a regular file")
    return os.fdopen(descriptor, "rb")


def is_regular(path: Path) -> bool:
    """Whether ``path`` itself is a regular file, links not followed."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def read_bounded(path: Path, max_bytes: int, *, follow_links: bool = False) -> bytes:
    """The whole content; ``ValueError`` when it is longer than ``max_bytes``."""
    with open_regular(path, follow_links=follow_links) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"{path.name} is larger than {max_bytes} bytes")
    return data


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """The rest of an open file in pieces of at most ``CHUNK_BYTES``."""
    while piece := file.read(CHUNK_BYTES):
        yield piece


def reason(error: BaseException) -> str:
    """What went wrong, without the paths of this machine: the text may travel to a client."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return _ABSOLUTE_PATH.sub(r"\1", str(error)) or type(error).__name__


def few(names: Iterable[str], most: int = 6) -> str:
    """Names for one line: the first of them, and how many more there are."""
    found = list(names)
    more = len(found) - most
    return ", ".join(found[:most]) + (f" and {more} more" if more > 0 else "")


def sha256_file(path: Path, *, follow_links: bool = False) -> str:
    """SHA-256 of a file's bytes as 64 hex digits, streamed."""
    digest = hashlib.sha256()
    with open_regular(path, follow_links=follow_links) as file:
        for piece in chunks(file):
            digest.update(piece)
    return digest.hexdigest()


def walk(directory: Path, max_entries: int) -> list[Entry]:
    """Everything below ``directory``, directories included, sorted by path, links not followed.

    Stops after ``max_entries`` + 1 entries: a hostile tree costs little.
    """
    found: list[Entry] = []
    pending = [directory]
    seen = 0
    while pending and seen <= max_entries:
        with os.scandir(pending.pop()) as listing:
            for item in listing:
                seen += 1
                if seen > max_entries + 1:
                    break
                found.append(_entry(directory, item))
                if item.is_dir(follow_symlinks=False):
                    pending.append(Path(item.path))
    return sorted(found, key=lambda entry: entry.relative)


def _entry(root: Path, item: os.DirEntry[str]) -> Entry:
    status = item.stat(follow_symlinks=False)
    path = Path(item.path)
    return Entry(path.relative_to(root).as_posix(), path, status.st_mode, status.st_size)


def parse_json_object(data: bytes) -> dict[str, Any]:
    """A UTF-8 JSON object without duplicate keys, NaN or infinity; ``ValueError`` otherwise."""
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_finite,
            parse_float=_finite,
        )
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"JSON holds {type(value).__name__}, not an object")  # noqa: TRY004
    return value


def canonical_json(value: object) -> bytes:
    """One byte string for one value: sorted keys, no spaces, UTF-8; ``ValueError`` if too deep."""
    try:
        text = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    # A lone surrogate is legal in JSON text but not in UTF-8.
    return text.encode("utf-8", errors="surrogatepass")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        # Not by counting each key: a hostile object has very many.
        twice = next(key for key, count in Counter(k for k, _ in pairs).items() if count > 1)
        raise ValueError(f"JSON repeats the key {twice[:80]!r}")
    return result


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"JSON holds {text[:40]}, which is not a finite number")
    return number
