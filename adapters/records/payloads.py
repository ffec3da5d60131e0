"""What records commit to, apart from them: salted, so that the record tells nothing of it.

The salt lies beside the payload and goes with it. Erasing blanks a line in place: nothing moves,
the record and its commitment stay, and the chain stays whole.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from adapters.records.files import Layout, Segment

_SALT_BYTES = 16
_LINE = re.compile(rb'\{"sequence":(\d{1,18}),"salt":"([0-9a-f]{32})","payload":(.*)\}')
_ERASED = re.compile(rb'\{"sequence":(\d{1,18}),"erased":true\} *')


@dataclass(frozen=True, slots=True)
class KeptPayload:
    """One line of a payload file."""

    sequence: int
    body: bytes | None
    """The payload as it was given; None: it was erased."""
    commitment: str | None


def commit(salt: bytes, payload: bytes) -> str:
    """HMAC-SHA256 of the payload's bytes under its salt, hexadecimal."""
    return hmac.digest(salt, payload, hashlib.sha256).hex()


def line(sequence: int, payload: bytes) -> tuple[bytes, str]:
    """A payload's line with its end, and the commitment for its record."""
    salt = os.urandom(_SALT_BYTES)
    head = b'{"sequence":%d,"salt":"%s","payload":' % (sequence, salt.hex().encode())
    return head + payload + b"}\n", commit(salt, payload)


def read(text: bytes) -> KeptPayload | None:
    """What a line without its end holds; None when it is damaged."""
    if found := _LINE.fullmatch(text):
        sequence, salt, body = found.groups()
        return KeptPayload(int(sequence), body, commit(bytes.fromhex(salt.decode()), body))
    if erased := _ERASED.fullmatch(text):
        return KeptPayload(int(erased[1]), None, None)
    return None


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(offset, line without its end) of every whole line; none when there is no such file."""
    if not path.is_file():
        return
    try:
        with path.open("rb") as file:
            offset = 0
            for text in file:
                if not text.endswith(b"\n"):
                    return
                yield offset, text[:-1]
                offset += len(text)
    except FileNotFoundError:
        return


def erase(layout: Layout, segment: Segment, sequences: Iterable[int]) -> int:
    """Blank these payloads of a segment, durably; how many there were. Raises ``OSError``.

    To be called after the record of the erasure is durable: a payload that is gone without one is
    a problem to ``verify``.
    """
    wanted, path = set(sequences), layout.payloads_of(segment)
    places = []
    for offset, text in lines(path):
        kept = read(text)
        if kept is not None and kept.body is not None and kept.sequence in wanted:
            places.append((offset, len(text), kept.sequence))
    if not places:
        return 0
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        for offset, size, sequence in places:
            blank = b'{"sequence":%d,"erased":true}' % sequence
            os.pwrite(handle, blank.ljust(size), offset)
        os.fsync(handle)
    finally:
        os.close(handle)
    return len(places)
