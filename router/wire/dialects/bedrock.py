"""Amazon Bedrock's Converse, behind Messages, chat and Responses.

A call becomes one of Messages, as for Anthropic, and that one of Converse; the answer's bytes
become those of a Messages answer before anybody looks at them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from router.wire.aws import sigv4
from router.wire.dialects.anthropic import OWN as MESSAGES_OWN
from router.wire.dialects.anthropic import Anthropic
from router.wire.dialects.base import Asked, Asking, Dialect, Traits
from router.wire.dialects.through_chat import through_chat
from router.wire.endpoint import Endpoint
from router.wire.formats.messages import counted
from router.wire.translate.converse_to_messages import StreamedAnswer, WholeAnswer
from router.wire.translate.leftovers import MESSAGES_TO_CONVERSE, left_out
from router.wire.translate.messages_to_converse import OWN, converse_request

_NAMES: Final[Mapping[str, str]] = {
    "inferenceConfig.maxTokens": "max_tokens",
    "inferenceConfig.temperature": "temperature",
    "inferenceConfig.topP": "top_p",
    "inferenceConfig.stopSequences": "stop_sequences",
    "toolConfig.toolChoice": "tool_choice",
    "toolConfig": "tools",
}
_IN_CHAT: Final[Mapping[str, str]] = {
    "stop_sequences": "stop",
    "tool_choice.disable_parallel_tool_use": "parallel_tool_calls",
}


class Bedrock(Anthropic):
    """Amazon Bedrock's Converse; a model's id is its own, an inference profile's or an ARN."""

    name = "bedrock"
    passed_on = Dialect.passed_on
    counts_tokens = False
    signs = True

    def url(self, base_url: str, endpoint: Endpoint) -> str:
        """Where models are below; each has its own address."""
        del endpoint
        return base_url + "/model"

    def addressed(self, base_url: str, endpoint: Endpoint, model: str, stream: bool, /) -> str:
        """Below the model."""
        how = "converse-stream" if stream else "converse"
        return f"{self.url(base_url, endpoint)}/{quote(model, safe='')}/{how}"

    def region_in(self, base_url: str, /) -> str | None:
        """The part of ``bedrock-runtime.<region>.amazonaws.com``."""
        return sigv4.region_in(base_url)

    def headers(self) -> Mapping[str, str]:
        """None: the version is in the API's name."""
        return {}

    def unusable(self, key: str, /) -> str | None:
        """An API key is taken as it is; AWS credentials need a signer."""
        return sigv4.unusable(key) if sigv4.is_pair(key) else None

    def credentials(self, key: str) -> Mapping[str, str]:
        """An API key is a bearer token."""
        return {"Authorization": f"Bearer {key}"}

    def signed(
        self, key: str, url: str, payload: bytes, region: str | None, /
    ) -> Mapping[str, str]:
        """AWS credentials sign each request."""
        if not sigv4.is_pair(key):
            return self.credentials(key)
        assert region is not None  # the configuration was refused without
        return sigv4.sign(key, url, payload, region)

    def ask(self, call: Asking, traits: Traits) -> Asked:
        """Messages, and then Converse."""
        if call.endpoint is Endpoint.RESPONSES:
            own = (*OWN, *MESSAGES_OWN)
            return through_chat(call, replace(traits, stream_usage=True), self.ask, own)
        asked = super().ask(call, traits)
        messages = dict(asked.body)
        messages |= {name: call.body[name] for name in OWN if name in call.body}
        lost = [*asked.warnings, *left_out(messages, MESSAGES_TO_CONVERSE)]
        names: Mapping[str, str] = _NAMES
        if call.endpoint is Endpoint.CHAT:
            lost = [_IN_CHAT.get(name, name) for name in lost]
            names = {theirs: _IN_CHAT.get(ours, ours) for theirs, ours in _NAMES.items()}
        model = str(call.body.get("model", "model"))
        return replace(
            asked,
            body=converse_request(messages),
            correct=counted,
            decoder=(StreamedAnswer if call.stream else WholeAnswer)(model, call.warn),
            names=names,
            warnings=tuple(name for name in dict.fromkeys(lost) if name not in OWN),
        )


DIALECT = Bedrock()
