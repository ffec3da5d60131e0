"""Where each chain stood at a moment, beside the chains: an end that is cut off later is noticed.

``checkpoints.jsonl`` has one checkpoint a line: ``heads`` by writer, and the ``time``. Processes
that share the log append to it in turn.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from adapters.records.appending import Head
from adapters.records.files import Layout, write_all
from adapters.records.line import canonical, iso

_COMPACTED_BYTES = 1 << 20
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_DSYNC | os.O_CLOEXEC


@dataclass(slots=True)
class Checkpoints:
    """What the file says.

    Attributes:
        lines: how many checkpoints there are.
        heads: by writer and sequence, the hash of the record.
        damaged: numbers of lines that are no checkpoints, from 1.
    """

    lines: int = 0
    heads: dict[str, dict[int, str]] = field(default_factory=dict)
    damaged: list[int] = field(default_factory=list)


def add(layout: Layout, writer: str, head: Head, at: float) -> None:
    """Say where a chain stands; its last record is on disk. Raises ``OSError``."""
    heads = {writer: {"sequence": head.sequence - 1, "hash": head.hash}}
    line = canonical({"heads": heads, "time": iso(at)}) + b"\n"
    with _locked(layout):
        handle = os.open(layout.checkpoints, _FLAGS, 0o600)
        try:
            size = _whole(handle)
            try:
                write_all(handle, line)
            except OSError:
                os.ftruncate(handle, size)
                raise
        finally:
            os.close(handle)


def read(layout: Layout) -> Checkpoints:
    """All of it; a last line that is not whole is left out. Raises ``OSError``."""
    found = Checkpoints()
    try:
        data = layout.checkpoints.read_bytes()
    except FileNotFoundError:
        return found
    for number, text in enumerate(data.split(b"\n")[:-1], start=1):
        heads = _heads(text)
        if heads is None:
            found.damaged.append(number)
            continue
        found.lines += 1
        for writer, head in heads.items():
            found.heads.setdefault(writer, {})[head["sequence"]] = head["hash"]
    return found


def keep(layout: Layout, is_kept: Callable[[str], bool]) -> None:
    """Forget writers that retention removed, and of a long file all but each writer's newest.

    Raises ``OSError``.
    """
    with _locked(layout):
        try:
            lines = layout.checkpoints.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return
        told = [(line, _heads(line)) for line in lines]
        left = [line for line, heads in told if heads is None or any(map(is_kept, heads))]
        if sum(map(len, left)) > _COMPACTED_BYTES:
            newest = {w: line for line, heads in told for w in heads or () if is_kept(w)}
            left = [line for line in left if line in set(newest.values())]
        if len(left) == len(lines):
            return
        draft = layout.checkpoints.with_name(f".{layout.checkpoints.name}.{os.getpid()}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            write_all(handle, b"".join(left))
            os.fsync(handle)
            draft.replace(layout.checkpoints)
        finally:
            os.close(handle)
            draft.unlink(missing_ok=True)


def _heads(text: bytes) -> Mapping[str, Any] | None:
    try:
        heads = orjson.loads(text)["heads"]
        for head in heads.values():
            if type(head["sequence"]) is not int or type(head["hash"]) is not str:
                return None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return dict(heads)


def _whole(handle: int) -> int:
    """Cut a line that a crash tore; the size that is left."""
    size = os.fstat(handle).st_size
    tail = os.pread(handle, 1 << 16, max(0, size - (1 << 16)))
    torn = len(tail) - (tail.rfind(b"\n") + 1)
    if torn:
        os.ftruncate(handle, size - torn)
    return size - torn


@contextmanager
def _locked(layout: Layout) -> Iterator[None]:
    handle = os.open(layout.root, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
