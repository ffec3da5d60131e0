"""Words that differ between the two dialects: why an answer ended, how tokens are counted."""

from __future__ import annotations

from typing import Any

from router.errors import InvalidRequest

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_STOP = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def finish_reason(stop_reason: object) -> str:
    """Chat's ``finish_reason`` for Anthropic's ``stop_reason``."""
    return _FINISH.get(stop_reason, "stop") if isinstance(stop_reason, str) else "stop"


def stop_reason(choice: dict[str, Any], *, calls: bool = False) -> tuple[str, str | None]:
    """Anthropic's ``stop_reason`` and ``stop_sequence`` for a finished chat choice.

    Only vLLM says, in ``stop_reason``, which stop string ended the answer.

    Args:
        choice: the finished one.
        calls: it calls tools, and the calls are whole: of a tool that the client named, chat says
            ``stop``, Messages says that it is to be used.
    """
    finish, matched = choice.get("finish_reason"), choice.get("stop_reason")
    if calls and finish == "stop":
        return "tool_use", None
    if finish == "stop" and isinstance(matched, str):
        return "stop_sequence", matched
    return (_STOP.get(finish, "end_turn") if isinstance(finish, str) else "end_turn"), None


def chat_usage(found: dict[str, Any]) -> dict[str, Any]:
    """Anthropic's counts as chat's: cached tokens are part of the prompt."""
    cached = _count(found, "cache_read_input_tokens")
    written = _count(found, "cache_creation_input_tokens")
    prompt = _count(found, "input_tokens") + cached + written
    answer = _count(found, "output_tokens")
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
    }


def messages_usage(found: object) -> dict[str, int]:
    """Chat's counts as Anthropic's: cached tokens are counted apart."""
    if not isinstance(found, dict):
        return {"input_tokens": 0, "output_tokens": 0}
    details = found.get("prompt_tokens_details")
    cached = _count(details, "cached_tokens") if isinstance(details, dict) else 0
    return {
        "input_tokens": max(_count(found, "prompt_tokens") - cached, 0),
        "cache_read_input_tokens": cached,
        "output_tokens": _count(found, "completion_tokens"),
    }


def unsupported(param: str, why: str) -> InvalidRequest:
    """A parameter that the other dialect cannot express."""
    return InvalidRequest(f"`{param}` {why}", code="unsupported_parameter", param=param)


def malformed(param: str, expected: str) -> InvalidRequest:
    """A parameter that is not what the API says it is."""
    return InvalidRequest(f"`{param}` must be {expected}.", param=param)


def records(value: object, param: str) -> list[dict[str, Any]]:
    """``value`` as a list of objects.

    Raises:
        InvalidRequest: it is something else.
    """
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise malformed(param, "a list of objects")
    return value


def an_object(value: object, param: str) -> dict[str, Any]:
    """``value``, which has to be one. Raises ``InvalidRequest``."""
    if not isinstance(value, dict):
        raise malformed(param, "an object")
    return value


def a_string(value: object, param: str) -> str:
    """``value``, which has to be one. Raises ``InvalidRequest``."""
    if not isinstance(value, str):
        raise malformed(param, "a string")
    return value


def _count(found: dict[str, Any], name: str) -> int:
    value = found.get(name)
    return value if isinstance(value, int) else 0
