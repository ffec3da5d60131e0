"""Noticing that a stream stopped, without a timer per event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

_PING = b"event: ping"
_DATA = b"data:"


class IdleWatch:
    """Calls ``expired`` once when a read has waited for longer than ``idle_s``.

    One timer per stream: when it fires it looks how long the wait really was, and starts anew for
    the rest. While the client is slow and nothing is read, nothing expires.

    Attributes:
        since: when the read that is under way began, by ``time()``; None while nothing is read.
        time: the loop's clock, seconds.
    """

    __slots__ = ("_expired", "_handle", "_idle_s", "_loop", "since", "time")

    def __init__(self, idle_s: float, expired: Callable[[], None]) -> None:
        self._idle_s = idle_s
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self.time = self._loop.time
        self.since: float | None = None

    def __enter__(self) -> Self:
        self.since = self.time()
        self._handle = self._loop.call_later(self._idle_s, self._look)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.cancel()

    def _look(self) -> None:
        waited = 0.0 if self.since is None else self.time() - self.since
        if waited < self._idle_s:
            self._handle = self._loop.call_later(self._idle_s - waited, self._look)
        else:
            self._expired()


def is_progress(chunk: bytes) -> bool:
    """Whether events are more than comments and pings, which only say that somebody is there."""
    if chunk.startswith(_DATA):
        return True
    if _DATA not in chunk:
        return False
    return not (chunk.startswith(_PING) and chunk.count(_DATA) == 1)
