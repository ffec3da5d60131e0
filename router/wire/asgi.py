"""ASGI: a request's body comes in, an answer goes out, and who left or does not move is given up.

A body is bounded in bytes, packed or not, and in the time that it may take; an answer in the time
in which a client takes nothing of it.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

import orjson
from backports import zstd

from router.errors import (
    InvalidRequest,
    MethodNotAllowed,
    Overloaded,
    RouterError,
    TooLarge,
    TooSlow,
    Unauthenticated,
    UnsupportedEncoding,
)

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON = b"application/json"
_LISTS = frozenset({"x-graftwork-context", "x-graftwork-fallbacks"})
"""Headers of which several lines are one list, as HTTP has it."""


class ClientLeft(Exception):
    """The client closed the connection; there is nobody to answer."""


def header_map(scope: Scope) -> dict[str, str]:
    """Request headers, lower-case names; of repeated ones the last counts, of lists the whole."""
    lines = scope["headers"]
    found = {name.decode("latin-1"): value.decode("latin-1") for name, value in lines}
    if len(found) < len(lines):
        for name in _LISTS & found.keys():
            values = (value for each, value in lines if each.decode("latin-1") == name)
            found[name] = ",".join(value.decode("latin-1") for value in values)
    return found


class Present:
    """For ``with``: cancels the work inside when the client leaves, which raises ``ClientLeft``.

    The work runs in the caller's own task: a task of its own would cost more than watching does.
    """

    __slots__ = ("_left", "_me", "_receive", "_watcher")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = False
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        me = asyncio.current_task()
        assert me is not None
        self._me = me
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        await _disconnected(self._receive)
        self._left = True
        self._me.cancel()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Let go of: its end would keep a trace of this, and this request wait for the collector.
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()
        # Counted down only if it was ours alone: who else cancelled this task must be heard.
        if kind is asyncio.CancelledError and self._left and not self._me.uncancel():
            raise ClientLeft from None


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_body(
    send: Send, status: int, body: bytes, content_type: bytes, headers: Iterable[Header] = ()
) -> None:
    """One complete response."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", content_type),
                (b"content-length", str(len(body)).encode()),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, status: int, value: Any, headers: Iterable[Header] = ()) -> None:
    """One complete JSON response."""
    await send_body(send, status, orjson.dumps(value), JSON, headers)


def encode_headers(values: Mapping[str, str]) -> list[Header]:
    """Response headers; what cannot be a header value is made harmless."""
    return [
        (
            name.encode("latin-1"),
            value.encode("latin-1") if value.isascii() and value.isprintable() else _safe(value),
        )
        for name, value in values.items()
    ]


def _safe(value: str) -> bytes:
    clean = "".join(c if c.isprintable() else "?" for c in value)
    return clean.encode("latin-1", "replace")


def error_headers(error: RouterError) -> dict[str, str]:
    """Headers that an error brings along."""
    headers = {}
    if (come_back_s := error.come_back_s) is not None:
        headers["retry-after"] = str(max(1, round(come_back_s)))
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = error.allowed
    if error.status == 426:
        headers["upgrade"] = "HTTP/1.1"  # the answer must name what would be spoken
    if isinstance(error, UnsupportedEncoding):
        headers["accept-encoding"] = "gzip, deflate, zstd"
    if isinstance(error, TooLarge | TooSlow):
        headers["connection"] = "close"  # or what is left of the body would still be read
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    return headers


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
        """The same ``send``; raises ``ClientLeft`` when the client takes nothing for too long.

        It is for the task that asks for it.
        """
        task = asyncio.current_task()
        assert task is not None

        async def patient(message: Message) -> None:
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


Pieces = Callable[[], Awaitable[Mapping[str, Any]]]

_MAX_RECEIVING_BYTES = 512 * 1024 * 1024
_IN_A_THREAD_BYTES = 32 * 1024
_WINDOW_LOG_MAX = 23
"""Zstandard over HTTP has windows of at most 8 MiB (RFC 9659); more is somebody's bomb."""
_MAX_PARTS = 64
"""Members or frames of one body. Each costs a copy of what follows it: a body of nothing but empty
ones would keep a core busy for an hour."""
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_PLAIN = frozenset({"", "identity"})


