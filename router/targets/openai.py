"""Models of providers that speak OpenAI's API."""

from __future__ import annotations

import time

from router.config.providers import CallLimits, Capability, ModelCard, PrefillStyle
from router.targets.base import Answer, Call
from router.targets.frontier import Provider, TranslatedAnswer, Upstream, require_endpoint
from router.targets.prefill import continued, unfinished
from router.wire.endpoint import Endpoint
from router.wire.translate.answer_to_messages import messages_answer
from router.wire.translate.messages_to_chat import chat_request
from router.wire.translate.responses_to_chat import talk_of
from router.wire.translate.stream_to_messages import MessagesStream
from router.wire.translate.stream_to_responses import ResponsesPieces
from router.wire.usage import ask_for_usage


class OpenAITarget:
    """One model of an OpenAI-compatible provider. Bytes pass through untouched.

    ``/v1/messages`` is translated to chat and back when the model's card has ``chat`` but not
    ``messages``.
    """

    def __init__(self, provider: Provider, card: ModelCard) -> None:
        self.card = card
        self.name = f"frontier:{provider.config.name}/{card.id}"
        self._provider = provider
        self._translates = Capability.MESSAGES not in card.capabilities
        self.limits: CallLimits = provider.config.limits()

    def can_continue(self, endpoint: Endpoint) -> bool:
        """Any model that completes prompts does; a chat model only when its card says so."""
        if endpoint not in self._provider.config.endpoints(self.card):
            return False
        if endpoint is Endpoint.COMPLETIONS:
            return True
        if endpoint is Endpoint.RESPONSES and Capability.CHAT not in self.card.capabilities:
            return False  # the API itself begins each answer anew
        return Capability.PREFILL in self.card.capabilities

    async def send(self, call: Call) -> Answer:
        """Call the model.

        Raises:
            InvalidRequest: the model has no such endpoint, or the call cannot be translated for it.
            TargetRejected: the provider finds fault with the request.
            TargetUnavailable: it cannot answer now.
        """
        config = self._provider.config
        require_endpoint(self.name, config, self.card, call)
        if call.endpoint is Endpoint.MESSAGES and self._translates:
            return await self._send_as_chat(call)
        if call.endpoint is Endpoint.RESPONSES and call.prefill:
            return await self._continue_as_chat(call)
        body = call.body
        if call.prefill:
            native = call.endpoint is Endpoint.MESSAGES
            body = continued(call, PrefillStyle.MESSAGE if native else config.prefill_style)
        hide_usage = False
        if config.stream_usage:
            body, hide_usage = ask_for_usage(call.endpoint, body, stream=call.stream)
        upstream = Upstream(call.endpoint, body, hide_usage)
        return await self._provider.send(self.name, call, upstream)

    async def _continue_as_chat(self, call: Call) -> Answer:
        """The rest of a Responses stream, asked for through chat."""
        config = self._provider.config
        body = talk_of(
            call.body,
            max_tokens_field=config.max_tokens_field,
            ask_for_usage=config.stream_usage,
        )
        body = unfinished(body, call.prefill, config.prefill_style)
        raw = await self._provider.send(self.name, call, Upstream(Endpoint.CHAT, body))
        return TranslatedAnswer(raw, ResponsesPieces(), dict)

    async def _send_as_chat(self, call: Call) -> Answer:
        config = self._provider.config
        body = chat_request(
            call.body,
            max_tokens_field=config.max_tokens_field,
            ask_for_usage=config.stream_usage,
        )
        if call.prefill:
            body = unfinished(body, call.prefill, config.prefill_style)
        raw = await self._provider.send(self.name, call, Upstream(Endpoint.CHAT, body))
        model = str(call.body.get("model", self.card.id))
        fallback_id = f"msg_{time.time_ns():x}"
        return TranslatedAnswer(
            raw,
            MessagesStream(model=model, fallback_id=fallback_id),
            lambda answer: messages_answer(answer, model=model, fallback_id=fallback_id),
        )
