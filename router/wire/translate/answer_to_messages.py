"""A whole chat completion as a Messages answer."""

from __future__ import annotations

from typing import Any

import orjson

from router.wire.translate.signatures import signature_in, thinking_block
from router.wire.translate.vocabulary import messages_usage, stop_reason


def messages_answer(
    answer: dict[str, Any], *, model: str, fallback_id: str, tells: bool = False
) -> dict[str, Any]:
    """Translate an answer.

    Args:
        answer: the chat completion.
        model: for upstreams that do not say.
        fallback_id: for upstreams that give none.
        tells: put the tokens' probabilities beside the content, for who reads and removes them.

    Raises:
        KeyError, TypeError, ValueError: it is not a chat completion, or a tool call's arguments
            are not JSON.
    """
    choice = answer["choices"][0]
    reason, sequence = stop_reason(choice, calls=bool(choice["message"].get("tool_calls")))
    found = {
        "id": message_id(answer, fallback_id),
        "type": "message",
        "role": "assistant",
        "model": answer.get("model") or model,
        "content": _blocks(choice["message"]),
        "stop_reason": reason,
        "stop_sequence": sequence,
        "usage": messages_usage(answer.get("usage")),
    }
    return {**found, "logprobs": choice.get("logprobs")} if tells else found


_UNSAID = ("annotations", "audio", "function_call", "images")


def lost_in_messages(found: dict[str, Any]) -> list[str]:
    """What of an answer, or of a chunk of one, Messages has no place for."""
    choices = found.get("choices") or [{}]
    said = [choice.get("message") or choice.get("delta") or {} for choice in choices[:1]]
    lost = [f"message.{name}" for each in said for name in _UNSAID if each.get(name)]
    return [*lost, "choices"] if len(choices) > 1 else lost


def message_id(answer: dict[str, Any], fallback_id: str) -> str:
    """The id of the message that is this completion."""
    found = answer.get("id")
    return "msg_" + found.removeprefix("chatcmpl-") if isinstance(found, str) else fallback_id


def thoughts_in(message: dict[str, Any]) -> str | None:
    """The reasoning of a message or delta, under whichever of its two names."""
    return message.get("reasoning_content") or message.get("reasoning")


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    thoughts = thoughts_in(message)
    if thoughts:
        blocks.append({"type": "thinking", "thinking": thoughts, "signature": ""})
    text = message.get("content") or message.get("refusal")
    if text:
        blocks.append({"type": "text", "text": text})
    for call in message.get("tool_calls") or []:
        function = call["function"]
        if signature := signature_in(call):
            blocks.append(thinking_block(signature))
        blocks.append(
            {
                "type": "tool_use",
                "id": call["id"],
                "name": function["name"],
                "input": orjson.loads(function.get("arguments") or "{}"),
            }
        )
    return blocks or [{"type": "text", "text": ""}]  # clients look at the first block
