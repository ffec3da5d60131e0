"""Room on the disk for records: whether there is some, and a piece of it that is set aside.

What was begun has to be recorded also when somebody else has filled the disk meanwhile. So a file
without a name, which the kernel removes with the process, keeps some room for that.
"""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Final

_SET_ASIDE: Final = 1024 * 1024
"""Bytes: begins and ends of some hundred requests, with their decisions."""
_SHARE: Final = 16
"""Of a small file system no more than one such part is set aside."""
_LEAST: Final = 64 * 1024
"""With less than so many bytes nothing new is begun; of a small file system a sixteenth."""
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class Room:
    """The room below one directory. Belongs to one thread.

    Args:
        root: a directory that is there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._set_aside: int | None = None

    def look(self) -> str | None:
        """Why nothing new should be begun; None while there is room, of which some is set aside.

        Of a disk that does not tell nothing is known: then a write that fails says so.
        """
        try:
            disk = os.statvfs(self._root)
        except OSError:
            return None
        size = disk.f_blocks * disk.f_frsize
        if not size:
            return None
        free = (disk.f_bfree if os.geteuid() == 0 else disk.f_bavail) * disk.f_frsize
        if free >= min(_LEAST, size // _SHARE) and self._take(min(_SET_ASIDE, size // _SHARE)):
            return None
        return os.strerror(errno.ENOSPC)

    def give_up(self) -> bool:
        """Let go of what was set aside; whether there was something."""
        handle, self._set_aside = self._set_aside, None
        if handle is None:
            return False
        os.close(handle)
        return True

    def _take(self, size: int) -> bool:
        """Whether it is set aside, or cannot be for another reason than that there is no room."""
        if self._set_aside is not None:
            return True
        try:
            with tempfile.TemporaryFile(dir=self._root, buffering=0) as file:
                os.posix_fallocate(file.fileno(), 0, size)
                self._set_aside = os.dup(file.fileno())
        except OSError as error:
            return error.errno not in FULL
        return True
