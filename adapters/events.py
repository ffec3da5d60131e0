"""What happens, as it happens: a bounded ring that many may follow.

Followers read from the ring by sequence number, so a slow one costs no memory: what it missed for
longer than the ring remembers is announced to it as one ``gap`` event.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

PASSING: Final = frozenset({"decision"})
"""Kinds that come with every request: they have a small ring of their own, so that they push out
nothing else, and the listener, which has the other records of them, is not told."""
_PASSING_KEPT = 200

Listener = Callable[["Event"], None]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. ``seq`` grows by one with each event of this process."""

    seq: int
    at: float
    """Seconds since the epoch."""
    kind: str
    """Kebab-case, for example ``version-moved`` or ``alias-committed``."""
    alias: str | None = None
    digest: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Flat, for logs and JSON: ``kind``, ``seq``, ``at``, and the rest where it is set."""
        head = {"kind": self.kind, "seq": self.seq, "at": self.at}
        about = {"alias": self.alias, "digest": self.digest}
        return {**self.data, **head, **{key: v for key, v in about.items() if v is not None}}


class EventBus:
    """Keeps the last ``capacity`` events and wakes who follows them. ``emit`` is thread-safe."""

    def __init__(self, capacity: int = 1000, listener: Listener | None = None) -> None:
        self._ring: deque[Event] = deque(maxlen=capacity)
        self._passing: deque[Event] = deque(maxlen=_PASSING_KEPT)
        self._listener = listener
        self._lock = threading.Lock()
        self._wakers: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._last = 0
        self._closed = False

    @property
    def last(self) -> int:
        """Sequence number of the newest event; 0 before the first."""
        return self._last

    @property
    def followers(self) -> int:
        """How many follow it now."""
        return len(self._wakers)

    def emit(
        self, kind: str, alias: str | None = None, digest: str | None = None, **data: Any
    ) -> Event:
        """Record an event, hand it to the listener (structured logs) and wake the followers."""
        with self._lock:
            self._last += 1
            event = Event(self._last, time.time(), kind, alias, digest, data)
            (self._passing if kind in PASSING else self._ring).append(event)
            wakers = list(self._wakers.items())
        if self._listener is not None and kind not in PASSING:
            self._listener(event)
        for waker, loop in wakers:
            _wake(waker, loop)
        return event

    def since(self, seq: int) -> list[Event]:
        """Events after ``seq`` that are still remembered, led by a ``gap`` if some are not."""
        with self._lock:
            kept = (event for ring in (self._ring, self._passing) for event in ring)
            events = sorted((event for event in kept if event.seq > seq), key=_number)
        if events and events[0].seq > seq + 1:
            gap = Event(events[0].seq - 1, events[0].at, "gap", data={"after": seq})
            return [gap, *events]
        return events

    async def follow(self, after: int | None = None) -> AsyncIterator[Event]:
        """Every event after ``after`` (default: from now on), until ``close``."""
        # A number from before a restart is ahead of us: tell everything that is remembered.
        seen = self._last if after is None else after if after <= self._last else 0
        waker = asyncio.Event()
        with self._lock:
            self._wakers[waker] = asyncio.get_running_loop()
        try:
            while not self._closed:
                waker.clear()
                for event in self.since(seen):
                    seen = event.seq
                    yield event
                if seen >= self._last and not self._closed:
                    await waker.wait()
        finally:
            with self._lock:
                del self._wakers[waker]

    def close(self) -> None:
        """End every follower, so that a server can shut down."""
        with self._lock:
            self._closed = True
            wakers = list(self._wakers.items())
        for waker, loop in wakers:
            _wake(waker, loop)


def _number(event: Event) -> int:
    return event.seq


def _wake(waker: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.call_soon_threadsafe(waker.set)
    except RuntimeError:
        # The follower's loop is closed; its generator can no longer take itself off the list.
        return
