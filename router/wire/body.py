"""The body of a request: bounded in bytes, packed or not, and in the time that it may take."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from backports import zstd

from router.errors import InvalidRequest, Overloaded, TooLarge, TooSlow, UnsupportedEncoding
from router.wire.asgi import ClientLeft

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
