"""HTTP/1.1 connections to targets: a request goes out whole, the answer comes in as it arrives.

As much of HTTP as calling a model needs: one request at a time, nothing pipelined, followed, stored
or decompressed. Parsing is llhttp's, by way of ``httptools``. A general client takes a quarter of
the router's time for each request, and twice as long for each piece of a stream (decision 0016).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, cast

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
        complete: the last byte of the answer arrived.
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
        self._has_head = self.complete = self._framed = self._provisional = False
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
            if self.complete:
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
        return self.complete and not self._pieces

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

    def _more(self) -> asyncio.Future[None]:
        """Done when something happened. Raises what ended the connection."""
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        return self._waiter

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
        if not self._busy or self.complete:  # an answer to nothing: it cannot be trusted any more
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
        if self._unread > _FULL_BYTES and not self._paused and not self.complete:
            self._paused = True
            self._transport.pause_reading()
        waiter = self._waiter  # as ``_wake`` does: of every event of every stream
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _break(self, error: Exception) -> None:
        self._fail(error)
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone; a body without a length has its end here."""
        self._disarm()
        if self._has_head and not self._framed and exc is None and self._error is None:
            self.complete = True
        self._fail(exc or ConnectionResetError("the peer closed the connection"))
        self._on_lost(self)

    # What the parser says

    def on_message_begin(self) -> None:
        """An answer begins; a second one, to the same call, is refused."""
        if self.complete:
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
        self.complete = self._framed = True
        self._reusable = bool(self._parser.should_keep_alive())  # it knows only now
