"""A whole Messages answer as a chat completion."""

from __future__ import annotations

from typing import Any

import orjson

from router.wire.translate.vocabulary import chat_usage, finish_reason
from router.wire.upstream_error import word

_SAID = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})


def chat_answer(answer: dict[str, Any], *, created: int) -> dict[str, Any]:
    """Translate an answer.

    Thinking goes into ``reasoning_content``, where OpenAI-compatible servers put it; what chat has
    no place for (citations, server tool blocks) is left out and named by ``lost_in_chat``.

    Args:
        answer: the Messages answer.
        created: when, seconds since the epoch; Messages does not say.

    Raises:
        KeyError, TypeError: it is not a Messages answer.
    """
    return {
        "id": chat_id(answer["id"]),
        "object": "chat.completion",
        "created": created,
        "model": answer["model"],
        "choices": [
            {
                "index": 0,
                "message": _message(answer["content"]),
                "logprobs": None,
                "finish_reason": finish_reason(answer.get("stop_reason")),
                **matched(answer.get("stop_sequence")),
            }
        ],
        "usage": chat_usage(answer.get("usage") or {}),
    }


def lost_in_chat(found: dict[str, Any]) -> list[str]:
    """What of an answer, or of an event of one, chat has no place for."""
    blocks = found.get("content") or [found.get("content_block")]
    delta = found.get("delta")
    lost = [
        f"content.{word(block.get('type')) or 'block'}" for block in blocks if _is_unknown(block)
    ]
    cited = any(isinstance(block, dict) and block.get("citations") for block in blocks)
    if cited or (isinstance(delta, dict) and delta.get("type") == "citations_delta"):
        lost.append("content.citations")
    return lost


def _is_unknown(block: object) -> bool:
    return isinstance(block, dict) and str(block.get("type")) not in _SAID


def matched(stop_sequence: object) -> dict[str, str]:
    """Which stop string ended the answer, where OpenAI-compatible servers say so."""
    return {"stop_reason": stop_sequence} if isinstance(stop_sequence, str) else {}


def chat_id(message_id: str) -> str:
    """The id of the completion that is this message."""
    return "chatcmpl-" + message_id.removeprefix("msg_")


def _message(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    thoughts = [block["thinking"] for block in blocks if block["type"] == "thinking"]
    calls = [_tool_call(block) for block in blocks if block["type"] == "tool_use"]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) if texts or not calls else None,
        "refusal": None,
    }
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message


def _tool_call(block: dict[str, Any]) -> dict[str, Any]:
    arguments = orjson.dumps(block["input"]).decode()
    return {
        "id": block["id"],
        "type": "function",
        "function": {"name": block["name"], "arguments": arguments},
    }
