"""Noticing that a stream stopped, without a timer per event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_PING = b"event: ping"
_DATA = b"data:"


class IdleWatch:
    """Calls ``expired`` once when a read has waited for longer than ``idle_s``.

    One timer per stream: when it fires it looks how long the wait really was, and starts anew for
    the rest. While the client is slow and nothing is read, nothing expires.
    """

    __slots__ = ("_expired", "_handle", "_idle_s", "_loop", "_since")

    def __init__(self, idle_s: float, expired: Callable[[], None]) -> None:
        self._idle_s = idle_s
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self._since: float | None = None
        self._handle = self._loop.call_later(idle_s, self._look)

    def waiting(self) -> None:
        """A read begins, or goes on after progress."""
        self._since = self._loop.time()

    def busy(self) -> None:
        """The client has the word: it is not the target that is slow."""
        self._since = None

    def stop(self) -> None:
        """The stream is over."""
        self._handle.cancel()

    def _look(self) -> None:
        waited = 0.0 if self._since is None else self._loop.time() - self._since
        if waited < self._idle_s:
            self._handle = self._loop.call_later(self._idle_s - waited, self._look)
        else:
            self._expired()


def is_progress(chunk: bytes) -> bool:
    """Whether events are more than comments and pings, which only say that somebody is there."""
    if _DATA not in chunk:
        return False
    return not (chunk.startswith(_PING) and chunk.count(_DATA) == 1)
