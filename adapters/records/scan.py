"""Reads one segment as fast as it can be: whether it is whole in itself, and what it says.

What is not whole is looked at again, line by line (``chain``): here it is only not clean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from adapters.records import payloads
from adapters.records.files import Layout, Segment
from adapters.records.line import Kind, Record, is_spelled, read_line, recomputed

_HASH = b'"hash":"'
_HASH_FIELD = len(_HASH) + 64 + len(b'",')
_LEAF = b"\x00"


@dataclass(slots=True)
class Scan:
    """One segment.

    Attributes:
        clean: every line is a whole record of its writer that continues the one before, and every
            payload is what its record commits to, was erased, or is missing.
        leaves: the records' hashes, one after the other; of a clean segment.
        first: sequence of the first record, -1 for none; ``last`` of the last one.
        prev: what the first record says of the one before; ``hash`` of the last one.
        opened: the number that the segment's first record gives it; None: it gives none.
        erased: sequences of blanked payloads, ``missing`` of those that are not there.
        statements: whole records that say something of the log itself, or of an erasure.
    """

    segment: Segment
    clean: bool = True
    leaves: bytes = b""
    first: int = -1
    last: int = -1
    prev: str = ""
    hash: str = ""
    opened: int | None = None
    erased: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    statements: list[Record] = field(default_factory=list)


def scan(root: Path, segment: Segment) -> Scan:
    """Read a segment and its payloads. Raises ``OSError``."""
    layout = Layout(root)
    # In this order: whoever writes to it writes payloads first.
    data = layout.records_of(segment).read_bytes()
    found = Scan(segment)
    *lines, rest = data.split(b"\n")
    kept = _payloads(layout, segment)
    if rest or kept is None or not lines:
        found.clean = False
    if not found.clean or not _read(found, lines, kept or {}):
        found.clean = False
        found.statements = list(_statements(lines))
    return found


def _read(found: Scan, lines: list[bytes], kept: dict[int, payloads.KeptPayload]) -> bool:
    writer, expected, prev = found.segment.writer, -1, ""
    leaves: list[bytes] = []
    for line in lines:
        record = read_line(line)
        if record is None or record["writer"] != writer:
            return False
        leaf = _hash_of(line, record)
        sequence = record["sequence"]
        if leaf is None or (leaves and (sequence != expected or record["prev"] != prev)):
            return False
        if not leaves:
            found.first, found.prev = sequence, record["prev"]
            found.opened = _opened(record)
        expected, prev = sequence + 1, record["hash"]
        leaves.append(leaf)
        if not _committed(found, record, kept):
            return False
        if "about" in record or record["kind"] == Kind.ERASURE:
            found.statements.append(record)
    found.last, found.hash, found.leaves = expected - 1, prev, b"".join(leaves)
    return not kept


def _hash_of(line: bytes, record: Record) -> bytes | None:
    """The record's hash, if it is what its line has.

    A canonical line without its ``hash`` is what was hashed: no need to write it again.
    """
    said: str = record["hash"]
    at = line.find(_HASH)
    end = at + _HASH_FIELD
    if at > 0 and line[end - 2 : end] == b'",':
        digest = hashlib.sha256(_LEAF + line[:at] + line[end:]).digest()
        if digest.hex() == said:
            return digest
    whole = is_spelled(line, record) and recomputed(record) == said
    return bytes.fromhex(said) if whole else None


def _opened(record: Record) -> int | None:
    if record["kind"] == Kind.CHECKPOINT and record.get("about") == "opened":
        number = record.get("segment")
        return number if isinstance(number, int) else None
    return None


def _payloads(layout: Layout, segment: Segment) -> dict[int, payloads.KeptPayload] | None:
    """By sequence; None when a line is damaged or there twice."""
    found: dict[int, payloads.KeptPayload] = {}
    for _, text in payloads.lines(layout.payloads_of(segment)):
        kept = payloads.read(text)
        if kept is None or kept.sequence in found:
            return None
        found[kept.sequence] = kept
    return found


def _committed(found: Scan, record: Record, kept: dict[int, payloads.KeptPayload]) -> bool:
    sequence, commitment = record["sequence"], record.get("commitment")
    if commitment is None:
        return sequence not in kept
    payload = kept.pop(sequence, None)
    if payload is None:
        found.missing.append(sequence)
    elif payload.commitment is None:
        found.erased.append(sequence)
    elif payload.commitment != commitment:
        return False
    return True


def _statements(lines: list[bytes]) -> Iterator[Record]:
    for line in lines:
        if b'"about"' not in line and b'"erasure"' not in line:
            continue
        record = read_line(line)
        # Only what is whole counts: a statement cannot be forged to excuse something else.
        if record is not None and recomputed(record) == record["hash"]:
            yield record
