"""The HTTP client that every target shares, and its answer."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Final, Self

import aiohttp
from yarl import URL

from router.errors import Failure, TargetBroken, TargetTimeout, TargetUnavailable
from router.targets.base import Endpoint, Usage
from router.targets.watch import BodyWatch, StreamWatch, Watch

MAX_ERROR_BODY_BYTES: Final = 64 * 1024
"""How much of an error's body is read."""
ERROR_BODY_TIMEOUT_S: Final = 5.0
END_OF_BODY_TIMEOUT_S: Final = 0.5
"""How long the connection may stay open after the last event before it is cut, seconds."""
_MAX_HEADER_BYTES: Final = 16 * 1024
_LARGE_PAYLOAD_BYTES: Final = 1024 * 1024
_NEVER_ROUND_S: Final = 1e9
_FAILED = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


class RawAnswer:
    """An ``Answer`` straight from the wire: whatever status, whatever body.

    Attributes:
        status: HTTP status code.
        content_type: the ``Content-Type`` header as it came.
        headers: the response's headers, case-insensitive.
        usage: filled in as the body goes by, once ``watch`` was called.
    """

    __slots__ = ("_interrupted", "_on_end", "_response", "_target", "_watch", "content_type",
                 "headers", "status", "usage")  # fmt: skip

    def __init__(self, response: aiohttp.ClientResponse, target: str) -> None:
        self._response = response
        self._target = target
        self._watch: Watch | None = None
        self._interrupted: TargetBroken | None = None
        self._on_end: Callable[[], None] | None = None
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers
        self.content_type: str = self.headers.get("Content-Type", "")
        self.usage = Usage()

    def watch(
        self,
        endpoint: Endpoint,
        *,
        hide_usage: bool = False,
        on_end: Callable[[], None] | None = None,
    ) -> RawAnswer:
        """Check the body as it goes by, and count its tokens.

        Args:
            endpoint: the dialect that the body is in.
            hide_usage: drop the streamed event that carries nothing but usage.
            on_end: called once, when the body was read to its end or given up.
        """
        if self.is_stream:
            self._watch = StreamWatch(self._target, endpoint, self.usage, hide_usage=hide_usage)
        else:
            self._watch = BodyWatch(self._target, endpoint, self.usage)
        self._on_end = on_end
        return self

    @property
    def is_stream(self) -> bool:
        """Whether the body is a stream of server-sent events."""
        return self.content_type.startswith("text/event-stream")

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives; a stream in whole events. Call ``watch`` first.

        Raises:
            TargetBroken: the body was cut, ended without its last event, carried an error, or is
                not JSON. A short JSON body is checked before its first byte is passed on.
        """
        content, watch = self._response.content, self._watch
        assert watch is not None
        last = False
        while not (last or watch.done):
            try:
                data = await content.readany()
            except _FAILED as error:
                raise self._cut(error) from error
            last = not data or content.at_eof()
            passed = watch.feed(data, last=last)
            if passed:
                yield passed
            if watch.failure is not None:
                await self.aclose()
                raise watch.failure
        await self._await_end()
        self._ended()

    async def error_body(self) -> bytes:
        """What an error says, at most ``MAX_ERROR_BODY_BYTES`` of it; then the answer is closed."""
        body = bytearray()
        try:
            async with asyncio.timeout(ERROR_BODY_TIMEOUT_S):
                while len(body) < MAX_ERROR_BODY_BYTES:
                    data = await self._response.content.readany()
                    if not data:
                        break
                    body += data
        except _FAILED:
            pass  # The status says enough.
        finally:
            await self.aclose()
        return bytes(body[:MAX_ERROR_BODY_BYTES])

    def interrupt(self, error: TargetBroken) -> None:
        """Cut the connection; the read that is waiting, or the next one, fails with ``error``."""
        self._interrupted = error
        self._response.close()  # which wakes the read

    async def aclose(self) -> None:
        """Cut the connection unless the body was read to its end: the target stops its work."""
        self._response.close()
        self._ended()

    def _ended(self) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end()

    async def _await_end(self) -> None:
        """Let the connection become idle, so that the next request can use it."""
        content = self._response.content
        try:
            if not content.at_eof():
                async with asyncio.timeout(END_OF_BODY_TIMEOUT_S):
                    while await content.readany():
                        pass
        except _FAILED:
            self._response.close()  # The answer is complete: how the connection ends is no matter.

    def _cut(self, error: BaseException) -> TargetBroken:
        self._response.close()
        self._ended()
        if self._interrupted is not None:
            return self._interrupted
        if isinstance(error, asyncio.TimeoutError):
            return TargetBroken(
                f"{self._target} did not finish its answer in time.",
                code=TargetTimeout.code,
                failure=Failure.TIMEOUT,
            )
        return TargetBroken(f"{self._target} cut its answer short.", failure=Failure.CUT)


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
        self._max_connections = max_connections
        self._keepalive_s = keepalive_s
        self._session: aiohttp.ClientSession | None = None

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
    ) -> RawAnswer:
        """Send one request; returns when status and headers are here.

        Args:
            url: where to; build it once per target.
            headers: sent as they are; see ``json_headers``.
            payload: the body.
            target: the target's name, for messages.
            connect_timeout_s: bounds the wait for a connection, handshake included.
            timeout_s: bounds everything, the reading of the body included.

        Raises:
            TargetTimeout: no connection or no status in time.
            TargetUnavailable: no connection, or it ended without an answer.
        """
        session = self._session or self._open()
        try:
            response = await session.post(
                url,
                data=payload if len(payload) < _LARGE_PAYLOAD_BYTES else io.BytesIO(payload),
                headers=headers,
                timeout=aiohttp.ClientTimeout(
                    total=timeout_s, connect=connect_timeout_s, ceil_threshold=_NEVER_ROUND_S
                ),
                allow_redirects=False,
            )
        except aiohttp.ConnectionTimeoutError as error:
            raise TargetTimeout(
                f"No connection to {target} in {connect_timeout_s:g} s.",
                failure=Failure.UNREACHABLE,
            ) from error
        except TimeoutError as error:
            raise TargetTimeout(f"{target} did not answer in {timeout_s:g} s.") from error
        except aiohttp.ClientConnectorError as error:
            raise TargetUnavailable(
                f"{target} cannot be reached.", failure=Failure.UNREACHABLE
            ) from error
        except aiohttp.ClientResponseError as error:
            raise TargetUnavailable(
                f"{target} answered something that is not HTTP.", failure=Failure.BROKEN
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise TargetUnavailable(
                f"{target} closed the connection without an answer.", failure=Failure.RESET
            ) from error
        if response.headers.get("Content-Encoding", "identity") != "identity":
            response.close()
            raise TargetUnavailable(
                f"{target} compressed its answer although it was told not to.",
                failure=Failure.BROKEN,
            )
        return RawAnswer(response, target)

    async def aclose(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(  # sets TCP_NODELAY on every connection
                limit=self._max_connections,
                keepalive_timeout=self._keepalive_s,
                ttl_dns_cache=30,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("User-Agent", "Accept"),
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
        )
        return self._session


def json_headers() -> dict[str, str]:
    """The headers that every call needs."""
    return {
        "Content-Type": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "graftwork",
    }
