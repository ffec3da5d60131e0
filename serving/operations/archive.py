"""The backup's file: a tar of plain files, with their SHA-256 in a list that comes last.

Only regular files with relative names; nothing is used before all of it was verified. A file that
ends early has no list, so half a backup is never taken for a whole one.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from adapters import atomic
from serving.operations.places import OperationRefused

LIST = "backup.json"
FORMAT = 1
_CHUNK = 1 << 20


class ArchiveWriter:
    """Adds files and remembers their hashes."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.files: dict[str, str] = {}

    def add(self, name: str, path: Path) -> None:
        """Add a file as it is now; of one that grows meanwhile, what was there at the start."""
        with path.open("rb") as source:
            info = tarfile.TarInfo(name)
            info.size = os.fstat(source.fileno()).st_size
            info.mode = 0o600
            reader = _Hashing(source, info.size)
            # It raises when the file has become shorter.
            self._tar.addfile(info, reader)
        self.files[name] = reader.hexdigest()

    def add_tree(self, name: str, directory: Path) -> None:
        """Add every regular file below a directory; links are left out."""
        for path in sorted(directory.rglob("*")):
            if path.is_file() and not path.is_symlink():
                self.add(f"{name}/{path.relative_to(directory).as_posix()}", path)


class _Hashing:
    """A reader of the first ``size`` bytes that hashes what goes through."""

    def __init__(self, source: BinaryIO, size: int) -> None:
        self._source = source
        self._left = size
        self._hash = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        piece = self._source.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(piece)
        self._hash.update(piece)
        return piece

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


@contextmanager
def writing(target: Path, facts: dict[str, Any]) -> Iterator[ArchiveWriter]:
    """A new archive at ``target``: there when it is complete and on the disk, or not at all."""
    atomic.sweep(target.parent)
    with (
        atomic.writing(target) as draft,
        tarfile.open(draft, "w", format=tarfile.PAX_FORMAT) as tar,
    ):
        writer = ArchiveWriter(tar)
        yield writer
        text = json.dumps({"format": FORMAT, **facts, "files": writer.files}, indent=1)
        info = tarfile.TarInfo(LIST)
        info.size = len(text.encode())
        tar.addfile(info, io.BytesIO(text.encode()))


def unpack(source: Path, target: Path) -> dict[str, Any]:
    """Unpack into an empty directory and verify all; what the list says.

    Raises ``OperationRefused``.
    """
    try:
        with tarfile.open(source, "r:") as tar:
            found = {member.name: _unpack_one(tar, member, target) for member in tar}
    except (tarfile.TarError, EOFError) as error:
        raise OperationRefused(f"{source} is no whole backup: {error}") from error
    except OSError as error:
        raise OperationRefused(f"{source}: {error.strerror}") from error
    return _verified(source, target, found)


def _unpack_one(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> str:
    name = PurePosixPath(member.name)
    if not member.isreg() or name.is_absolute() or ".." in name.parts or not name.parts:
        raise OperationRefused(f"{member.name!r} has no place in a backup")
    path = target.joinpath(*name.parts)
    if path.exists():
        raise OperationRefused(f"{member.name} is in it twice")
    path.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    assert content is not None
    digest = hashlib.sha256()
    with path.open("wb") as file:
        while piece := content.read(_CHUNK):
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _verified(source: Path, target: Path, found: dict[str, str]) -> dict[str, Any]:
    if found.pop(LIST, None) is None:
        raise OperationRefused(f"{source} is no whole backup: {LIST} is missing")
    facts: dict[str, Any] = json.loads((target / LIST).read_text(encoding="utf-8"))
    if facts.get("format") != FORMAT:
        raise OperationRefused(
            f"{source} has format {facts.get('format')}; this version reads {FORMAT}"
        )
    wanted = facts["files"]
    wrong = sorted({k for k in found.keys() | wanted.keys() if found.get(k) != wanted.get(k)})
    if wrong:
        raise OperationRefused(f"{source} is damaged: {', '.join(wrong[:5])}")
    return facts
