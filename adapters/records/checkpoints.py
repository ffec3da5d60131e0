"""Signed tree heads: what the log was at a moment, beside the log and wherever an anchor has them.

``checkpoints.jsonl`` has one a line: ``{tree_size, root, heads: {writer: {sequence, hash}}, time,
prev, key_id, signature}``; ``prev`` is the SHA-256 of the line before. They also say in which order
records are leaves of the tree: those that came since the checkpoint before, by writer and sequence.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import rfc8785

from adapters.atomic import write_all, write_file
from adapters.records.files import Layout
from adapters.records.line import is_spelled, seconds

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_DSYNC | os.O_CLOEXEC
_TAIL_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class ChainHead:
    """The last record of a writer: what ``heads`` says of it."""

    sequence: int
    hash: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One signed tree head."""

    tree_size: int
    root: str
    heads: Mapping[str, ChainHead]
    time: str
    key_id: str
    prev: str | None
    """Of the line before, its ``digest``; None for the first."""
    document: Mapping[str, Any] = field(hash=False)
    """As it was signed, ``signature`` included."""

    @property
    def at(self) -> float:
        """Seconds since the epoch."""
        return seconds(self.time)

    @property
    def digest(self) -> str:
        """SHA-256 of RFC 8785 of all of it, hexadecimal."""
        return hashlib.sha256(rfc8785.dumps(dict(self.document))).hexdigest()


@dataclass(frozen=True, slots=True)
class Leaves:
    """Records of one writer that are consecutive leaves."""

    writer: str
    first: int
    """Sequence of the first record."""
    last: int
    begin: int
    """Index of the first leaf."""


@dataclass(slots=True)
class Checkpoints:
    """What the file says: (line number from 1, checkpoint), and lines that are none."""

    lines: list[tuple[int, Checkpoint]] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    respelled: list[int] = field(default_factory=list)
    """Lines whose checkpoint is whole, and that nobody wrote so."""


def parse(document: Any) -> Checkpoint | None:
    """A checkpoint from its JSON object, unchecked; None when it is none."""
    try:
        heads = {
            str(writer): ChainHead(head["sequence"], head["hash"])
            for writer, head in document["heads"].items()
        }
        size, root, time = document["tree_size"], document["root"], document["time"]
        key_id, signature, prev = document["key_id"], document["signature"], document["prev"]
    except (TypeError, KeyError, AttributeError):
        return None
    numbers = (size, *(head.sequence for head in heads.values()))
    texts = (root, time, key_id, signature, *(head.hash for head in heads.values()))
    if not all(type(each) is int for each in numbers) or size < 0:
        return None
    if not all(isinstance(each, str) for each in texts) or not isinstance(prev, str | None):
        return None
    return Checkpoint(size, root, heads, time, key_id, prev, document)


def read(layout: Layout) -> Checkpoints:
    """All of it; a last line that is not whole is left out. Raises ``OSError``."""
    found = Checkpoints()
    if layout.checkpoints.exists() and not layout.checkpoints.is_file():
        raise OSError(errno.EINVAL, "it is no file", str(layout.checkpoints))
    try:
        data = layout.checkpoints.read_bytes()
    except FileNotFoundError:
        return found
    for number, text in enumerate(data.split(b"\n")[:-1], start=1):
        checkpoint = parse_line(text)
        if checkpoint is None:
            found.damaged.append(number)
        else:
            found.lines.append((number, checkpoint))
            if not is_spelled(text, orjson.loads(text)):
                found.respelled.append(number)
    return found


def parse_line(text: bytes) -> Checkpoint | None:
    """A checkpoint from a line without its end, unchecked; None when it is none."""
    try:
        return parse(orjson.loads(text))
    except ValueError:
        return None


def parse_kept(data: bytes) -> Checkpoint:
    """One that was kept in a file: as JSON, or in the last of several lines.

    Raises ``ValueError``.
    """
    for text in (data, data.strip().rpartition(b"\n")[2]):
        if (found := parse_line(text)) is not None:
            return found
    raise ValueError("this is no checkpoint")


def order(lines: Sequence[Checkpoint]) -> Iterator[tuple[Checkpoint, list[Leaves]]]:
    """Each checkpoint with the leaves that it added; the first may stand for what was removed.

    The first line's own leaves are told when it begins at the first leaf.
    """
    reached: dict[str, int] = {}
    size = 0
    for number, line in enumerate(lines):
        added, begin = [], size
        for writer in sorted(line.heads):
            last, first = line.heads[writer].sequence, reached.get(writer, -1) + 1
            if last >= first:
                added.append(Leaves(writer, first, last, begin))
                begin += last - first + 1
                reached[writer] = last
        if number == 0 and begin != line.tree_size:
            added = []  # retention removed what came before it
        size = line.tree_size
        yield line, added


def append(layout: Layout, document: Mapping[str, Any]) -> None:
    """Put down one more; who calls has the lock. Raises ``OSError``; then it is not there."""
    handle = os.open(layout.checkpoints, _FLAGS, 0o600)
    try:
        size = _whole(handle)
        try:
            write_all(handle, rfc8785.dumps(dict(document)) + b"\n")
        except OSError:
            os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)


def newest(layout: Layout) -> Checkpoint | None:
    """The last whole line that is one; None when there is none. Raises ``OSError``."""
    try:
        handle = os.open(layout.checkpoints, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        size, wanted = os.fstat(handle).st_size, _TAIL_BYTES
        while True:
            tail = os.pread(handle, wanted, max(0, size - wanted))
            lines = tail.split(b"\n")[:-1]
            for text in reversed(lines if wanted >= size else lines[1:]):
                if (found := parse_line(text)) is not None:
                    return found
            if wanted >= size:
                return None
            wanted *= 8
    finally:
        os.close(handle)


def drop_before(layout: Layout, first: Checkpoint) -> None:
    """Forget the lines before this one; who calls has the lock. Raises ``OSError``."""
    lines = layout.checkpoints.read_bytes().splitlines(keepends=True)
    documents = [parse_line(line.rstrip(b"\n")) for line in lines]
    at = next(n for n, each in enumerate(documents) if each is not None and each == first)
    write_file(layout.checkpoints, b"".join(lines[at:]))


def _whole(handle: int) -> int:
    """Cut a line that a crash tore; the size that is left."""
    size = os.fstat(handle).st_size
    wanted = _TAIL_BYTES
    while True:
        tail = os.pread(handle, wanted, max(0, size - wanted))
        if b"\n" in tail or wanted >= size:
            break
        wanted *= 8
    torn = len(tail) - (tail.rfind(b"\n") + 1)
    if torn:
        os.ftruncate(handle, size - torn)
    return size - torn


@contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """One process at a time. Raises ``OSError``."""
    handle = os.open(layout.root, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
