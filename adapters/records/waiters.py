"""Who waits for the disk: told from the thread that writes, each on an event loop of their own."""

from __future__ import annotations

import asyncio
import math


class Waiters:
    """Those of one event loop. Belongs to it but for ``tell_soon``.

    One timer for all: a deadline for each would cost as much as waiting does.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._waiting: list[tuple[int, float, asyncio.Future[None]]] = []
        self._next_look = math.inf

    def add(self, position: int, timeout_s: float) -> asyncio.Future[None]:
        """Done when so many records are on disk; raises ``TimeoutError`` after ``timeout_s``."""
        done: asyncio.Future[None] = self.loop.create_future()
        until = self.loop.time() + timeout_s
        self._waiting.append((position, until, done))
        if until < self._next_look:
            self._look_at(until)
        return done

    def tell_soon(self, durable: int) -> None:
        """From another thread: so many are on disk."""
        if self._waiting and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.tell, durable)

    def tell(self, durable: int) -> None:
        """So many are on disk."""
        still = []
        for waiter in self._waiting:
            if waiter[0] > durable:
                still.append(waiter)
            elif not waiter[2].done():
                waiter[2].set_result(None)
        self._waiting = still

    def _look_at(self, when: float) -> None:
        self._next_look = when
        self.loop.call_at(when, self._look, when)

    def _look(self, when: float) -> None:
        if when > self._next_look:
            return  # a sooner deadline came in between, and that look set the next one
        now, still = self.loop.time(), []
        for waiter in self._waiting:
            if waiter[2].done():
                continue
            if waiter[1] <= now:
                waiter[2].set_exception(TimeoutError())
            else:
                still.append(waiter)
        self._waiting, self._next_look = still, math.inf
        if still:
            self._look_at(min(waiter[1] for waiter in still))
