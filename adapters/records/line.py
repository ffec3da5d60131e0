"""One record as a line: canonical JSON (RFC 8785), chained by the hash of the record before it.

The hash is RFC 6962's of a leaf, over the canonical record without its ``hash``: a Merkle tree over
a writer's records needs no other hashes than those that are in the lines.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import orjson

Record = dict[str, Any]
GENESIS = "0" * 64
"""``prev`` of a writer's first record."""
_MAX_INTEGER = 2**53
_PLAIN = frozenset({str, bool, type(None)})
_LEAF = b"\x00"
_TEXTS = ("writer", "time", "kind", "prev", "hash")
_NO_HASH = secrets.token_hex(32)
"""Stands for a hash that is not known yet; no text can have it by intent."""
_HASH_FIELD = b'"hash":"%b",' % _NO_HASH.encode()


class Kind(StrEnum):
    """What a record is of."""

    BEGIN = "request.begin"
    END = "request.end"
    ADMIN = "admin"
    POLICY = "policy"
    ERASURE = "erasure"
    CHECKPOINT = "checkpoint"
    """What the log says of itself; ``about`` tells what: `docs/records.md` lists it."""
    FEEDBACK = "feedback"
    """What a client said of an answer; in a log of its own, which is kept longer."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What somebody wants recorded; the writer adds its name, the sequence and the hashes."""

    kind: Kind
    at: float
    """Seconds since the epoch."""
    request_id: str | None = None
    decision_id: str | None = None
    actor: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    """More fields of the kind: no content, nothing that names a person, no fractions."""
    payload: bytes | None = None
    """A JSON object that is kept apart, so that it can be erased; the record commits to it."""


def canonical(value: Any) -> bytes:
    """RFC 8785 of text, booleans, null, integers, and lists and objects of them.

    Raises ``ValueError`` for what has no canonical form here: fractions, integers that other
    readers would round, and names beyond ASCII, which RFC 8785 orders otherwise than bytes.
    """
    _check(value)
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _check(value: Any) -> None:
    kind = type(value)
    if kind in _PLAIN:
        return
    if kind is int:
        if not -_MAX_INTEGER <= value <= _MAX_INTEGER:
            raise ValueError(f"{value} is too large for a record")
    elif kind is dict:
        for name, each in value.items():
            if type(name) is not str or not name.isascii():
                raise ValueError(f"{name!r} cannot name a field of a record")
            _check(each)
    elif kind is list or kind is tuple:
        for each in value:
            _check(each)
    elif not isinstance(value, str):
        raise ValueError(f"{kind.__name__} has no canonical form in a record")


def leaf_hash(body: bytes) -> str:
    """RFC 6962's hash of a leaf, hexadecimal."""
    return hashlib.sha256(_LEAF + body).hexdigest()


def seal(
    entry: Entry, writer: str, sequence: int, prev: str, commitment: str | None
) -> tuple[bytes, Record]:
    """The line with its end, and the record. Raises ``ValueError``, see ``canonical``."""
    record: Record = {**entry.fields}
    _check(record)
    record |= {
        "writer": writer,
        "sequence": sequence,
        "time": iso(entry.at),
        "kind": entry.kind.value,
        "request_id": entry.request_id,
        "decision_id": entry.decision_id,
        "actor": entry.actor,
        "commitment": commitment,
        "prev": prev,
        "hash": _NO_HASH,
    }
    # Encoded once: the hash is of the line without it, and takes the place that was kept for it.
    # Other names follow in every record, so there is a comma behind it.
    before, _, after = orjson.dumps(record, option=orjson.OPT_SORT_KEYS).partition(_HASH_FIELD)
    record["hash"] = found = leaf_hash(before + after)
    return b'%b"hash":"%b",%b\n' % (before, found.encode(), after), record


def read_line(line: bytes) -> Record | None:
    """The record of a line without its end, unchecked; None when it is none at all."""
    try:
        record = orjson.loads(line)
    except ValueError:
        return None
    if type(record) is not dict or type(record.get("sequence")) is not int:
        return None
    for name in _TEXTS:  # a loop: verifying reads millions
        if type(record.get(name)) is not str:
            return None
    return record


def is_spelled(line: bytes, document: Record) -> bool:
    """Whether a line says what was read from it in the one form that it is written in.

    Another form may say something else to another reader: of a name that is there twice, say.
    """
    try:
        return line == canonical(document)
    except (ValueError, TypeError):
        return False


def recomputed(record: Record) -> str | None:
    """The hash that a record ought to have; None when its content has no canonical form."""
    try:
        return leaf_hash(canonical({k: v for k, v in record.items() if k != "hash"}))
    except (ValueError, TypeError):
        return None


def iso(at: float) -> str:
    """Seconds since the epoch as an ISO 8601 time in UTC, to the microsecond."""
    second, micros = divmod(_micros(at), 1_000_000)
    return f"{_whole_second(second)}.{micros:06d}Z"


def with_iso(found: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The same, with these times as ISO 8601 where they are seconds since the epoch."""
    times = {n: iso(found[n]) for n in names if isinstance(found.get(n), int | float)}
    return {**found, **times}


def recorded(at: float) -> float:
    """A time as ``seconds`` reads it from a record: what lists are ordered and continued by."""
    return _micros(at) / 1e6


def _micros(at: float) -> int:
    # One rounding for both: `round(at, 6)` ends elsewhere for one time in eight.
    return round(at * 1e6)


@lru_cache(maxsize=64)
def _whole_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:-6]


def seconds(time: str) -> float:
    """The other way; 0.0 for what is no time."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return 0.0
