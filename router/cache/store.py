"""Kept answers: least recently used falls out, the oldest expires, bytes are bounded (law 9)."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from router.cache.key import CacheKey
from router.config.cache import CacheConfig
from router.wire.endpoint import Usage

_OVERHEAD_BYTES = 512
"""Of an entry besides its body: key, usage, bookkeeping."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One answer, as the client saw it."""

    status: int
    content_type: str
    body: bytes
    usage: Usage

    @property
    def size(self) -> int:
        """Bytes that it takes up."""
        return len(self.body) + _OVERHEAD_BYTES


class ResponseStore:
    """A bounded map from keys to answers. Belongs to one event loop."""

    def __init__(self, config: CacheConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._kept: OrderedDict[CacheKey, tuple[float, Kept]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: CacheKey) -> Kept | None:
        """The answer, if it is there and not too old."""
        found = self._kept.get(key)
        if found is None:
            return None
        until, kept = found
        if until <= self._clock():
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return kept

    @property
    def longest(self) -> int:
        """Bytes of the longest answer that is kept."""
        return min(self._config.max_answer_bytes, self._config.max_bytes - _OVERHEAD_BYTES)

    def put(self, key: CacheKey, kept: Kept) -> None:
        """Keep an answer, unless it is too long; others make room."""
        if len(kept.body) > self.longest:
            return
        self._drop(key)
        while self._kept and self.bytes + kept.size > self._config.max_bytes:
            self._drop(next(iter(self._kept)))
        self._kept[key] = (self._clock() + self._config.ttl_s, kept)
        self.bytes += kept.size

    def clear(self) -> None:
        """Forget every answer."""
        self._kept.clear()
        self.bytes = 0

    def _drop(self, key: CacheKey) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            self.bytes -= found[1].size


class CachedAnswers:
    """Kept answers as a room that can be erased from: nobody knows whose they are, so all go."""

    counted_as = "cached_answers"

    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    async def found(self, subject: str) -> int:
        """How many there are."""
        del subject
        return len(self._store)

    async def erase(self, subject: str) -> int:
        """Forget them; how many there were."""
        count = await self.found(subject)
        self._store.clear()
        return count
