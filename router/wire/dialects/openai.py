"""OpenAI's API, and everybody who copied it. Bytes pass through untouched.

``/v1/messages`` and ``/v1/responses`` are translated to chat and back when the model has ``chat``
but not them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from router.wire.dialects.base import (
    NAMES,
    Asked,
    Asking,
    Dialect,
    Traits,
    Translation,
    as_it_is,
    back_to_messages,
)
from router.wire.dialects.through_chat import through_chat
from router.wire.endpoint import Endpoint
from router.wire.formats import FORMATS
from router.wire.formats.base import Body, PrefillStyle, unfinished_talk
from router.wire.formats.messages import unfinished_turn
from router.wire.translate.leftovers import MESSAGES_TO_CHAT, left_out
from router.wire.translate.messages_to_chat import chat_request
from router.wire.translate.signatures import without_foreign_reasoning
from router.wire.translate.vocabulary import unsupported
from router.wire.vendor_fields import AS_THEY_ARE

_TRANSLATED = frozenset({Endpoint.MESSAGES, Endpoint.RESPONSES})


class OpenAI(Dialect):
    """OpenAI's API."""

    name = "openai"

    def url(self, base_url: str, endpoint: Endpoint) -> str:
        """OpenAI's SDK takes a base with ``/v1``; some providers have another path."""
        if not urlsplit(base_url).path:
            return base_url + endpoint.value
        return base_url + endpoint.value.removeprefix("/v1")

    def credentials(self, key: str) -> Mapping[str, str]:
        """A bearer token."""
        return {"Authorization": f"Bearer {key}"}

    def endpoints(self, native: frozenset[Endpoint]) -> frozenset[Endpoint]:
        """Chat answers Messages and Responses too."""
        return native | _TRANSLATED if Endpoint.CHAT in native else native

    def keeps_responses(self, native: frozenset[Endpoint], /) -> bool:
        """Those that it gave by its own ``/responses``."""
        return Endpoint.RESPONSES in native

    def can_continue(self, endpoint: Endpoint, traits: Traits) -> bool:
        """Any model that completes prompts does; a chat model only when its card says so."""
        if endpoint not in self.endpoints(traits.native):
            return False
        if endpoint is Endpoint.COMPLETIONS:
            return True
        if endpoint is Endpoint.RESPONSES and Endpoint.CHAT not in traits.native:
            return False  # the API itself begins each answer anew
        return traits.can_prefill

    def ask(self, call: Asking, traits: Traits) -> Asked:
        """The client's own body, or chat's; without what the vendor does not take."""
        if call.endpoint is Endpoint.RESPONSES and (
            call.prefill or Endpoint.RESPONSES not in traits.native
        ):
            return through_chat(call, traits, self.ask)
        asked = self._asked(call, traits)
        if traits.fields is AS_THEY_ARE or asked.wire.endpoint is not Endpoint.CHAT:
            return asked
        body, lost = traits.fields.fitted(asked.body)
        names = {theirs: ours for ours, theirs in traits.fields.renames.items()}
        return replace(
            asked, body=body, names={**names, **asked.names}, warnings=asked.warnings + lost
        )

    def _asked(self, call: Asking, traits: Traits) -> Asked:
        if call.endpoint is Endpoint.MESSAGES and Endpoint.MESSAGES not in traits.native:
            return self._messages_as_chat(call, traits)
        body = call.body
        if call.endpoint is Endpoint.RESPONSES:
            own = without_foreign_reasoning(body.get("input"))
            body = body if own is body.get("input") else {**body, "input": own}
        if call.prefill:
            native = call.endpoint is Endpoint.MESSAGES
            style = PrefillStyle.MESSAGE if native else traits.prefill_style
            body = FORMATS[call.endpoint].prefilled(body, call.prefill, style)
        return as_it_is(call, body, ask_for_usage=traits.stream_usage)

    def _messages_as_chat(self, call: Asking, traits: Traits) -> Asked:
        body, begun = unfinished_turn(call.body)
        if begun and not traits.can_prefill:
            raise unsupported(
                "messages",
                "ends with the assistant's turn, which this model does not go on from: "
                "end it with a user's",
            )
        return self._chat(
            call,
            chat_request(
                body,
                max_tokens_field=traits.max_tokens_field,
                ask_for_usage=traits.stream_usage,
            ),
            begun + call.prefill,
            traits,
            back_to_messages(call, "model"),
            left_out(call.body, MESSAGES_TO_CHAT),
        )

    def _chat(
        self,
        call: Asking,
        body: Body,
        prefill: str,
        traits: Traits,
        back: Translation,
        warnings: tuple[str, ...] = (),
    ) -> Asked:
        if prefill:
            body = unfinished_talk(body, prefill, traits.prefill_style)
        names = NAMES.get(call.endpoint, {})
        wire = FORMATS[Endpoint.CHAT]
        return Asked(wire, body, translation=back, names=names, warnings=warnings)


DIALECT = OpenAI()
