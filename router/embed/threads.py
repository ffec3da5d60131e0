"""A few threads for what keeps a core busy, and a memory of the newest vectors."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self, TypeVar

from router.embed.encoder import Encoder
from router.embed.layers import Vector, key_of

T = TypeVar("T")
KEPT: Final = 2048
"""Vectors that are remembered; 1.5 KB each."""
_SPARE: Final = 64


class Threads:
    """Runs what blocks. ``busy`` runs are under way or wait; more than ``limit`` are refused.

    Args:
        name: of the threads.
        count: how many.
        limit: how many runs may be under way or wait.
    """

    def __init__(self, name: str, count: int = 1, limit: int = 64) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._limit = limit
        self.busy = 0

    @classmethod
    def of_requests(cls, name: str, admitted: int) -> Self:
        """For runs that are requests': those are bounded already, and refusing one is no help.

        There is room for as many as are admitted, for those of clients who left meanwhile, and for
        what is done at the start.
        """
        return cls(name, limit=2 * admitted + _SPARE)

    async def run(self, what: Callable[[], T]) -> T:
        """The result, waited for off the loop. Raises ``Busy`` at the limit.

        Who stops waiting does not stop what had begun.
        """
        if self.busy >= self._limit:
            raise Busy("too much is under way")
        self.busy += 1
        future = self._pool.submit(what)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: _tell(loop, self._done))
        return await asyncio.wrap_future(future)

    def _done(self) -> None:
        self.busy -= 1

    def close(self) -> None:
        """Wait for what is running; what waits is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(what)


class Busy(Exception):
    """As much as is allowed is under way or waits."""


class Remembered:
    """The vectors of the newest texts: a conversation asks for the same ones again.

    Used in one thread at a time.
    """

    def __init__(self, encoder: Encoder, kept: int = KEPT) -> None:
        self.encoder = encoder
        self._kept = kept
        self._known: OrderedDict[bytes, Vector] = OrderedDict()

    def vector(self, text: str) -> Vector:
        """The text's vector, as (width,)."""
        key = key_of(text)
        found = self._known.get(key)
        if found is None:
            found = self.encoder.encode([text])[0]
            self._known[key] = found
            if len(self._known) > self._kept:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return found
