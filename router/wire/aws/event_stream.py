"""AWS's binary streams of events (``application/vnd.amazon.eventstream``), cut from any bytes.

A frame is its length, its headers' length, a checksum of these two, headers, payload, and a
checksum of all before it; numbers are big-endian.
https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from router.wire.events import MAX_EVENT_BYTES

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"
_PRELUDE: Final = struct.Struct(">III")
_CHECKSUM: Final = struct.Struct(">I")
_LENGTH: Final = struct.Struct(">H")
_SMALLEST: Final = _PRELUDE.size + _CHECKSUM.size
_LONG_TEXTS: Final = frozenset({6, 7})
_TEXT: Final = 7
_SIZES: Final[Mapping[int, int]] = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type; those of ``_LONG_TEXTS`` say their length."""


class BadFrame(ValueError):
    """The bytes are no frame, were damaged, or are too many."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One event: its headers that are texts, and its payload."""

    headers: Mapping[str, str]
    payload: bytes


class Frames:
    """Cuts bytes, however they arrive, into frames. Keeps at most one that is not whole."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that ``data`` completes.

        Raises:
            BadFrame: after those before it.
        """
        rest = self._rest
        rest += data
        start = 0
        try:
            while size := _size(rest, start):
                frame = bytes(rest[start : start + size])
                start += size
                yield _read(frame)
        finally:
            del rest[:start]


def _size(data: bytearray, start: int) -> int:
    """The length of the frame that begins here; 0 while it is not whole."""
    if len(data) - start < _PRELUDE.size:
        return 0
    size, headers, checksum = _PRELUDE.unpack_from(data, start)
    if zlib.crc32(data[start : start + 8]) != checksum:
        raise BadFrame("an event's beginning is damaged")
    if size > MAX_EVENT_BYTES:
        raise BadFrame("an event is too large")
    if size < _SMALLEST + headers:
        raise BadFrame("an event is shorter than its headers")
    return int(size) if len(data) - start >= size else 0


def _read(frame: bytes) -> Frame:
    if zlib.crc32(frame[:-4]) != _CHECKSUM.unpack_from(frame, len(frame) - 4)[0]:
        raise BadFrame("an event is damaged")
    _, headers, _ = _PRELUDE.unpack_from(frame)
    end = _PRELUDE.size + headers
    return Frame(dict(_headers(frame[_PRELUDE.size : end])), frame[end:-4])


def _headers(raw: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    try:
        while at < len(raw):
            name = raw[at + 1 : at + 1 + raw[at]].decode()
            at += 1 + raw[at]
            kind = raw[at]
            at += 1
            if kind in _LONG_TEXTS:
                [size] = _LENGTH.unpack_from(raw, at)
                at += _LENGTH.size
            else:
                size = _SIZES[kind]
            if at + size > len(raw):
                raise BadFrame("an event's headers are cut short")
            if kind == _TEXT:
                yield name, raw[at : at + size].decode()
            at += size
    except (IndexError, KeyError, struct.error, UnicodeDecodeError) as error:
        raise BadFrame("an event's headers have no known form") from error
