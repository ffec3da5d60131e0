"""One record on disk: a line with its own checksum, readable by people and by ``grep``."""

from __future__ import annotations

import zlib
from typing import Any

import orjson

Record = dict[str, Any]
_HEAD = 9
"""Eight hexadecimal digits and a space."""


def to_json(record: Record) -> bytes:
    """The record as one JSON object. What JSON cannot hold is told as text.

    Whoever keeps a record keeps this: the garbage collector has nothing in it to walk through.
    """
    try:
        return orjson.dumps(record, default=str)
    except (TypeError, ValueError) as error:
        told = {name: record.get(name) for name in ("id", "at") if name in record}
        return orjson.dumps({**told, "unencodable": f"{error}: {record!r}"[:4096]}, default=str)


def encode(body: bytes) -> bytes:
    """Checksum, space, JSON (of ``to_json``), end of line."""
    return b"%08x %s\n" % (zlib.crc32(body), body)


def decode(line: bytes) -> Record | None:
    """The record of a line without its end; None for a torn or damaged one."""
    body = line[_HEAD:]
    try:
        if len(line) <= _HEAD or int(line[: _HEAD - 1], 16) != zlib.crc32(body):
            return None
        record = orjson.loads(body)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
