"""Redacted entries that wait for the disk: bounded, and written in groups."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from router.capture.counts import CaptureCounts, Dropped
from router.capture.spool import Line, Spool

UNWRITTEN: Final = 512
"""Entries that wait for a disk that takes nothing; as many again may be on their way to it."""


class Unwritten:
    """Of one router. Belongs to one event loop.

    Attributes:
        waiting: those that no write has taken yet.
    """

    def __init__(self, spool: Spool, counts: CaptureCounts) -> None:
        self.waiting: deque[Line] = deque()
        self._spool = spool
        self._counts = counts
        self._under_way: list[Line] = []
        self._writing = asyncio.Lock()

    def __len__(self) -> int:
        return len(self.waiting) + len(self._under_way)

    def add(self, line: Line) -> None:
        """One more waits."""
        self.waiting.append(line)
        self._bound()

    def _bound(self) -> None:
        """A slow disk costs what is only sampled, the oldest first."""
        while len(self.waiting) > UNWRITTEN:
            oldest = next((n for n, each in enumerate(self.waiting) if not each.urgent), 0)
            del self.waiting[oldest]
            self._counts.dropped(Dropped.DISK)

    async def write(self) -> bool:
        """Have all of them on the disk; False when it does not take them: they wait on."""
        async with self._writing:
            lines = self._under_way = list(self.waiting)
            self.waiting.clear()
            try:
                if lines:
                    await asyncio.to_thread(self._spool.add, lines)
            except BaseException as error:
                # Who is written twice counts once; who is not written would be lost.
                self.waiting.extendleft(reversed(lines))
                self._bound()
                if not isinstance(error, OSError):
                    raise
                self._counts.failed(error)
                return False
            finally:
                self._under_way = []
        return True
