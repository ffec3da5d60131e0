"""Connections that are kept: an idle one carries the next call to the same place."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import NamedTuple

from router.targets.connection import Connection
from router.targets.egress import STRAIGHT, Way, connect, trust


class Origin(NamedTuple):
    """Where a connection goes."""

    host: str
    port: int
    tls: bool
    way: Way = STRAIGHT


class Pool:
    """Belongs to the event loop that first uses it.

    Args:
        max_connections: to all origins together; who finds none waits for one.
        keepalive_s: how long an idle connection is kept.
    """

    def __init__(self, max_connections: int, keepalive_s: float) -> None:
        self._max = max_connections
        self._keepalive_s = keepalive_s
        self._origins: dict[Connection, Origin] = {}
        self._idle: dict[Origin, deque[tuple[Connection, float]]] = {}
        self._opening = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._tls: dict[Way, ssl.SSLContext] = {}

    @property
    def busy(self) -> int:
        """Connections that a call is using."""
        return len(self._origins) - sum(len(kept) for kept in self._idle.values())

    def idle(self, origin: Origin) -> Connection | None:
        """A connection that is open and free, the one used last; None when there is none."""
        found = self._idle.get(origin)
        since = asyncio.get_running_loop().time() - self._keepalive_s
        while found:
            connection, at = found.pop()
            if at >= since and connection.is_open:
                return connection
            connection.close()
        return None

    async def open(self, origin: Origin) -> Connection:
        """A new connection, or one that gets free when no more may be. Raises ``OSError``."""
        while len(self._origins) + self._opening >= self._max and not self._make_room():
            await self._turn()
            if (freed := self.idle(origin)) is not None:
                return freed
        self._opening += 1
        try:
            tls = await self._trusted(origin.way) if origin.tls else None
            connection = await connect(
                origin.way, origin.host, origin.port, tls, lambda: Connection(self._lost)
            )
        except BaseException:
            self._opening -= 1
            self._next()
            raise
        self._opening -= 1
        if connection.is_open:
            self._origins[connection] = origin
        else:  # already gone: nobody will tell that it is lost
            self._next()
        return connection

    async def _trusted(self, way: Way) -> ssl.SSLContext:
        """In a thread: reading the machine's certificates takes tens of milliseconds, once."""
        found = self._tls.get(way)
        if found is None:
            found = self._tls[way] = await asyncio.to_thread(trust, way)
        return found

    def give_back(self, connection: Connection) -> None:
        """The call is over: keep the connection if it can carry another one, else cut it."""
        origin = self._origins.get(connection)
        if not connection.finish() or origin is None:
            connection.close()
            return
        loop = asyncio.get_running_loop()
        self._idle.setdefault(origin, deque()).append((connection, loop.time()))
        self._next()
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._keepalive_s, self._sweep)

    async def _turn(self) -> None:
        """Wait until something changed."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
            else:
                self._next()  # its turn came as it left
            raise

    def _make_room(self) -> bool:
        """Cut the connection of any origin that was idle longest."""
        kept = [each for each in self._idle.values() if each]
        oldest = min(kept, key=lambda each: each[0][1], default=None)
        if oldest is None:
            return False
        connection, _ = oldest.popleft()
        connection.close()
        self._lost(connection)
        return True

    def _lost(self, connection: Connection) -> None:
        origin = self._origins.pop(connection, None)
        if origin is None:
            return
        kept = self._idle.get(origin)
        if kept:
            self._idle[origin] = deque(each for each in kept if each[0] is not connection)
        self._next()

    def _next(self) -> None:
        """Whoever waits longest may look again."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _sweep(self) -> None:
        """Cut what was idle for too long; come again while anything is left."""
        self._sweeper = None
        loop = asyncio.get_running_loop()
        since = loop.time() - self._keepalive_s
        for origin, kept in list(self._idle.items()):
            while kept and kept[0][1] <= since:
                kept.popleft()[0].close()
            if not kept:
                del self._idle[origin]
        if self._idle:
            self._sweeper = loop.call_later(self._keepalive_s, self._sweep)

    async def aclose(self) -> None:
        """Cut every connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for connection in list(self._origins):
            connection.close()
        self._idle.clear()
        await asyncio.sleep(0)  # transports close on the loop's next turn
