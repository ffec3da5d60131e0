"""HTTP/1.1 connections to targets: a request goes out whole, the answer comes in as it arrives.

As much of HTTP as calling a model needs: one request at a time, nothing pipelined, followed, stored
or decompressed. Parsing is llhttp's, by way of ``httptools``. A general client takes a quarter of
the router's time for each request, and twice as long for each piece of a stream (decision 0016).
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, cast

import httptools

MAX_HEAD_BYTES: Final = 64 * 1024
"""Status line and headers of an answer, together."""
_FULL_BYTES: Final = 512 * 1024
"""With so much unread, nothing more is taken from the network."""


class NotHttp(ConnectionError):
    """The peer sent something that is not HTTP/1.1, or too much of it."""


class Connection(asyncio.Protocol):
    """Belongs to one event loop, and to one call at a time.

    Args:
        on_lost: told once, when the connection is gone.

    Attributes:
        status: of the answer, once ``head`` returned.
        headers: of the answer; lower-case names, of repeated ones the last counts.
    """

    def __init__(self, on_lost: Callable[[Connection], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._error: Exception | None = None
        self._busy = False
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: deque[bytes] = deque()
        self._unread = 0
        self._head_bytes = 0
        self._has_head = self._complete = self._framed = self._provisional = False
        self._paused = self._reusable = False
        self.status = 0
        self.headers: dict[str, str] = {}

    # One call

    def send(self, head: bytes, body: bytes, timeout_s: float) -> None:
        """Begin a call: all of it, its answer's last byte included, has ``timeout_s``.

        Raises ``ConnectionError`` when the connection has ended since it was taken.
        """
        if not self.is_open:
            raise ConnectionResetError("the peer closed the connection")
        self._begin()
        self._busy = True
        self._timer = self._loop.call_later(timeout_s, self._expire)
        self._transport.writelines((head, body))

    async def head(self) -> None:
        """Wait for status and headers.

        Raises:
            TimeoutError: not in time.
            NotHttp: what came is no answer.
            ConnectionError: the connection ended before.
        """
        while not self._has_head:
            await self._more()

    async def read(self) -> bytes:
        """What arrived since; empty at the end of the body. Raises as ``head`` does."""
        while not self._pieces:
            if self._complete:
                return b""
            await self._more()
        data = self._pieces.popleft() if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._unread = 0
        if self._paused and self.is_open:
            self._paused = False
            self._transport.resume_reading()
        return data

    @property
    def at_end(self) -> bool:
        """Whether the whole body was read."""
        return self._complete and not self._pieces

    def finish(self) -> bool:
        """The call is over; whether the connection can carry another one."""
        self._busy = False
        self._disarm()
        return self._reusable and self.at_end and self.is_open

    @property
    def is_open(self) -> bool:
        """Whether it could be written to, as far as is known."""
        return self._error is None and not self._transport.is_closing()

    def close(self) -> None:
        """Cut it; whoever waits for something gets a ``ConnectionError``."""
        self._disarm()
        self._fail(ConnectionAbortedError("closed by us"))
        self._transport.abort()

    async def _more(self) -> None:
        """Wait until something happened."""
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        self._wake()

    def _expire(self) -> None:
        self._timer = None
        self._fail(TimeoutError())
        self._transport.abort()

    def _disarm(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    # What the event loop says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are of no subclass

    def data_received(self, data: bytes) -> None:
        """Parse; the parser calls back below."""
        if not self._busy or self._complete:  # an answer to nothing: it cannot be trusted any more
            self._break(NotHttp("bytes came that nobody asked for"))
            return
        if not self._has_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._break(NotHttp(str(error)))
            return
        if not self._has_head and self._head_bytes > MAX_HEAD_BYTES:
            self._break(NotHttp(f"the headers are longer than {MAX_HEAD_BYTES} bytes"))
            return
        if self._unread > _FULL_BYTES and not self._paused and not self._complete:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def _break(self, error: Exception) -> None:
        self._fail(error)
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone; a body without a length has its end here."""
        self._disarm()
        if self._has_head and not self._framed and exc is None and self._error is None:
            self._complete = True
        self._fail(exc or ConnectionResetError("the peer closed the connection"))
        self._on_lost(self)

    # What the parser says

    def on_message_begin(self) -> None:
        """An answer begins; a second one, to the same call, is refused."""
        if self._complete:
            raise NotHttp("a second answer came")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of the answer, or of its trailer."""
        if not self._has_head:
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is there; one with a status below 200 announces another."""
        status = self._parser.get_status_code()
        if status < 200:
            self._provisional = True
            self.headers = {}
            return
        self.status, self._has_head = status, True
        headers = self.headers
        self._framed = "content-length" in headers or "transfer-encoding" in headers

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._pieces.append(body)
        self._unread += len(body)

    def on_message_complete(self) -> None:
        """The answer has ended."""
        if self._provisional:
            self._provisional = False
            return
        self._complete = self._framed = True
        self._reusable = bool(self._parser.should_keep_alive())  # it knows only now


class Origin(NamedTuple):
    """Where a connection goes."""

    host: str
    port: int
    tls: bool


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
        self._tls: ssl.SSLContext | None = None

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
            # In a thread: reading the machine's certificates takes tens of milliseconds once.
            if origin.tls and self._tls is None:
                self._tls = await asyncio.to_thread(_trust)
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(self._lost),
                origin.host,
                origin.port,
                ssl=self._tls if origin.tls else None,
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


def _trust() -> ssl.SSLContext:
    """Certificates that the machine trusts."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
