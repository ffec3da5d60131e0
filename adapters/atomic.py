"""The one way to write a whole file: readers see the old one or the new one, never half of one.

A draft beside the target takes its name by one rename. Drafts have names of their own, so threads
and processes may write the same file at once and the last rename counts. A write that fails leaves
nothing behind. What a killed process left is told from what a living one writes by a lock, which
the kernel takes away with the process: ``sweep`` removes the one and never the other.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a full disk, or a full share of it, answers."""
_DRAFT: Final = re.compile(r"\..+\.[0-9a-f]{16}\.draft", re.DOTALL)
_SCRATCH: Final = "scratch-"
_MAX_STEM: Final = 40
"""Characters of the target's name in a draft's: a file system takes 255 bytes."""
_TRIES: Final = 10
_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_LEFT: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def write_file(
    path: Path,
    data: bytes | str,
    *,
    durable: bool = True,
    private: bool = True,
    replace: bool = True,
) -> None:
    """Write a file: whole, or not at all, and then what was there before still is.

    ``durable``: content and name survive a power cut once this returns. ``private``: mode 0600,
    else what the umask leaves of 0666. A ``str`` is written as UTF-8.

    Raises ``OSError``; ``FileExistsError`` where there is a file that it must not ``replace``.
    """
    with _drafting(path, private=private) as (draft, handle):
        write_all(handle, data.encode() if isinstance(data, str) else data)
        if durable:
            os.fsync(handle)
        if replace:
            draft.replace(path)
        else:
            os.link(draft, path)
        if durable:
            sync(path.parent)


@contextmanager
def writing(path: Path, *, durable: bool = True, private: bool = True) -> Iterator[Path]:
    """A file for a library to fill, which takes its name when the block ends well.

    The block gets the draft: an empty file that it may open, or replace by another. ``durable``
    and ``private`` as in ``write_file``. Raises ``OSError``.
    """
    with _drafting(path, private=private) as (draft, handle):
        yield draft
        draft.chmod(stat.S_IMODE(os.fstat(handle).st_mode))
        if durable:
            sync(draft)
        draft.replace(path)
        if durable:
            sync(path.parent)


def sweep(directory: Path) -> int:
    """Remove the drafts of processes that are gone; how many there were.

    Nothing happens without the directory, and on a file system without locks. A draft that a
    library replaced by a file of its own has no lock: who uses such a one in ``writing`` is alone
    in its directory. Raises ``OSError``.
    """
    try:
        found = [Path(entry.path) for entry in os.scandir(directory)]
    except FileNotFoundError:
        return 0
    drafts = (path for path in found if _DRAFT.fullmatch(path.name))
    return sum(_removed(path, stat.S_IFREG, Path.unlink) for path in drafts)


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A private directory in ``folder``, which is made; gone after the block. Raises ``OSError``.

    What a killed process leaves of it, ``sweep_scratch`` removes.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    place, handle = _taken(lambda: _made(folder))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(handle)


def sweep_scratch(folder: Path) -> int:
    """Remove the directories of ``scratch`` whose processes are gone; how many there were."""
    found = folder.glob(f"{_SCRATCH}*")
    return sum(_removed(path, stat.S_IFDIR, shutil.rmtree) for path in found)


@contextmanager
def writer_of(directory: Path) -> Iterator[None]:
    """Whoever fills a directory says so for the length of the block; see ``is_left_behind``.

    Raises ``OSError``.
    """
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _locked(handle)
        yield
    finally:
        os.close(handle)


def is_left_behind(path: Path, quiet_s: float) -> bool:
    """Whether nobody writes here any more: nothing changed for so long, and its writer is gone.

    How long it takes to fill a directory does not matter, nor whether its file system has locks:
    without them the quiet alone counts. Raises ``OSError``.
    """
    within = [Path(folder, name) for folder, _, names in os.walk(path) for name in names]
    try:
        newest = max(each.lstat().st_mtime for each in (path, *within))
    except FileNotFoundError:
        return False  # it is being renamed, or removed
    if newest >= time.time() - quiet_s:
        return False
    try:
        handle = os.open(path, _LEFT)
    except OSError:
        return True
    try:
        return _locked(handle) is not False
    finally:
        os.close(handle)


@contextmanager
def without_room() -> Iterator[None]:
    """What the block writes may be left out where the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise


def sync(path: Path) -> None:
    """Wait until a file's content, or a directory's names, are on the disk. Raises ``OSError``."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(directory: Path) -> None:
    """The same for a directory and all that is in it, links aside. Raises ``OSError``."""
    for folder, _, names in os.walk(directory):
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink():
                sync(path)
        sync(Path(folder))


def write_all(handle: int, data: bytes) -> None:
    """Write all of it to an open file. Raises ``OSError``."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


@contextmanager
def _drafting(path: Path, *, private: bool) -> Iterator[tuple[Path, int]]:
    mode = 0o600 if private else 0o666
    draft, handle = _taken(lambda: _begun(path, mode))
    try:
        yield draft, handle
    finally:
        # After the rename there is nothing of this name. An error here would hide the first one,
        # and what it leaves is swept.
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        os.close(handle)


def _begun(path: Path, mode: int) -> tuple[Path, int]:
    draft = path.with_name(f".{path.name[:_MAX_STEM]}.{secrets.token_hex(8)}.draft")
    return draft, os.open(draft, _NEW, mode)


def _made(folder: Path) -> tuple[Path, int]:
    place = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=folder))
    try:
        return place, os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:  # swept already
        return _made(folder)


def _taken(make: Callable[[], tuple[Path, int]]) -> tuple[Path, int]:
    """What ``make`` makes and opens, locked. Who sweeps may come before the lock: then another."""
    for _ in range(_TRIES):
        path, handle = make()
        try:
            if _locked(handle) is not False and _is_at(path, handle):
                return path, handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
    raise OSError(errno.EBUSY, "every draft was taken away")


def _removed(path: Path, kind: int, remove: Callable[[Path], None]) -> bool:
    try:
        handle = os.open(path, _LEFT)
    except OSError:
        return False  # it was renamed meanwhile, or is none of ours
    try:
        if stat.S_IFMT(os.fstat(handle).st_mode) != kind or not _locked(handle):
            return False
        with suppress(FileNotFoundError):
            remove(path)
        return True
    finally:
        os.close(handle)


def _locked(handle: int) -> bool | None:
    """Whether the lock is ours now; None where the file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except FileNotFoundError:
        return False
