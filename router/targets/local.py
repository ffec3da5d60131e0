"""The local target: one engine replica's own OpenAI server, over its internal HTTP surface."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson
from yarl import URL

from router.config.providers import CallLimits, PrefillStyle
from router.errors import Failure, TargetError, TargetRejected, TargetUnavailable
from router.targets.base import Answer, Call
from router.targets.frontier import TranslatedAnswer
from router.targets.http_client import HttpClient, RawAnswer, json_headers
from router.targets.prefill import continued, unfinished
from router.wire.endpoint import Endpoint
from router.wire.translate.answer_to_messages import messages_answer
from router.wire.translate.messages_to_chat import chat_request
from router.wire.translate.messages_to_vllm import Unlike, vllm_request
from router.wire.translate.stream_to_messages import MessagesStream
from router.wire.upstream_error import UpstreamError, failure_of, read_error, rejection, unavailable
from router.wire.usage import ask_for_usage

_JSON_HEADERS = json_headers()
# About the replica or our secret, not about the request: another replica may be asked.
_NOT_THE_CLIENTS_FAULT = frozenset({401, 403, 404, 408, 409, 425, 429, 499})
_NOT_SERVED = frozenset({404, 405, 501})
_CONTINUABLE = frozenset(Endpoint) - {Endpoint.EMBEDDINGS}
_NO_LIMITS = CallLimits()


class LocalTarget:
    """The base or an adapter on one replica. Cheap to build: one per request is fine.

    Args:
        client: the shared HTTP client.
        url: the replica's base URL, without ``/v1``.
        secret: what the replica's HTTP surface demands.
        name: ``base`` or ``adapter:<alias>@<digest12>``.
        connect_timeout_s: seconds to wait for a connection.
    """

    __slots__ = ("_authorization", "_client", "_connect_timeout_s", "_url", "name")

    def __init__(
        self,
        client: HttpClient,
        url: str,
        secret: str,
        name: str,
        *,
        connect_timeout_s: float = 5.0,
    ) -> None:
        self._client = client
        self._url = url
        self._authorization = f"Bearer {secret}"
        self._connect_timeout_s = connect_timeout_s
        self.name = name

    @property
    def limits(self) -> CallLimits:
        """The router's own apply."""
        return _NO_LIMITS

    def can_continue(self, endpoint: Endpoint) -> bool:
        """vLLM does, wherever there is text to go on from."""
        return endpoint in _CONTINUABLE

    async def send(self, call: Call) -> Answer:
        """Forward the call; its bytes come back as vLLM writes them.

        Raises:
            TargetRejected: vLLM finds fault with the request.
            TargetUnavailable: this replica cannot answer, for example because it does not hold the
                adapter; another one may.
        """
        if call.probe is not None:
            return await self._telling(call, call.probe)
        if call.prefill and call.endpoint is Endpoint.MESSAGES:
            # vLLM's Messages route answers a last message of the assistant, chat goes on from it.
            body = unfinished(_chat_body(call.body), call.prefill, PrefillStyle.CONTINUE)
            return await self._as_chat(call, body)
        return await self._as_it_is(call, continued(call, PrefillStyle.CONTINUE))

    async def _as_it_is(self, call: Call, body: dict[str, Any]) -> Answer:
        body, hide_usage = ask_for_usage(call.endpoint, body, stream=call.stream)
        return await self._post(call, call.endpoint, body, hide_usage=hide_usage)

    async def _telling(self, call: Call, probe: Mapping[str, Any]) -> Answer:
        """An answer that tells its tokens' probabilities, where vLLM has them for this model."""
        if call.endpoint is Endpoint.MESSAGES:
            return await self._as_chat(call, {**vllm_request(call.body), **probe}, tells=True)
        try:
            return await self._as_it_is(call, {**call.body, **probe})
        except TargetRejected as error:
            if call.endpoint is not Endpoint.RESPONSES or error.param != "logprobs":
                raise
        # gpt-oss: its Responses have none, and say so. The answer matters more than its judgement.
        return await self._as_it_is(call, call.body)

    async def _as_chat(self, call: Call, body: dict[str, Any], *, tells: bool = False) -> Answer:
        """A Messages call that is made as chat, and its answer translated back."""
        raw = await self._post(call, Endpoint.CHAT, body, hide_usage=False)
        model = str(call.body.get("model", self.name))
        fallback_id = f"msg_{time.time_ns():x}"
        return TranslatedAnswer(
            raw,
            MessagesStream(model=model, fallback_id=fallback_id, tells=tells),
            lambda answer: messages_answer(
                answer, model=model, fallback_id=fallback_id, tells=tells
            ),
        )

    async def _post(
        self, call: Call, endpoint: Endpoint, body: dict[str, Any], *, hide_usage: bool
    ) -> RawAnswer:
        headers = {
            **call.headers,
            **_JSON_HEADERS,
            "Authorization": self._authorization,
            "X-Request-Id": call.request_id,
            "X-Graftwork-Target": self.name,
        }
        answer = await self._client.post(
            _endpoint_url(self._url, endpoint),
            headers,
            orjson.dumps(body),
            target=self.name,
            connect_timeout_s=self._connect_timeout_s,
            timeout_s=call.timeout_s,
        )
        if answer.status != 200:
            raise await self._failure(call, endpoint, answer)
        if answer.is_stream != call.stream:
            await answer.aclose()
            raise TargetUnavailable(
                f"{self.name} answered something that was not asked for.", failure=Failure.BROKEN
            )
        return answer.watch(endpoint, hide_usage=hide_usage)

    async def _failure(self, call: Call, endpoint: Endpoint, answer: RawAnswer) -> TargetError:
        status = answer.status
        error = read_error(status, await answer.error_body())
        if status in _NOT_SERVED and not _is_about_the_model(error):
            return TargetRejected(
                f"{self.name} does not serve {call.endpoint}: {error.message}",
                status=status,
                code="unsupported_endpoint",
            )
        if 400 <= status < 500 and status not in _NOT_THE_CLIENTS_FAULT:
            return rejection(status, error, payload=endpoint is call.endpoint)
        failure = failure_of(status, error, answer.headers)
        return unavailable(self.name, status, error.message, answer.headers, failure)


def _chat_body(body: dict[str, Any]) -> dict[str, Any]:
    """A Messages body as vLLM would read it; as near to it as chat can say where that differs."""
    try:
        return vllm_request(body)
    except Unlike:
        return chat_request(body, max_tokens_field="max_tokens", ask_for_usage=True)


def _is_about_the_model(error: UpstreamError) -> bool:
    """vLLM says 404 for a model that it does not hold, and for a route that it does not have."""
    return error.type is not None and error.type.startswith(("NotFound", "not_found"))


@lru_cache(maxsize=4096)
def _endpoint_url(base: str, endpoint: Endpoint) -> URL:
    return URL(base.rstrip("/") + endpoint.value)
