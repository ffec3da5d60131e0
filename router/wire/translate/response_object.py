"""A response as a whole: what its first and its last event and its body have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

Json = dict[str, Any]
_NOT_IN_AN_ID: Final = re.compile(r"[^a-zA-Z0-9-]")
_MAX_ID: Final = 32
_OWN_TOOLS: Final = frozenset({"function", "custom"})
_HOW: Final[Mapping[str, str]] = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Reasons of chat for the end of an answer that is not whole, in Responses' words."""


def answer_id(answer: Json, fallback: str) -> str:
    """What tells the response that is this completion from others; its ids are made of it."""
    found = answer.get("id")
    if not isinstance(found, str) or not found.removeprefix("chatcmpl-"):
        return fallback
    return _NOT_IN_AN_ID.sub("", found.removeprefix("chatcmpl-"))[:_MAX_ID] or fallback


def begun(request: Json, answer: Json, known_as: str, created: int) -> Json:
    """A response of which nothing was said yet.

    It repeats of the request what was obeyed. Instructions are not repeated: the operator's may be
    among them.

    Args:
        request: the Responses request.
        answer: the chat completion, or its first chunk.
        known_as: see ``answer_id``.
        created: when, seconds since the epoch.
    """
    tools = request.get("tools")
    parallel = request.get("parallel_tool_calls")
    return {
        "id": f"resp_{known_as}",
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": request.get("max_output_tokens"),
        "metadata": request.get("metadata") or {},
        "model": str(answer.get("model") or request.get("model") or "model"),
        "output": [],
        "parallel_tool_calls": True if parallel is None else parallel,
        "previous_response_id": None,
        "store": False,
        "temperature": request.get("temperature"),
        "text": request.get("text") or {"format": {"type": "text"}},
        "tool_choice": request.get("tool_choice") or "auto",
        "tools": [each for each in tools or () if str(each.get("type")) in _OWN_TOOLS],
        "top_p": request.get("top_p"),
        "truncation": "disabled",
        "usage": None,
    }


def ended(response: Json, output: list[Json], finish: object, counts: object) -> Json:
    """The same with everything that was said, and how it ended.

    Args:
        response: see ``begun``.
        output: its items.
        finish: chat's reason.
        counts: chat's; None: nobody counted.
    """
    reason = reason_of(finish)
    return {
        **response,
        "status": status_of(finish),
        "incomplete_details": None if reason is None else {"reason": reason},
        "output": output,
        "usage": responses_usage(counts),
    }


def reason_of(finish: object) -> str | None:
    """Why an answer is incomplete; None: it is not."""
    return _HOW.get(finish) if isinstance(finish, str) else None


def status_of(finish: object) -> str:
    """Of a response that ended."""
    return "completed" if reason_of(finish) is None else "incomplete"


def responses_usage(counts: object) -> Json | None:
    """Chat's counts as those of Responses."""
    if not isinstance(counts, dict):
        return None
    prompt, answer = _count(counts, "prompt_tokens"), _count(counts, "completion_tokens")
    details = counts.get("prompt_tokens_details")
    thought = counts.get("completion_tokens_details")
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": _count(details, "cached_tokens"),
            "cache_write_tokens": _count(details, "cache_write_tokens"),
        },
        "output_tokens": answer,
        "output_tokens_details": {"reasoning_tokens": _count(thought, "reasoning_tokens")},
        "total_tokens": prompt + answer,
    }


def _count(found: object, name: str) -> int:
    value = found.get(name) if isinstance(found, dict) else None
    return value if isinstance(value, int) else 0
