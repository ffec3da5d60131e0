"""The HTTP client that every target shares, and its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import lru_cache
from types import TracebackType
from typing import Final, Self

from yarl import URL

from router.errors import Failure, TargetBroken, TargetTimeout, TargetUnavailable
from router.targets.connection import Connection, NotHttp
from router.targets.egress import STRAIGHT, Way
from router.targets.pool import Origin, Pool
from router.wire.aws.event_stream import CONTENT_TYPE as AWS_EVENTS
from router.wire.dialects.base import Asked
from router.wire.endpoint import Usage
from router.wire.events import Piece
from router.wire.watch import BodyWatch, DecodingWatch, StreamWatch, Watch

MAX_ERROR_BODY_BYTES: Final = 64 * 1024
"""How much of an error's body is read."""
ERROR_BODY_TIMEOUT_S: Final = 5.0
_EVENTS: Final = "text/event-stream"
END_OF_BODY_TIMEOUT_S: Final = 0.5
"""How long the connection may stay open after the last event before it is cut, seconds."""


class RawAnswer:
    """An ``Answer`` straight from the wire: whatever status, whatever body.

    Attributes:
        status: HTTP status code.
        content_type: the ``Content-Type`` header as it came; once ``watch`` was called, of what
            ``chunks`` gives.
        headers: the response's headers, by lower-case name.
        usage: filled in as the body goes by, once ``watch`` was called.
    """

    __slots__ = ("_connection", "_hide", "_interrupted", "_on_end", "_pool", "_target", "_watch",
                 "content_type", "headers", "status", "usage")  # fmt: skip

    def __init__(self, connection: Connection, pool: Pool, target: str) -> None:
        self._connection: Connection | None = connection
        self._pool = pool
        self._target = target
        self._watch: Watch | None = None
        self._interrupted: TargetBroken | None = None
        self._on_end: Callable[[], None] | None = None
        self._hide: Callable[[TargetBroken], TargetBroken] = _as_it_is
        self.status: int = connection.status
        self.headers: Mapping[str, str] = connection.headers
        self.content_type: str = self.headers.get("content-type", "")
        self.usage = Usage()

    def watch(
        self,
        asked: Asked,
        *,
        on_end: Callable[[], None] | None = None,
        hide: Callable[[TargetBroken], TargetBroken] | None = None,
    ) -> RawAnswer:
        """Check the body as it goes by, and count its tokens.

        Args:
            asked: the call that it answers.
            on_end: called once, when the body was read to its end or given up.
            hide: takes out of an error that the target sent what nobody may read.
        """
        wire, correct = asked.wire, asked.correct
        if self.is_stream:
            self._watch = StreamWatch(
                self._target, wire, self.usage, hide_usage=asked.hide_usage, correct=correct
            )
        else:
            self._watch = BodyWatch(self._target, wire, self.usage, correct=correct)
        if asked.decoder is not None:
            self._watch = DecodingWatch(self._watch, asked.decoder)
        # Not as the target calls it: SDKs hand over as text what is not called JSON.
        self.content_type = _EVENTS if self.is_stream else "application/json"
        self._on_end, self._hide = on_end, hide or _as_it_is
        return self

    @property
    def is_stream(self) -> bool:
        """Whether the body is a stream of events."""
        return self.content_type.startswith((_EVENTS, AWS_EVENTS))

    async def chunks(self) -> AsyncIterator[Piece]:
        """The answer as it arrives; see ``Answer``. Call ``watch`` first.

        Raises:
            TargetBroken: the body was cut, ended without its last event, carried an error, or is
                not JSON. A short JSON body is checked before its first byte is passed on.
        """
        connection, watch = self._connection, self._watch
        assert watch is not None
        if connection is None:  # it was closed before it was read
            raise self._cut(ConnectionAbortedError())
        last, is_stream = False, self.is_stream
        while not (last or watch.done):
            try:
                data = await connection.read()
            except OSError as error:
                raise self._cut(error) from error
            last = not data or connection.complete  # all that came was read
            passed = watch.feed(data, last=last)
            if passed.raw or not is_stream:
                yield passed
            if watch.failure is not None:
                await self.aclose()
                raise self._hide(watch.failure)
        if not connection.at_end:
            await self._await_end(connection)
        self._release()

    async def error_body(self) -> bytes:
        """What an error says, at most ``MAX_ERROR_BODY_BYTES`` of it; then the answer is closed."""
        body = bytearray()
        connection = self._connection
        assert connection is not None
        try:
            async with asyncio.timeout(ERROR_BODY_TIMEOUT_S):
                while len(body) < MAX_ERROR_BODY_BYTES:
                    data = await connection.read()
                    if not data:
                        break
                    body += data
        except OSError:
            pass  # The status says enough.
        finally:
            self._release()
        return bytes(body[:MAX_ERROR_BODY_BYTES])

    def interrupt(self, error: TargetBroken) -> None:
        """Cut the connection; the read that is waiting, or the next one, fails with ``error``."""
        self._interrupted = error
        if self._connection is not None:
            self._connection.close()  # which wakes the read

    async def aclose(self) -> None:
        """Cut the connection unless the body was read to its end: the target stops its work."""
        self._release()

    def _release(self) -> None:
        """The pool keeps a connection whose answer was read to its end, and cuts any other."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.give_back(connection)
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()

    async def _await_end(self, connection: Connection) -> None:
        """Let the connection become idle, so that the next request can use it."""
        try:
            async with asyncio.timeout(END_OF_BODY_TIMEOUT_S):
                while await connection.read():
                    pass
        except OSError:
            pass  # The answer is complete: how the connection ends is no matter.

    def _cut(self, error: BaseException) -> TargetBroken:
        self._release()
        if self._interrupted is not None:
            return self._interrupted
        if isinstance(error, TimeoutError):
            return TargetBroken(
                f"{self._target} did not finish its answer in time.",
                code=TargetTimeout.code,
                failure=Failure.TIMEOUT,
            )
        return TargetBroken(f"{self._target} cut its answer short.", failure=Failure.CUT)


def _as_it_is(error: TargetBroken) -> TargetBroken:
    return error


class HttpClient:
    """Connections to targets, kept and shared.

    It follows no redirect, keeps no cookie, reads no proxy or netrc from the environment, and asks
    for bodies as they are, so that bytes can be passed on untouched. It belongs to the event loop
    that first uses it.

    Args:
        max_connections: to all targets together; a request waits for one within its connect
            timeout.
        keepalive_s: how long an idle connection is kept. Shorter than the 5 s after which uvicorn,
            and so the engine, closes one: else a request may meet one that just went away.
    """

    def __init__(self, *, max_connections: int = 2048, keepalive_s: float = 4.0) -> None:
        self._pool = Pool(max_connections, keepalive_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def post(
        self,
        url: URL,
        headers: Mapping[str, str],
        payload: bytes,
        *,
        target: str,
        connect_timeout_s: float,
        timeout_s: float,
        way: Way = STRAIGHT,
    ) -> RawAnswer:
        """Send one request; returns when status and headers are here.

        Args:
            url: where to; build it once per target.
            headers: sent as they are; see ``json_headers``.
            payload: the body.
            target: the target's name, for messages.
            connect_timeout_s: bounds the wait for a connection, handshake included.
            timeout_s: bounds everything, the reading of the body included.
            way: out of the network.

        Raises:
            TargetTimeout: no connection or no status in time.
            TargetUnavailable: no connection, or it ended without an answer.
        """
        origin, start = _line("POST", url, way)
        head = _head(start, headers, len(payload))
        return await self._exchange(origin, head, payload, target, connect_timeout_s, timeout_s)

    async def get(
        self,
        url: URL,
        headers: Mapping[str, str],
        *,
        target: str,
        connect_timeout_s: float,
        timeout_s: float,
        way: Way = STRAIGHT,
    ) -> RawAnswer:
        """Ask for something; see ``post``."""
        origin, start = _line("GET", url, way)
        head = _head(start, headers, 0)
        return await self._exchange(origin, head, b"", target, connect_timeout_s, timeout_s)

    async def _exchange(
        self,
        origin: Origin,
        head: bytes,
        payload: bytes,
        target: str,
        connect_timeout_s: float,
        timeout_s: float,
    ) -> RawAnswer:
        connection, left_s = self._pool.idle(origin), timeout_s
        if connection is None:
            began = asyncio.get_running_loop().time()
            connection = await self._connect(origin, target, min(connect_timeout_s, timeout_s))
            left_s -= asyncio.get_running_loop().time() - began
        try:
            connection.send(head, payload, left_s)
            await connection.head()
        except OSError as error:
            self._pool.give_back(connection)
            raise _no_answer(error, target, timeout_s) from error
        except BaseException:
            connection.close()
            raise
        if connection.headers.get("content-encoding", "identity") != "identity":
            connection.close()
            raise TargetUnavailable(
                f"{target} compressed its answer although it was told not to.",
                failure=Failure.BROKEN,
            )
        return RawAnswer(connection, self._pool, target)

    async def _connect(self, origin: Origin, target: str, wait_s: float) -> Connection:
        try:
            async with asyncio.timeout(wait_s):
                return await self._pool.open(origin)
        except TimeoutError as error:
            raise TargetTimeout(
                f"No connection to {target} in {wait_s:g} s.", failure=Failure.UNREACHABLE
            ) from error
        except OSError as error:
            raise TargetUnavailable(
                f"{target} cannot be reached.", failure=Failure.UNREACHABLE
            ) from error

    @property
    def busy(self) -> int:
        """Connections that a call is using."""
        return self._pool.busy

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()


def _no_answer(error: OSError, target: str, timeout_s: float) -> TargetTimeout | TargetUnavailable:
    """Why there is no status."""
    if isinstance(error, TimeoutError):
        return TargetTimeout(f"{target} did not answer in {timeout_s:.3g} s.")
    if isinstance(error, NotHttp):
        return TargetUnavailable(
            f"{target} answered something that is not HTTP.", failure=Failure.BROKEN
        )
    return TargetUnavailable(
        f"{target} closed the connection without an answer.", failure=Failure.RESET
    )


@lru_cache(maxsize=4096)
def _line(method: str, url: URL, way: Way) -> tuple[Origin, str]:
    """Where a URL is, and how a request to it begins."""
    host, port = url.host, url.port
    if host is None or port is None or url.scheme not in {"http", "https"}:
        raise ValueError(f"not an HTTP URL: {url}")
    origin = Origin(host, port, url.scheme == "https", way)
    return origin, f"{method} {url.raw_path_qs} HTTP/1.1\r\nHost: {url.host_port_subcomponent}\r\n"


def _head(start: str, headers: Mapping[str, str], length: int) -> bytes:
    """Request line and headers. Raises ``ValueError`` for one that would become two."""
    lines = [start]
    for name, value in headers.items():
        if "\n" in value or "\r" in value:
            raise ValueError(f"the header {name} has a line break")
        lines.append(f"{name}: {value}\r\n")
    lines.append(f"Content-Length: {length}\r\n\r\n")
    return "".join(lines).encode()


def json_headers() -> dict[str, str]:
    """The headers that every call needs."""
    return {
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "graftwork",
    }
