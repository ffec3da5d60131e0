"""Gemini's own API, behind chat, Messages and Responses.

A call becomes one of chat, as for OpenAI, and that one of ``generateContent``; the answer's bytes
become those of a chat answer before anybody looks at them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote, urlsplit

from router.wire.dialects.base import NAMES, Asked, Asking, Traits
from router.wire.dialects.openai import OpenAI
from router.wire.dialects.through_chat import through_chat
from router.wire.endpoint import Endpoint
from router.wire.formats.base import Body, PrefillStyle
from router.wire.translate.chat_to_gemini import OWN, gemini_request
from router.wire.translate.gemini_to_chat import StreamedAnswer, WholeAnswer
from router.wire.translate.leftovers import CHAT_TO_GEMINI, left_out

_VERSION: Final = "/v1beta"
_SYSTEM: Final = frozenset({"system", "developer"})
_NAMES: Final[Mapping[str, str]] = {
    "generation_config.max_output_tokens": "max_completion_tokens",
    "generation_config.temperature": "temperature",
    "generation_config.top_p": "top_p",
    "generation_config.stop_sequences": "stop",
    "generation_config.candidate_count": "n",
    "generation_config.response_json_schema": "response_format",
    "generation_config.thinking_config": "reasoning_effort",
    "generation_config.logprobs": "top_logprobs",
    "generation_config.response_logprobs": "logprobs",
    "tool_config": "tool_choice",
    "system_instruction": "messages",
    "contents": "messages",
}
"""What Google's errors call the fields of chat."""
_IN_MESSAGES: Final[Mapping[str, str]] = {
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "tools.function.strict": "tools.strict",
}
_SUMMARIES: Final = ("summary", "generate_summary")
"""Fields of the ``reasoning`` of Responses."""
_HEARD: Final = frozenset({"thinking", "output_config.effort"})
"""What of Messages chat has no words for, and Gemini has."""


class Gemini(OpenAI):
    """Google's Gemini API."""

    name = "gemini"

    def url(self, base_url: str, endpoint: Endpoint) -> str:
        """Google's SDK takes a base without a version of the API."""
        del endpoint
        return base_url if urlsplit(base_url).path else base_url + _VERSION

    def addressed(self, base_url: str, endpoint: Endpoint, model: str, stream: bool, /) -> str:
        """Below the model."""
        how = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"{self.url(base_url, endpoint)}/{self.path(model)}:{how}"

    def path(self, model: str, /) -> str:
        """Where a model is."""
        return quote(model if "/" in model else f"models/{model}", safe="/")

    def credentials(self, key: str) -> Mapping[str, str]:
        """A header of its own."""
        return {"x-goog-api-key": key}

    def endpoints(self, native: frozenset[Endpoint]) -> frozenset[Endpoint]:
        """Chat, and Messages and Responses through it."""
        return super().endpoints(native & {Endpoint.CHAT})

    def keeps_responses(self, _native: frozenset[Endpoint], /) -> bool:
        """It has none of its own."""
        return False

    def ask(self, call: Asking, traits: Traits) -> Asked:
        """Chat, and then ``generateContent``."""
        if call.endpoint is Endpoint.RESPONSES:
            return self._through_chat(call, traits)
        chat_only = replace(
            traits,
            native=traits.native & {Endpoint.CHAT},
            prefill_style=PrefillStyle.MESSAGE,
            stream_usage=True,
        )
        asked = super().ask(call, chat_only)
        chat: Body = dict(asked.body)
        chat |= {name: call.body[name] for name in OWN if name in call.body}
        warnings = [*asked.warnings, *_changed(chat)]
        names: Mapping[str, str] = _NAMES
        if call.endpoint is Endpoint.MESSAGES:
            chat |= _thinking(call.body)
            warnings = [_IN_MESSAGES.get(name, name) for name in warnings if name not in _HEARD]
            ours = NAMES[Endpoint.MESSAGES]
            names = {theirs: ours.get(chats, chats) for theirs, chats in _NAMES.items()}
        model, answers = str(call.body.get("model", "model")), chat.get("n")
        answers = answers if isinstance(answers, int) else 1
        return replace(
            asked,
            body=gemini_request(chat),
            decoder=(StreamedAnswer if call.stream else WholeAnswer)(model, answers, call.warn),
            names=names,
            warnings=tuple(name for name in dict.fromkeys(warnings) if name not in OWN),
        )

    def _through_chat(self, call: Asking, traits: Traits) -> Asked:
        """A summary of the reasoning is what Gemini calls thoughts."""
        reasoning = call.body.get("reasoning")
        is_wanted = isinstance(reasoning, dict) and any(map(reasoning.get, _SUMMARIES))
        more = {}
        if is_wanted and "thinkingConfig" not in call.body:
            more["thinkingConfig"] = {"includeThoughts": True}
        asked = through_chat(call, replace(traits, stream_usage=True), self.ask, OWN, more)
        heard = {f"reasoning.{name}" for name in _SUMMARIES}
        return replace(asked, warnings=tuple(name for name in asked.warnings if name not in heard))


def _changed(chat: Body) -> list[str]:
    """What Gemini does not get, or in another way than it was said."""
    found = list(left_out(chat, CHAT_TO_GEMINI))
    messages = chat.get("messages")
    said = messages if isinstance(messages, list) else []  # what else it is, is refused
    roles = [str(each.get("role")) for each in said if isinstance(each, dict)]
    spoken = next((n for n, role in enumerate(roles) if role not in _SYSTEM), len(roles))
    if any(role in _SYSTEM for role in roles[spoken:]):
        found.append("messages (system messages come first)")
    return found


def _thinking(body: Body) -> dict[str, Any]:
    """Messages' wish to think; what the client says in Gemini's own words goes before it."""
    told, config = body.get("thinking"), body.get("output_config")
    effort = config.get("effort") if isinstance(config, dict) else None
    found: dict[str, Any] = {} if effort is None else {"reasoning_effort": effort}
    if not isinstance(told, dict) or "thinkingConfig" in body:
        return found
    if told.get("type") in {"enabled", "adaptive"}:
        shown: dict[str, Any] = {"includeThoughts": True}
        if effort is None and told.get("budget_tokens") is not None:
            shown["thinkingBudget"] = told["budget_tokens"]
        found["thinkingConfig"] = shown
    return found


DIALECT = Gemini()