class Bodies:
    """Reads bodies. What is in memory of all that are on their way is bounded too (law 9)."""

    def __init__(self, max_bytes: int, timeout_s: float) -> None:
        self._limit = max_bytes
        self._timeout_s = timeout_s
        self.receiving = 0
        self.receiving_bytes = 0

    async def read(self, scope: Mapping[str, Any], receive: Pieces) -> bytes:
        """The whole body, unpacked.

        Raises ``TooLarge`` as soon as that is sure, ``TooSlow``, ``ClientLeft`` when it is cut,
        ``InvalidRequest`` and ``UnsupportedEncoding`` for what cannot be unpacked, and
        ``Overloaded`` when other bodies fill the memory for them.
        """
        declared = _header(scope, b"content-length")
        if declared.isascii() and declared.isdigit() and int(declared) > self._limit:
            raise _too_large(self._limit)
        try:
            async with asyncio.timeout(self._timeout_s):
                raw = await self._receive(receive)
        except TimeoutError as error:
            raise TooSlow(f"The body did not arrive within {self._timeout_s:g} s.") from error
        encoding = _header(scope, b"content-encoding").strip().lower()
        if encoding in _PLAIN:
            return raw
        if len(raw) > _IN_A_THREAD_BYTES:
            return await asyncio.to_thread(unpacked, raw, encoding, self._limit)
        return unpacked(raw, encoding, self._limit)

    async def _receive(self, receive: Pieces) -> bytes:
        parts: list[bytes] = []
        size = 0
        self.receiving += 1
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeft
                part: bytes = message.get("body", b"")
                size += len(part)
                self.receiving_bytes += len(part)
                if size > self._limit:
                    raise _too_large(self._limit)
                if not message.get("more_body", False):
                    return b"".join([*parts, part]) if parts else part
                if self.receiving_bytes > _MAX_RECEIVING_BYTES:
                    raise Overloaded("Too many bodies are on their way.", retry_after_s=1.0)
                parts.append(part)
        finally:
            self.receiving -= 1
            self.receiving_bytes -= size


def unpacked(raw: bytes, encoding: str, limit_bytes: int) -> bytes:
    """A body that was packed with gzip, deflate or zstd, and unpacks to at most so many bytes."""
    if encoding in ("gzip", "x-gzip"):
        return _inflated(raw, _GZIP_WINDOW, limit_bytes)
    if encoding == "deflate":
        # Named so, half of the clients send zlib's format and half the bare one.
        has_header = len(raw) > 1 and raw[0] & 15 == 8 and not int.from_bytes(raw[:2]) % 31
        return _inflated(raw, zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS, limit_bytes)
    if encoding == "zstd":
        return _zstd(raw, limit_bytes)
    raise UnsupportedEncoding(
        f"Bodies may be packed with gzip, deflate or zstd, not {encoding[:100]!r}."
    )


class _Unpacker(Protocol):
    """One member or frame; zlib's and zstd's are alike."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _inflated(raw: bytes, window: int, limit_bytes: int) -> bytes:
    return _joined(raw, lambda: zlib.decompressobj(window), limit_bytes)


def _zstd(raw: bytes, limit_bytes: int) -> bytes:
    options = {int(zstd.DecompressionParameter.window_log_max): _WINDOW_LOG_MAX}
    return _joined(raw, lambda: zstd.ZstdDecompressor(options=options), limit_bytes)


def _joined(raw: bytes, begin: Callable[[], _Unpacker], limit_bytes: int) -> bytes:
    """All members of a body, one after the other."""
    found = bytearray()
    for _ in range(_MAX_PARTS):
        unpacker = begin()
        try:
            found += unpacker.decompress(raw, limit_bytes + 1 - len(found))
        except (zlib.error, zstd.ZstdError) as error:
            raise _broken() from error
        if len(found) > limit_bytes:
            raise _too_large(limit_bytes)
        if not unpacker.eof:
            raise _broken()
        raw = unpacker.unused_data
        if not raw:
            return bytes(found)
    raise _broken()


def _header(scope: Mapping[str, Any], name: bytes) -> str:
    found: bytes = next((value for key, value in scope["headers"] if key == name), b"")
    return found.decode("latin-1")


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"The body is larger than {limit_bytes} bytes, which is the limit here.")


def _broken() -> InvalidRequest:
    return InvalidRequest(
        "The body is not what its content-encoding says.",
        code="invalid_encoding",
        param="content-encoding",
    )
