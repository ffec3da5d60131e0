"""Anthropic's API. ``/v1/messages`` passes through untouched; chat is translated and back.

Responses becomes chat first.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from router.wire.dialects.base import Asked, Asking, Dialect, Traits, Translation, as_it_is
from router.wire.dialects.through_chat import through_chat
from router.wire.endpoint import Endpoint
from router.wire.formats import FORMATS
from router.wire.formats.base import Body, PrefillStyle
from router.wire.translate.answer_to_chat import chat_answer, lost_in_chat
from router.wire.translate.chat_to_messages import HOTTEST, messages_request
from router.wire.translate.leftovers import CHAT_TO_MESSAGES, left_out
from router.wire.translate.signatures import without_foreign_thoughts
from router.wire.translate.stream_to_chat import ChatStream

VERSION: Final = "2023-06-01"
_CONVERSATION = frozenset({Endpoint.CHAT, Endpoint.MESSAGES})
_TRANSLATED = _CONVERSATION | {Endpoint.RESPONSES}
OWN: Final = ("thinking", "top_k")
"""Fields of Messages that clients of other APIs may send."""
_SYSTEM = frozenset({"system", "developer"})
_NAMES: Final[Mapping[str, str]] = {"stop_sequences": "stop", "output_config": "response_format"}


class Anthropic(Dialect):
    """Anthropic's API."""

    name = "anthropic"
    passed_on = frozenset({"traceparent", "anthropic-beta", "anthropic-version"})
    counts_tokens = True

    def url(self, base_url: str, endpoint: Endpoint) -> str:
        """Anthropic's SDK takes a base without ``/v1``."""
        return base_url.removesuffix("/v1") + endpoint.value

    def headers(self) -> Mapping[str, str]:
        """The version that this file was written for."""
        return {"anthropic-version": VERSION}

    def credentials(self, key: str) -> Mapping[str, str]:
        """A header of its own."""
        return {"x-api-key": key}

    def endpoints(self, native: frozenset[Endpoint]) -> frozenset[Endpoint]:
        """Messages, chat through it, and Responses through that."""
        return _TRANSLATED if native & _CONVERSATION else frozenset()

    def can_continue(self, endpoint: Endpoint, traits: Traits) -> bool:
        """Models that take a last message of the assistant; the newest do not."""
        return traits.can_prefill and endpoint in self.endpoints(traits.native)

    def ask(self, call: Asking, traits: Traits) -> Asked:
        """The client's own body, or the same said in Messages."""
        if call.endpoint is Endpoint.RESPONSES:
            return through_chat(call, replace(traits, stream_usage=True), self.ask, OWN)
        body = call.body
        if call.prefill:
            wire = FORMATS[call.endpoint]
            body = wire.prefilled(body, call.prefill, PrefillStyle.MESSAGE)
        if call.endpoint is Endpoint.MESSAGES:
            own = without_foreign_thoughts(body.get("messages"))
            return as_it_is(
                call, body if own is body.get("messages") else {**body, "messages": own}
            )
        options = call.body.get("stream_options")
        include_usage = isinstance(options, dict) and bool(options.get("include_usage"))
        created = int(time.time())
        stream = ChatStream(created=created, include_usage=include_usage)
        return Asked(
            FORMATS[Endpoint.MESSAGES],
            messages_request(body, default_max_tokens=traits.max_output_tokens),
            translation=Translation(
                stream,
                lambda answer: chat_answer(answer, created=created),
                lost_in_chat,
                stream.cut,
            ),
            names=_NAMES,
            warnings=left_out(call.body, CHAT_TO_MESSAGES) + _changed(call.body),
        )


def _changed(body: Body) -> tuple[str, ...]:
    """What Messages gets in another way than the client said it."""
    found = []
    heat, messages = body.get("temperature"), body.get("messages")
    if isinstance(heat, int | float) and heat > HOTTEST:
        found.append(f"temperature (at most {HOTTEST:g})")
    roles = [str(each.get("role")) for each in messages if isinstance(each, dict)]  # type: ignore[union-attr]
    spoken = [place for place, role in enumerate(roles) if role not in _SYSTEM]
    if any(role in _SYSTEM for role in roles[spoken[0] :]):
        found.append("messages (system messages come first)")
    if roles[spoken[0]] == "assistant":
        found.append("messages (a turn of the user was put first)")
    return tuple(found)


DIALECT = Anthropic()
