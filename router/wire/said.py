"""What was said in an answer, and how much two answers have in common."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Final

import orjson

from router.wire.events import Events
from router.wire.kinds import Kind
from router.wire.texts import Path, texts

_WORD: Final = re.compile(r"\w+|[^\w\s]")
_REPEATS: Final = re.compile(r"response\.(?!.*\.delta$)")
"""Events of Responses that say once more what was said, or announce it."""


def answer_text(raw: bytes, *, streamed: bool) -> str:
    """The text of an answer as it went over the wire; of several choices the first."""
    found = [event.json for event in Events(raw)] if streamed else [_loaded(raw)]
    return "".join(map(_said_in, found))


def _said_in(answer: Any) -> str:
    if not isinstance(answer, dict) or _REPEATS.match(str(answer.get("type"))):
        return ""
    return "".join(
        text.text
        for text in texts(answer, "assistant")
        if text.kind is Kind.TEXT and text.role == "assistant" and _is_of_the_answer(text.path)
    )


def _is_of_the_answer(path: Path) -> bool:
    if path[0] == "choices":
        return path[1] == 0
    return path[0] in ("content", "output", "delta", "content_block")


def overlap(ours: str, theirs: str) -> float:
    """F1 over words, 0 to 1, as question answering scores it (Rajpurkar et al. 2016, SQuAD)."""
    a, b = Counter(_words(ours)), Counter(_words(theirs))
    if not a or not b:
        return float(a == b)
    common = sum((a & b).values())
    return 2 * common / (sum(a.values()) + sum(b.values()))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _loaded(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
