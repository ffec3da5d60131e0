"""What a request asks of its target: tokens, tools, schemas, pictures. Counted once.

Tokens are estimated as the UTF-8 bytes of all text over four, the rule of thumb that OpenAI gives
for English ("one token generally corresponds to ~4 characters"); counting bytes instead of
characters makes scripts with more tokens per character weigh more. The engines' own count is exact
and comes with the answer; the context filter therefore keeps a margin (``filters.CONTEXT_MARGIN``).
"""

from __future__ import annotations

import math
from typing import Any

from router.decided import Needs
from router.judge.logprobs import is_asked_for

BYTES_PER_TOKEN = 4
MESSAGE_TOKENS = 4
"""Role and separators around a message in common chat templates."""
IMAGE_TOKENS = 1024
"""A picture of medium size; what vendors count is between 85 and some thousands."""
_MAX_DEPTH = 12
_IMAGE_TYPES = frozenset({"image", "image_url", "input_image"})
_BOUNDS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def read_needs(body: dict[str, Any]) -> Needs:
    """Estimate and look at a body; whatever shape it has, this does not fail."""
    meter = _Meter()
    for name in ("messages", "prompt", "input", "system", "instructions", "tools", "functions"):
        if name in body:
            meter.add(body[name], 0)
    return Needs(
        input_tokens=math.ceil(meter.bytes / BYTES_PER_TOKEN) + meter.tokens,
        max_output_tokens=_bound(body),
        features=frozenset(_features(body, pictures=meter.pictures)),
    )


class _Meter:
    """Adds up text; pictures count as pictures, not as the bytes of their encoding."""

    __slots__ = ("bytes", "pictures", "tokens")

    def __init__(self) -> None:
        self.bytes = 0
        self.tokens = 0
        self.pictures = False

    def add(self, value: Any, depth: int) -> None:
        if type(value) is str:
            self.bytes += len(value) if value.isascii() else len(value.encode("utf-8", "replace"))
        elif type(value) is list:
            if depth < _MAX_DEPTH:
                for each in value:
                    self.add(each, depth + 1)
        elif type(value) is dict:
            self._object(value, depth)
        elif type(value) is int:  # a prompt may be given as token ids
            self.tokens += 1

    def _object(self, value: dict[str, Any], depth: int) -> None:
        kind = value.get("type")
        if type(kind) is str and kind in _IMAGE_TYPES:
            self.pictures = True
            self.tokens += IMAGE_TOKENS
            return
        if "role" in value:
            self.tokens += MESSAGE_TOKENS
        if depth < _MAX_DEPTH:
            for each in value.values():
                self.add(each, depth + 1)


def _bound(body: dict[str, Any]) -> int | None:
    for name in _BOUNDS:
        value = body.get(name)
        if type(value) is int and value > 0:
            return value
    return None


def _features(body: dict[str, Any], *, pictures: bool) -> list[str]:
    found = []
    if body.get("tools") or body.get("functions"):
        found.append("tools")
    if _wants_schema(body):
        found.append("json_schema")
    if pictures:
        found.append("vision")
    if is_asked_for(body):
        found.append("logprobs")
    return found


def _wants_schema(body: dict[str, Any]) -> bool:
    form = body.get("response_format")
    text = body.get("text")
    if form is None and isinstance(text, dict):  # the responses API
        form = text.get("format")
    return isinstance(form, dict) and form.get("type") in ("json_schema", "json_object")
