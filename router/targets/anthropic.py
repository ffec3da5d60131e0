"""Models of providers that speak Anthropic's Messages API."""

from __future__ import annotations

import time
from typing import Any

from router.config.providers import CallLimits, Capability, ModelCard, PrefillStyle
from router.targets.base import Answer, Call
from router.targets.frontier import Provider, TranslatedAnswer, Upstream, require_endpoint
from router.targets.prefill import continued
from router.wire.endpoint import Endpoint
from router.wire.translate.answer_to_chat import chat_answer
from router.wire.translate.chat_to_messages import messages_request
from router.wire.translate.stream_to_chat import ChatStream


class AnthropicTarget:
    """One model of an Anthropic-compatible provider.

    ``/v1/messages`` passes through untouched; ``/v1/chat/completions`` is translated and back.
    """

    def __init__(self, provider: Provider, card: ModelCard) -> None:
        self.card = card
        self.name = f"frontier:{provider.config.name}/{card.id}"
        self._provider = provider
        self.limits: CallLimits = provider.config.limits()

    def can_continue(self, endpoint: Endpoint) -> bool:
        """Models that take a last message of the assistant; the newest do not."""
        served = self._provider.config.endpoints(self.card)
        return Capability.PREFILL in self.card.capabilities and endpoint in served

    async def send(self, call: Call) -> Answer:
        """Call the model.

        Raises:
            InvalidRequest: the model has no such endpoint, or the call cannot be translated for it.
            TargetRejected: the provider finds fault with the request.
            TargetUnavailable: it cannot answer now.
        """
        require_endpoint(self.name, self._provider.config, self.card, call)
        body = continued(call, PrefillStyle.MESSAGE)
        if call.endpoint is Endpoint.MESSAGES:
            return await self._provider.send(self.name, call, Upstream(Endpoint.MESSAGES, body))
        return await self._send_chat(call, body)

    async def _send_chat(self, call: Call, chat: dict[str, Any]) -> Answer:
        body = messages_request(chat, default_max_tokens=self.card.max_output_tokens)
        raw = await self._provider.send(self.name, call, Upstream(Endpoint.MESSAGES, body))
        options = call.body.get("stream_options")
        include_usage = isinstance(options, dict) and bool(options.get("include_usage"))
        created = int(time.time())
        return TranslatedAnswer(
            raw,
            ChatStream(created=created, include_usage=include_usage),
            lambda answer: chat_answer(answer, created=created),
        )
