"""Clients that read too slowly: what waits for one of them is given up after a while."""

from __future__ import annotations

import asyncio
import time

from router.wire.asgi import ClientLeft, Message, Send

_LOOKS = 4
"""Looks within one limit: a client is given up at most a quarter later than said."""


class SlowReaders:
    """Ends a ``send`` that has waited for its client for ``limit_s`` seconds.

    One timer serves all requests: a timer for every piece of every stream would cost as much as
    passing the piece on.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._since: dict[asyncio.Task[object], float] = {}
        self._late: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.given_up = 0
        """So many since the start."""

    def guarded(self, send: Send) -> Send:
        """The same ``send``; raises ``ClientLeft`` when the client takes nothing for too long."""

        async def patient(message: Message) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._since[task] = time.monotonic()
            if self._timer is None:
                self._look_later()
            try:
                await send(message)
            except asyncio.CancelledError:
                # Counted down only if it was ours alone: who else cancelled must be heard.
                if task in self._late and not task.uncancel():
                    self.given_up += 1
                    raise ClientLeft from None
                raise
            finally:
                self._since.pop(task, None)
                self._late.discard(task)

        return patient

    def _look_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._limit_s / _LOOKS, self._look)

    def _look(self) -> None:
        self._timer = None
        before = time.monotonic() - self._limit_s
        for task, since in self._since.items():
            if since < before and task not in self._late:
                self._late.add(task)
                task.cancel()
        if self._since:
            self._look_later()
