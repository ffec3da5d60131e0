"""The slots of a batch: which adapters are in one, which stay, and how many may be used at once.

vLLM keeps the ``max_loras`` adapters that it used last in slots, and tells nobody which; asking its
worker stalls decoding. This mirrors it from what happens at the replica's own door: what runs now
is in a slot, then what was loaded or ran last. Requests that end within one step may be in the
other order there, so it is as true as vLLM lets it be.

A pinned adapter keeps its slot. vLLM's scheduler does not count that: a batch with ``max_loras``
other adapters would find no slot, and the engine would die. So here other adapters are admitted
only as far as slots are left for them.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

_PATIENCE_S = 0.25
"""After so long nobody who came later goes first."""


@dataclass(eq=False)
class _Waiter:
    name: str
    since: float


class Slots:
    """``size`` slots; belongs to one event loop. The empty name is the base, which needs none."""

    def __init__(self, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.size = size
        self._clock = clock
        self._here: Counter[str] = Counter()
        self._running: Counter[str] = Counter()
        self._recent: dict[str, None] = {}
        self._pinned: frozenset[str] = frozenset()
        self._waiting: list[_Waiter] = []
        self._changes: list[asyncio.Future[None]] = []

    @property
    def pinned(self) -> frozenset[str]:
        """Names that keep their slot."""
        return self._pinned

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot; no more than routers let through to one replica."""
        return len(self._waiting)

    def requests(self, name: str) -> int:
        """Requests on a name that are here, those that wait for a slot included."""
        return self._here[name]

    def held(self) -> frozenset[str]:
        """Names that are in a slot."""
        return frozenset(self._recent)

    @asynccontextmanager
    async def using(self, name: str) -> AsyncIterator[None]:
        """Count a request from its first byte to its last, and let it in when it has a slot."""
        self._here[name] += 1
        try:
            await self._enter(name)
            try:
                yield
            finally:
                _less(self._running, name)
                self.touch(name)
                self._wake()
        finally:
            _less(self._here, name)

    def touch(self, name: str) -> None:
        """A name was loaded or used just now."""
        if not name:
            return
        if name in self._recent:
            del self._recent[name]
        elif len(self._recent) >= self.size:
            del self._recent[next(other for other in self._recent if other not in self._pinned)]
        self._recent[name] = None

    def drop(self, name: str) -> None:
        """The engine no longer holds a name."""
        self._recent.pop(name, None)
        self._pinned -= {name}
        self._wake()

    async def reserve(self, names: Iterable[str], timeout_s: float) -> bool:
        """Pin exactly these from now on, once enough slots are free; False when none got free."""
        before, self._pinned = self._pinned, frozenset(names)
        try:
            async with asyncio.timeout(timeout_s):
                await self._until(lambda: len(self._others()) <= self._free)
                return True
        except TimeoutError:
            self._pinned = before
            return False
        finally:
            self._wake()

    async def _enter(self, name: str) -> None:
        if self._pinned and name and not self._may_enter(name):
            waiter = _Waiter(name, self._clock())
            self._waiting.append(waiter)
            try:
                await self._until(lambda: self._may_enter(name, waiter))
            finally:
                self._waiting.remove(waiter)
                self._wake()
        self._running[name] += 1
        # With more than that at once, vLLM lets some wait: which, is seen when they end.
        if len(self._running) <= self.size:
            self.touch(name)

    def _may_enter(self, name: str, waiter: _Waiter | None = None) -> bool:
        if name in self._pinned or not self._pinned:
            return True
        first = self._waiting[0] if self._waiting else waiter
        if first is not None and first is not waiter and self._is_impatient(first):
            return False
        others = self._others()
        return name in others or len(others) < self._free

    def _is_impatient(self, waiter: _Waiter) -> bool:
        return self._clock() - waiter.since > _PATIENCE_S

    @property
    def _free(self) -> int:
        return self.size - len(self._pinned)

    def _others(self) -> set[str]:
        """Names without a slot of their own that run now."""
        return {name for name in self._running if name and name not in self._pinned}

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._changes.append(change)
            await change

    def _wake(self) -> None:
        changes, self._changes = self._changes, []
        for change in changes:
            if not change.done():
                change.set_result(None)


def _less(counter: Counter[str], name: str) -> None:
    counter[name] -= 1
    if not counter[name]:
        del counter[name]
