"""What makes two exchanges the same: what was asked, whatever its case, spaces and punctuation."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

_KEPT: Final = frozenset("LNMS")
"""Letters, numbers, marks and symbols say something; punctuation, spaces and controls do not."""
_IDS: Final = frozenset({"id", "tool_call_id"})
"""Of calls: they are others each time."""
_PROSE: Final = frozenset({"content", "text"})


def seen(text: str) -> str:
    """A text in one form (NFKC), without what nobody sees: soft hyphens, zero-width spaces."""
    plain = unicodedata.normalize("NFKC", text)
    if plain.isascii():
        return plain
    return "".join(letter for letter in plain if unicodedata.category(letter) != "Cf")


def folded(text: str) -> str:
    """A text without what two spellings of it differ in: form, case, spaces, punctuation.

    A point or comma between digits stays: 1.5 is not 15.
    """
    plain = unicodedata.normalize("NFKC", seen(text).casefold())
    kept: list[str] = []
    gap = False
    for place, letter in enumerate(plain):
        if unicodedata.category(letter)[0] in _KEPT or _between_digits(plain, place):
            if gap and kept:
                kept.append(" ")
            kept.append(letter)
            gap = False
        else:
            gap = True
    return "".join(kept)


def _between_digits(text: str, place: int) -> bool:
    around = text[place - 1 : place] + text[place + 1 : place + 2]
    return text[place] in ".,:/" and len(around) == 2 and around.isdecimal()


def fold(
    tenant: str,
    messages: Iterable[Mapping[str, Any]],
    *,
    trains: bool = True,
    tools: Sequence[Mapping[str, Any]] = (),
) -> str:
    """What all that is asked of the same has in common, hexadecimal; tenants have nothing so.

    What may be learned from and what may not are never one exchange, nor is what was asked with
    other tools.
    """
    asked = [_folded(dict(message)) for message in messages]
    said = json.dumps(
        [tenant, trains, asked, *([list(tools)] if tools else ())],
        ensure_ascii=False,
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()


def last_said(messages: Sequence[Mapping[str, Any]]) -> tuple[str, list[Mapping[str, Any]]]:
    """The newest text of the user, and the messages without it; empty when there is none."""
    for place in range(len(messages) - 1, -1, -1):
        message = messages[place]
        if message.get("role") == "user" and isinstance(message.get("content"), str):
            around = [*messages[:place], {**message, "content": ""}, *messages[place + 1 :]]
            return str(message["content"]), around
    return "", list(messages)


def _folded(value: Any, name: str = "") -> Any:
    """Prose loses its spelling; what programs read, a tool's arguments for one, keeps it."""
    if isinstance(value, str):
        return folded(value) if name in _PROSE else value
    if isinstance(value, Mapping):
        return {key: _folded(each, str(key)) for key, each in value.items() if key not in _IDS}
    if isinstance(value, list | tuple):
        return [_folded(each, name) for each in value]
    return value
