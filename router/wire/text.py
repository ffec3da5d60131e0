"""The text of an answer, in any dialect, whole or streamed; for comparing, never for changing."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import orjson

_WORD = re.compile(r"\w+|[^\w\s]")
_DATA = b"data:"


def answer_text(raw: bytes, *, streamed: bool) -> str:
    """The generated text; empty when there is none to be found."""
    if not streamed:
        return _of_object(_load(raw))
    return "".join(
        _of_object(_load(line[len(_DATA) :])) for line in raw.splitlines() if line.startswith(_DATA)
    )


def overlap(ours: str, theirs: str) -> float:
    """F1 over words, 0 to 1, as question answering scores it (Rajpurkar et al. 2016, SQuAD)."""
    a, b = Counter(_words(ours)), Counter(_words(theirs))
    if not a or not b:
        return float(a == b)
    common = sum((a & b).values())
    return 2 * common / (sum(a.values()) + sum(b.values()))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _load(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _of_object(value: Any) -> str:
    if not isinstance(value, dict):
        return ""
    if isinstance(choices := value.get("choices"), list):
        return "".join(_of_choice(choice) for choice in choices[:1])
    if value.get("type") == "content_block_delta":  # Anthropic, streamed
        return _string(value.get("delta"), "text")
    if value.get("type") == "response.output_text.delta":  # OpenAI responses, streamed
        return _string(value, "delta")
    if isinstance(content := value.get("content"), list):  # Anthropic, whole
        return "".join(_string(block, "text") for block in content)
    if isinstance(output := value.get("output"), list):  # OpenAI responses, whole
        return "".join(_of_object(item) for item in output)
    return ""


def _of_choice(choice: Any) -> str:
    if not isinstance(choice, dict):
        return ""
    for key in ("message", "delta"):
        if isinstance(choice.get(key), dict):
            return _string(choice[key], "content")
    return _string(choice, "text")


def _string(value: Any, key: str) -> str:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
