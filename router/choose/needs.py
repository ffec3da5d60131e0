"""What a request asks of its target: tokens, tools, schemas, pictures. Counted once.

Tokens are estimated as the UTF-8 bytes of all text over four, the rule of thumb that OpenAI gives
for English ("one token generally corresponds to ~4 characters"); counting bytes instead of
characters makes scripts with more tokens per character weigh more. The engines' own count is exact
and comes with the answer; the context filter therefore keeps a margin (``filters.CONTEXT_MARGIN``).
"""

from __future__ import annotations

import math
from typing import Any

import orjson

from router.request import Needs
from router.wire.formats.base import asks_for_logprobs
from router.wire.kinds import Kind
from router.wire.texts import Survey

BYTES_PER_TOKEN = 4
MESSAGE_TOKENS = 4
"""Role and separators around a message in common chat templates."""
IMAGE_TOKENS = 1024
"""A picture of medium size; what vendors count is between 85 and some thousands."""
STORED = ("previous_response_id", "conversation")
"""Fields that name what whoever answers has kept of earlier requests."""
_BOUNDS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_NOT_READ = frozenset({Kind.OTHER, Kind.IDENTITY, Kind.TOKEN, Kind.DEFINITION})
"""Kinds of text that a prompt does not have; definitions are counted as they are written out."""


def read_needs(body: dict[str, Any], found: Survey) -> Needs:
    """Estimate and look at a body of any shape.

    Args:
        body: the request.
        found: what its texts are.
    """
    size = sum(_bytes(text.text) for text in found.texts if text.kind not in _NOT_READ)
    for name in ("tools", "functions"):
        if body.get(name):
            size += len(orjson.dumps(body[name]))
    tokens = found.messages * MESSAGE_TOKENS + found.images * IMAGE_TOKENS + found.token_ids
    return Needs(
        input_tokens=math.ceil(size / BYTES_PER_TOKEN) + tokens,
        max_output_tokens=_bound(body),
        features=frozenset(_features(body, pictures=found.images > 0)),
        images=found.images,
        inline_bytes=found.inline_bytes,
        parts=frozenset(found.parts),
    )


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


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
    if asks_for_logprobs(body):
        found.append("logprobs")
    if any(body.get(name) is not None for name in STORED):
        found.append("stored")
    return found


def _wants_schema(body: dict[str, Any]) -> bool:
    form = body.get("response_format")
    text = body.get("text")
    if form is None and isinstance(text, dict):  # the responses API
        form = text.get("format")
    return isinstance(form, dict) and form.get("type") in ("json_schema", "json_object")
