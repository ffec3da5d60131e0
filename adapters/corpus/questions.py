"""What was asked in an exchange, as one text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

_ENOUGH_WORDS: Final = 4
_MOST: Final = 2000


def question(messages: Sequence[Mapping[str, Any]]) -> str:
    """The newest words of the user, with those before them where they alone say too little."""
    said = [text for each in messages if each.get("role") == "user" and (text := _text(each))]
    if not said:
        return ""
    newest = said[-1]
    if len(newest.split()) < _ENOUGH_WORDS and len(said) > 1:
        newest = f"{said[-2][-_MOST // 2 :]}\n{newest}"
    return newest[-_MOST:]


def shortened(text: str, most: int) -> str:
    """On one line, cut at a word."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    return line[: most - 1].rsplit(" ", 1)[0].rstrip() + "…"


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content.strip()
    parts = content if isinstance(content, list | tuple) else ()
    found = (part.get("text") for part in parts if isinstance(part, Mapping))
    return "\n".join(text for text in found if isinstance(text, str)).strip()
