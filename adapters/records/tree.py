"""The Merkle tree of a log on disk: hashes only, found by their place.

``tree/leaves-<n>.bin`` hold the leaves' hashes in order, a fixed number a file, and
``tree/level-<k>.bin`` those of complete subtrees of ``256**k`` leaves. A proof reads a few hundred
hashes of each, whatever the size. What is beyond the newest checkpoint was never said, and is
overwritten.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from adapters.records import merkle
from adapters.records.merkle import HASH_BYTES

_STEP: Final = 8
"""Binary levels from one file to the next."""
CHUNK: Final = 1 << 16
"""Leaves in one file."""


class Incomplete(Exception):
    """The tree's files do not hold what checkpoints say that it has; the message says which."""


class Tree:
    """The tree of one log. Who extends it holds the lock of ``sealing``."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def extend(self, size: int, leaves: Sequence[bytes]) -> merkle.Frontier:
        """Have leaves on disk that follow the first ``size``; what the tree is made of then.

        Raises ``Incomplete`` when those before are not there, ``OSError``.
        """
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        total, level = size + len(leaves), 0
        first, nodes = size, list(leaves)
        while nodes:
            self._write(level, first, nodes)
            level += 1
            first, last = size >> (_STEP * level), total >> (_STEP * level)
            nodes = [self.subtree(_STEP * level, place, anew=True) for place in range(first, last)]
        return merkle.frontier_of(total, self.subtree)

    def subtree(self, level: int, index: int, *, anew: bool = False) -> bytes:
        """The hash of a complete subtree; ``anew``: computed from the file below its own.

        Raises ``Incomplete``.
        """
        file, more = divmod(level, _STEP)
        if anew and file and not more:
            file, more = file - 1, _STEP
        nodes = self._read(file, index << more, 1 << more)
        return merkle.root_of(
            [nodes[at : at + HASH_BYTES] for at in range(0, len(nodes), HASH_BYTES)]
        )

    def leaves(self, begin: int, end: int) -> list[bytes]:
        """Hashes of leaves ``begin`` to ``end - 1``. Raises ``Incomplete``."""
        found = []
        while begin < end:
            count = min(end - begin, CHUNK - begin % CHUNK)
            nodes = self._read(0, begin, count)
            found += [nodes[at : at + HASH_BYTES] for at in range(0, len(nodes), HASH_BYTES)]
            begin += count
        return found

    def size(self) -> int:
        """How many leaves there are, said or not."""
        found = max(self._chunks(), default=-1)
        if found < 0:
            return 0
        return found * CHUNK + self._place(0, found * CHUNK)[0].stat().st_size // HASH_BYTES

    def trim(self, begin: int) -> None:
        """Remove files of leaves that are all before ``begin``. Raises ``OSError``."""
        for chunk in self._chunks():
            if (chunk + 1) * CHUNK <= begin:
                self._place(0, chunk * CHUNK)[0].unlink(missing_ok=True)

    def files(self) -> list[Path]:
        """All of it, for a copy."""
        return sorted(self._directory.glob("*.bin"))

    def _chunks(self) -> list[int]:
        return [int(path.stem.rpartition("-")[2]) for path in self._directory.glob("leaves-*.bin")]

    def _place(self, file: int, index: int) -> tuple[Path, int]:
        """Which file a hash is in, and where, bytes."""
        if file:
            return self._directory / f"level-{file}.bin", index * HASH_BYTES
        chunk, rest = divmod(index, CHUNK)
        return self._directory / f"leaves-{chunk:06d}.bin", rest * HASH_BYTES

    def _read(self, file: int, index: int, count: int) -> bytes:
        path, offset = self._place(file, index)
        data = b""
        with suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                data = os.pread(handle, count * HASH_BYTES, offset)
            finally:
                os.close(handle)
        if len(data) != count * HASH_BYTES:
            raise Incomplete(f"{path.name} does not reach as far as the checkpoints say")
        return data

    def _write(self, file: int, index: int, nodes: Sequence[bytes]) -> None:
        while nodes:
            path, offset = self._place(file, index)
            count = len(nodes) if file else CHUNK - index % CHUNK
            part, nodes = nodes[:count], nodes[count:]
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(handle).st_size < offset:
                    raise Incomplete(f"{path.name} does not reach as far as the checkpoints say")
                _write_at(handle, b"".join(part), offset)
                os.fdatasync(handle)
            finally:
                os.close(handle)
            index += len(part)


def _write_at(handle: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written
