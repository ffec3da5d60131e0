"""A whole chat completion as a response."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from router.wire.translate.answer_to_messages import thoughts_in
from router.wire.translate.response_items import (
    COMPLETED,
    Call,
    CustomCall,
    Item,
    Message,
    Refusal,
    Thoughts,
)
from router.wire.translate.response_object import answer_id, begun, ended, status_of
from router.wire.translate.signatures import sealed, signature_in

Json = dict[str, Any]
_UNSAID = ("annotations", "audio", "function_call", "images")


def response_of(answer: Json, request: Json, *, fallback_id: str, created: int) -> Json:
    """Translate an answer.

    Args:
        answer: the chat completion.
        request: the Responses request that it answers.
        fallback_id: for upstreams that give none.
        created: when, seconds since the epoch.

    Raises:
        KeyError, TypeError, ValueError: it is not a chat completion.
    """
    choice = answer["choices"][0]
    known_as = answer_id(answer, fallback_id)
    items = list(_items(choice, known_as, custom_tools(request)))
    finish = choice.get("finish_reason")
    output = [item.whole(COMPLETED) for item in items[:-1]]
    output += [item.whole(status_of(finish)) for item in items[-1:]]
    response = begun(request, answer, known_as, created)
    return ended(response, output, finish, answer.get("usage"))


def lost_in_responses(found: Json) -> list[str]:
    """What of an answer, or of a chunk of one, a response made of it does not have."""
    choices = found.get("choices") or [{}]
    said = [choice.get("message") or choice.get("delta") or {} for choice in choices[:1]]
    return [f"output.{name}" for each in said for name in _UNSAID if each.get(name)]


def custom_tools(request: Json) -> frozenset[str]:
    """The names of tools that take a text."""
    tools = request.get("tools") or ()
    return frozenset(str(tool.get("name")) for tool in tools if tool.get("type") == "custom")


def call_of(call: Json, number: int, known_as: str, custom: frozenset[str]) -> Call:
    """The item of a call of chat, without its arguments."""
    name = call["function"]["name"]
    kind = CustomCall if name in custom else Call
    return kind(number, known_as, call["id"], name)


def _items(choice: Json, known_as: str, custom: frozenset[str]) -> Iterator[Item]:
    message, number = choice["message"], 0
    for kind, text in (
        (Thoughts, thoughts_in(message)),
        (Message, message.get("content")),
        (Refusal, message.get("refusal")),
    ):
        if text:
            yield _saying(kind(number, known_as), text, choice)
            number += 1
    for call in message.get("tool_calls") or ():
        if signature := signature_in(call):
            yield Thoughts(number, known_as, sealed(signature))
            number += 1
        yield _saying(call_of(call, number, known_as, custom), _arguments(call), choice)
        number += 1


def _saying(item: Item, text: str, choice: Json) -> Item:
    for _ in item.add(text, (choice.get("logprobs") or {}).get("content")):
        pass  # nobody hears it piece by piece
    return item


def _arguments(call: Json) -> str:
    return call["function"].get("arguments") or "{}"  # clients parse what they get
