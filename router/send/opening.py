"""Has a stream begun to say something? Until then nothing goes out, and another target may answer.

Streams open with events that carry no content: a role, an id, an empty block. A target that fails
after these has not answered anything yet.
"""

from __future__ import annotations

from typing import Any

import orjson

from router.wire.endpoint import Endpoint

MAX_HELD_BYTES = 64 * 1024
_DATA = b"data:"
_PREAMBLE = frozenset({"response.created", "response.in_progress", "response.queued"})
_EMPTY_START = frozenset({"message_start", "ping", "content_block_start"})


def has_content(endpoint: Endpoint, events: bytes) -> bool:
    """Whether one of these whole events carries content, or ends the answer."""
    for line in events.splitlines():
        if line.startswith(_DATA) and _carries(endpoint, line[5:].strip()):
            return True
    return False


def _carries(endpoint: Endpoint, data: bytes) -> bool:
    try:
        event = orjson.loads(data)
    except orjson.JSONDecodeError:
        return True  # ``[DONE]``, or something that nobody here understands
    if not isinstance(event, dict):
        return True
    if endpoint is Endpoint.MESSAGES:
        return event.get("type") not in _EMPTY_START
    if endpoint is Endpoint.RESPONSES:
        return not _is_preamble(event)
    return any(_choice_carries(choice) for choice in event.get("choices") or [])


def _is_preamble(event: dict[str, Any]) -> bool:
    """A Responses event that only announces what is to come."""
    kind = event.get("type")
    if kind == "response.output_item.added":
        item = event.get("item")
        return isinstance(item, dict) and item.get("type") in {"message", "reasoning"}
    return kind in _PREAMBLE or kind == "response.content_part.added"


def _choice_carries(choice: Any) -> bool:
    if not isinstance(choice, dict) or choice.get("finish_reason") or choice.get("text"):
        return True
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return "text" not in choice
    return any(value for name, value in delta.items() if name != "role")
