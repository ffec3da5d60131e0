"""What is inside strings, JSON and text files: read, and written back where it was changed."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import unquote_to_bytes

import orjson

from router.wire import words

MAX_FILE_CHARS: Final = 2 * 1024 * 1024
"""A larger file is not looked into."""
_NO_TEXTS: Final = ("data:image/", "data:audio/", "data:video/")
_LOOKED_AT: Final = 256
_NEVER_IN_TEXT: Final = (b"\x00", b"\xff", b"\x89PNG")
_ENCODED: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_\r\n"
_SHORT_ENCODED, _LONG_ENCODED = 8, 64
"""Characters from which base64 is looked for, and from which nothing else is written so."""
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NUMBER: Final = re.compile(r"-?\d+")


@dataclass(frozen=True, slots=True)
class TextFile:
    """A file in a string that is a text: of a ``data:`` URL, or base64 alone.

    Attributes:
        head: what stands before it.
        text: what it says.
    """

    head: str
    text: str

    @classmethod
    def read(cls, value: str) -> Self | None:
        """The file; None when it is no text, or larger than is looked at."""
        if not 0 < len(value) <= MAX_FILE_CHARS:
            return None
        head, data = "", value
        if value.startswith("data:"):
            head, comma, data = value.partition(",")
            head += comma
        if not data or (head.startswith(_NO_TEXTS) and "svg" not in head):
            return None
        is_plain = bool(head) and not head.endswith(";base64,")
        try:
            if is_plain:
                return cls(head, unquote_to_bytes(data).decode())
            if _is_binary(data[:_LOOKED_AT]):
                return None
            return cls(head, base64.b64decode(data).decode())
        except (binascii.Error, ValueError):
            return None

    def saying(self, text: str) -> str:
        """The same file with another text, always in base64."""
        head = self.head
        if head and not head.endswith(";base64,"):
            head = f"{head[:-1]};base64,"
        return head + base64.b64encode(text.encode()).decode()


def _is_binary(data: str) -> bool:
    """Whether its first bytes are those of no text; a PDF's are."""
    try:
        begins = base64.b64decode(data)
    except (binascii.Error, ValueError):
        return True
    return begins.startswith(b"%PDF") or any(sign in begins for sign in _NEVER_IN_TEXT)


def is_encoded(value: str) -> bool:
    """Whether a string is base64, and not a word that could be.

    A short one is where it stands for a few readable words, as hardly any word does.
    """
    if len(value) >= _LONG_ENCODED:
        return only_encoded(value)
    if len(value) < _SHORT_ENCODED or len(value) % 4 or not only_encoded(value):
        return False
    file = TextFile.read(value)
    return file is not None and file.text.replace("\n", "").isprintable()


def only_encoded(value: str) -> bool:
    """Whether it has no letters but those of base64, both alphabets, and line ends."""
    return value.isascii() and not value.encode().translate(None, _ENCODED)


def parsed(value: str) -> Any:
    """The JSON object, list or string that a string is; None when it is something else."""
    if not value.lstrip().startswith(words.JSON_BEGINS):
        return None
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None


def json_with(raw: str, changes: dict[str, str], new: Any) -> str:
    """JSON text after some of its strings changed: the rest stays as it was written."""

    def literal(found: re.Match[str]) -> str:
        text = orjson.loads(found[0])
        changed = changes.get(text)
        if changed is None:
            return found[0]
        return json.dumps(changed, ensure_ascii=r"\u" in found[0])

    kept, place = [], 0
    for found in _STRING.finditer(raw):
        between = raw[place : found.start()]
        kept += [_numbers_with(between, changes), literal(found)]
        place = found.end()
    kept.append(_numbers_with(raw[place:], changes))
    text = "".join(kept)
    return text if parsed(text) == new else orjson.dumps(new).decode()


def _numbers_with(raw: str, changes: dict[str, str]) -> str:
    return _NUMBER.sub(
        lambda found: json.dumps(changes[found[0]]) if found[0] in changes else found[0], raw
    )


def with_distinct_keys(entries: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of all entries, also when a change made two of their keys alike."""
    found: dict[str, Any] = {}
    for key, value in entries:
        name, number = key, 2
        while name in found:
            name, number = f"{key}_{number}", number + 1
        found[name] = value
    return found
