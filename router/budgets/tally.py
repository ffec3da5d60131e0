"""What a router process may have used of each budget, kept where it outlives the process.

Every amount that is set aside or booked is also stored in a memory-mapped file: no system call, no
wait, and the kernel keeps it when the process is killed. Another router of the same machine that
finds the file without its owner gives back what the owner had not used (``budgets.reclaim``).

A file counts only for the boot in which it was written: after a power loss it may lack the last
amounts, and on storage that machines share, only its own machine sees it whole.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from router.budgets.accounts import BudgetAccount

_SLOT = 1024
"""Bytes per account; one whose name does not fit has no slot, and is not given back."""
_HEAD = struct.Struct("<qqqq")
"""Of a slot: amount used, limit, end of the window (-1: none), length of the name (0: free)."""
_USED, _LIMIT, _ENDS, _LENGTH = range(4)
_CELLS = _SLOT // 8
_SUFFIX = ".tally"
_ANCIENT_S = 40 * 86_400
"""The registry has long folded what their holders owned."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Used:
    """One account in a tally that was left behind."""

    account: str
    used: int
    """At most this much was used, requests under way at the end in full."""
    limit: int
    ends: int | None


class Tally:
    """One process's own file. Belongs to one event loop.

    Slot 0 is about the file: the number of the holder's last ask, the last slot that was ever in
    use, and the holder's name.
    """

    def __init__(self, folder: Path, holder: str, accounts: int) -> None:
        """Create the file, with room for so many accounts. Raises ``OSError``."""
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{boot_id()}-{holder.replace('/', '-')}{_SUFFIX}"
        self._path = folder / name
        self._slots = accounts + 1
        # Under another name until it is locked: an unlocked tally is one whose owner is gone.
        arriving = folder / f".{name}"
        self._file = os.open(arriving, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Not sparse: on a full disk a first write into a hole would kill the process (SIGBUS).
            os.posix_fallocate(self._file, 0, self._slots * _SLOT)
            self._map = mmap.mmap(self._file, 0)
            self._cells = memoryview(self._map).cast("q")
            self._write(0, holder, 0, -1)
            arriving.rename(self._path)
        except BaseException:
            os.close(self._file)
            arriving.unlink(missing_ok=True)
            raise
        self._free: list[int] = []
        self._closed = False

    def asked(self, number: int) -> None:
        """The holder is about to send the ask with this number."""
        self._cells[_USED] = number

    def open(self, account: BudgetAccount) -> int:
        """Begin to count an account; returns its slot, 0 when there is none for it."""
        last = self._cells[_LIMIT]
        fits = len(account.id.encode()) <= _SLOT - _HEAD.size
        if not fits or (not self._free and last + 1 >= self._slots):
            return 0
        slot = self._free.pop() if self._free else last + 1
        self._cells[_LIMIT] = max(last, slot)
        self._write(slot, account.id, account.limit, -1 if account.ends is None else account.ends)
        return slot

    def set(self, slot: int, used: int) -> None:
        """What is used or set aside of the slot's account by now."""
        if not self._closed:
            self._cells[slot * _CELLS + _USED] = used

    def close_account(self, slot: int) -> None:
        """The account's window is over."""
        self._cells[slot * _CELLS + _LENGTH] = 0
        self._free.append(slot)

    def close(self, *, settled: bool) -> None:
        """End. Unless everything was given back the file stays, for others to give back."""
        if settled:
            self._path.unlink(missing_ok=True)
        self._closed = True
        self._cells.release()
        self._map.close()
        os.close(self._file)

    def _write(self, slot: int, name: str, limit: int, ends: int) -> None:
        text, at = name.encode(), slot * _SLOT
        self._map[at + _HEAD.size : at + _HEAD.size + len(text)] = text
        # The length last: until then the slot is free.
        cells = slot * _CELLS
        for field, value in ((_USED, 0), (_LIMIT, limit), (_ENDS, ends), (_LENGTH, len(text))):
            self._cells[cells + field] = value


@dataclass(frozen=True)
class LeftBehind:
    """A tally whose owner is gone, held so that nobody else takes it up."""

    holder: str
    number: int
    """Of the holder's last ask."""
    accounts: tuple[Used, ...]
    path: Path

    def remove(self) -> None:
        """It was given back."""
        self.path.unlink(missing_ok=True)


def left_behind(folder: Path) -> Iterator[LeftBehind]:
    """Tallies of this boot whose owners are gone, each locked until the next one is asked for.

    Raises ``OSError``.
    """
    for path in sorted(folder.glob(f"{boot_id()}-*{_SUFFIX}")):
        with suppress(FileNotFoundError):
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Somebody else may have given it back between the two lines above.
                if path.exists() and (found := _read(file, path)) is not None:
                    yield found
            except BlockingIOError:
                continue
            finally:
                os.close(file)


def remove_ancient(folder: Path) -> None:
    """Remove what nobody can give back any more: of other boots, long ago. Raises ``OSError``."""
    oldest = time.time() - _ANCIENT_S
    for path in folder.glob(f"*{_SUFFIX}"):
        with suppress(FileNotFoundError):
            if not path.name.startswith(boot_id()) and path.stat().st_mtime < oldest:
                path.unlink()


def _read(file: int, path: Path) -> LeftBehind | None:
    head = _row(os.pread(file, _SLOT, 0))
    if head is None:
        return None
    rows = (_row(os.pread(file, _SLOT, slot * _SLOT)) for slot in range(1, head.limit + 1))
    accounts = tuple(row for row in rows if row is not None)
    return LeftBehind(head.account, head.used, accounts, path)


def _row(raw: bytes) -> Used | None:
    if len(raw) < _SLOT:
        return None
    used, limit, ends, length = _HEAD.unpack_from(raw)
    if not 0 < length <= _SLOT - _HEAD.size:
        return None
    name = raw[_HEAD.size : _HEAD.size + length].decode()
    return Used(name, used, limit, None if ends < 0 else ends)


def boot_id() -> str:
    """Identifies this run of this machine's kernel, alike in its containers. Raises ``OSError``."""
    return _BOOT_ID.read_text().strip()
