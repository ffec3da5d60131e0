"""One `graftwork serve` for one state directory; who restores a backup there asks, too.

Two would take the registry from each other: the second is the one writer as soon as its engine is
up (law 13), and the first can publish nothing any more. Nobody expects that of a second start.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_FILE = "serve.lock"
_CANNOT = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP})
"""A file system without locks: nobody can be told."""


class Occupied(Exception):
    """Somebody serves from it; the message says who, and what to do."""


@contextmanager
def held(state_dir: Path) -> Iterator[None]:
    """While the block runs, nobody else holds it. The kernel lets go when the process ends.

    Raises:
        Occupied: another process holds it.
        OSError: the directory cannot be made or written to.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(state_dir / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, state_dir)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def home(first: Path, port: int, *, named: bool) -> Iterator[Path]:
    """A state directory, held: ``first``, or where that is taken the port's own beside it.

    So two on one machine need nothing but two ports. Who ``named`` the first gets no other.
    Raises as ``held`` does.
    """
    with ExitStack() as holding:
        place = first
        try:
            holding.enter_context(held(first))
        except Occupied:
            if named:
                raise
            place = first.with_name(f"{first.name}-{port}")
            holding.enter_context(held(place))
        yield place


def require_free(state_dir: Path) -> None:
    """Raises ``Occupied`` while somebody holds it; makes nothing."""
    try:
        descriptor = os.open(state_dir / _FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _take(descriptor, state_dir)
    finally:
        os.close(descriptor)


def _take(descriptor: int, state_dir: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "?"
        raise Occupied(
            f"`graftwork serve`, process {holder}, uses {state_dir}: stop it, or name another state"
            " directory with --state-dir"
        ) from error
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
