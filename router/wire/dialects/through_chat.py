"""Responses asked of an API that has none: as a chat, whose answer becomes a response.

Chat is the middle because every dialect answers it and because it has what Responses has: tools
that are called by turns, JSON schemas, log probabilities, efforts. What a dialect makes of chat is
its own business; here that is only wrapped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from router.errors import InvalidRequest
from router.wire.dialects.base import NAMES, Asked, Asking, Traits, Translation
from router.wire.endpoint import Endpoint
from router.wire.events import Events
from router.wire.formats.base import Body
from router.wire.translate.answer_to_responses import lost_in_responses, response_of
from router.wire.translate.responses_to_chat import Chat, chat_of
from router.wire.translate.stream_to_responses import ResponsesStream

_NAMES: Final[Mapping[str, str]] = {
    **NAMES[Endpoint.RESPONSES],
    "logprobs": "include",
    "stop_sequences": "stop",
}
_BEGINNINGS: Final = (
    ("response_format.json_schema", "text.format"),
    ("tools.function", "tools"),
    ("messages.content.image_url", "input.content"),
    ("messages.content.file", "input.content"),
    ("message.", "output."),
)
"""Parts of paths that chat has and Responses has not, the longest first."""


@dataclass(frozen=True, slots=True)
class _AsChat:
    """The call as one of chat; see ``Asking``."""

    body: Body
    stream: bool
    prefill: str
    probe: Mapping[str, Any] | None
    warn: Callable[[str], None]
    endpoint: Endpoint = Endpoint.CHAT


def through_chat(
    call: Asking,
    traits: Traits,
    ask: Callable[[Asking, Traits], Asked],
    own: Iterable[str] = (),
    more: Mapping[str, Any] | None = None,
) -> Asked:
    """What is sent for a call of Responses.

    Args:
        call: the client's.
        traits: of the model.
        ask: what is sent for a call of chat.
        own: fields of the vendor's that clients may send; they are handed on.
        more: fields of the chat that this call has besides.

    Raises:
        InvalidRequest: it cannot be said in chat, or that not in the target's API.
    """
    chat = chat_of(
        call.body,
        max_tokens_field=traits.max_tokens_field,
        ask_for_usage=traits.stream_usage,
        own=own,
    )
    body = {**chat.body, **(more or {})}

    def warn(name: str) -> None:
        call.warn(_in_responses(name))

    try:
        asked = ask(_AsChat(body, call.stream, call.prefill, call.probe, warn), traits)
    except InvalidRequest as error:
        raise _of_the_client(error, chat) from error
    names = {theirs: _in_responses(chats) for theirs, chats in asked.names.items()}
    warnings = [*chat.left_out, *map(_in_responses, asked.warnings)]
    return replace(
        asked,
        translation=_back(call.body, asked.translation),
        names={**_NAMES, **names},
        warnings=tuple(dict.fromkeys(warnings)),
    )


class _Chained:
    """Two translations of a stream, one after the other."""

    def __init__(self, to_chat: Translation | None, to_responses: ResponsesStream) -> None:
        self._to_chat = to_chat
        self._to_responses = to_responses

    def feed(self, run: Events) -> Events:
        """The events of Responses that say what ``run`` says."""
        chunks = run if self._to_chat is None else self._to_chat.stream.feed(run)
        return self._to_responses.feed(chunks)

    def cut(self) -> Events:
        """What both held back."""
        held = Events(b"") if self._to_chat is None else self.feed_chat(self._to_chat.cut())
        return Events.of([*held, *self._to_responses.cut()])

    def feed_chat(self, chunks: Events) -> Events:
        """The events that say what these chunks say."""
        return self._to_responses.feed(chunks)


def _back(request: Body, to_chat: Translation | None) -> Translation:
    """The answer as a response."""
    created, fallback_id = int(time.time()), f"{time.time_ns():x}"
    stream = ResponsesStream(request, fallback_id=fallback_id, created=created)
    chained = _Chained(to_chat, stream)

    def whole(answer: Body) -> Body:
        chat = answer if to_chat is None else to_chat.whole(answer)
        return response_of(chat, request, fallback_id=fallback_id, created=created)

    lost = lost_in_responses if to_chat is None else to_chat.lost
    return Translation(chained, whole, lost, chained.cut, completes=True)


def _of_the_client(error: InvalidRequest, chat: Chat) -> InvalidRequest:
    """The same about what the client sent, which is no chat."""
    param = error.param
    if param is None:
        return error
    ours, place = _in_responses(param), param
    while place:  # the longest beginning of which it is known
        if place in chat.origins:
            ours = chat.origins[place] + param.removeprefix(place)
            break
        place = place.rpartition(".")[0]
    message = error.message.replace(f"`{param}`", f"`{ours}`")
    return InvalidRequest(message, code=error.code, param=ours)


def _in_responses(name: str) -> str:
    """What Responses calls what chat calls so; with a remark in brackets, or without."""
    for theirs, ours in _BEGINNINGS:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    head = name.partition(".")[0].partition(" ")[0]
    return _NAMES.get(head, head) + name.removeprefix(head)
