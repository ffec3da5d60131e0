"""The local target: one engine replica's own OpenAI server, over its internal HTTP surface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import orjson
from yarl import URL

from router.config.providers import CallLimits
from router.errors import Failure, TargetError, TargetRejected, TargetUnavailable
from router.targets.base import Answer, Call
from router.targets.counting import COUNT_TOKENS, count
from router.targets.http_client import HttpClient, RawAnswer, json_headers
from router.targets.translated import TranslatedAnswer
from router.wire.dialects.base import Asked, Traits
from router.wire.dialects.vllm import DIALECT as _VLLM
from router.wire.endpoint import Endpoint
from router.wire.upstream_error import (
    UpstreamError,
    failure_of,
    read_error,
    rejection,
    retry_after_s,
    unavailable,
)

_JSON_HEADERS = json_headers()
# About the replica or our secret, not about the request: another replica may be asked.
_NOT_THE_CLIENTS_FAULT = frozenset({401, 403, 404, 408, 409, 425, 429, 499})
_NOT_SERVED = frozenset({404, 405, 501})
_NO_LIMITS = CallLimits()
_TRAITS = Traits()


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
        return _VLLM.can_continue(endpoint, _TRAITS)

    def keeps(self, endpoint: Endpoint) -> bool:
        """Engines keep nothing."""
        del endpoint
        return False

    async def count(self, body: Mapping[str, Any], timeout_s: float) -> int:
        """Tokens of a Messages body, by the engine's own tokenizer and template.

        Raises ``TargetRejected`` and ``TargetUnavailable``.
        """
        return await count(
            self._client,
            _VLLM.url(self._url, Endpoint.MESSAGES) + COUNT_TOKENS,
            {
                **_JSON_HEADERS,
                "Authorization": self._authorization,
                "X-Graftwork-Target": self.name,
            },
            body,
            target=self.name,
            connect_timeout_s=self._connect_timeout_s,
            timeout_s=timeout_s,
        )

    async def send(self, call: Call) -> Answer:
        """Forward the call; its bytes come back as vLLM writes them, but for what it says wrongly.

        Raises:
            InvalidRequest: vLLM cannot do what is asked.
            TargetRejected: vLLM finds fault with the request.
            TargetUnavailable: this replica cannot answer, for example because it does not hold the
                adapter; another one may.
        """
        try:
            return await self._ask(call)
        except TargetRejected as error:
            is_about_the_probe = call.probe is not None and error.param == "logprobs"
            if not is_about_the_probe or call.endpoint is not Endpoint.RESPONSES:
                raise
        # gpt-oss: its Responses have none, and say so. The answer matters more than its judgement.
        return await self._ask(replace(call, probe=None))

    async def _ask(self, call: Call) -> Answer:
        asked = _VLLM.ask(call, _TRAITS)
        for warning in asked.warnings:
            call.warn(warning)
        raw = await self._post(call, asked)
        if asked.translation is None:
            return raw
        return TranslatedAnswer(raw, asked.translation, call.warn)

    async def _post(self, call: Call, asked: Asked) -> RawAnswer:
        headers = {
            **call.headers,
            **_JSON_HEADERS,
            "Authorization": self._authorization,
            "X-Request-Id": call.request_id,
            "X-Graftwork-Target": self.name,
        }
        answer = await self._client.post(
            _endpoint_url(self._url, asked.wire.endpoint),
            headers,
            orjson.dumps(asked.body),
            target=self.name,
            connect_timeout_s=self._connect_timeout_s,
            timeout_s=call.timeout_s,
        )
        if answer.status != 200:
            raise await self._failure(call, asked, answer)
        if answer.is_stream != call.stream:
            await answer.aclose()
            raise TargetUnavailable(
                f"{self.name} answered something that was not asked for.", failure=Failure.BROKEN
            )
        return answer.watch(asked)

    async def _failure(self, call: Call, asked: Asked, answer: RawAnswer) -> TargetError:
        status = answer.status
        error = read_error(status, await answer.error_body())
        if status in _NOT_SERVED and not _is_about_the_model(error):
            return TargetRejected(
                f"{self.name} does not serve {call.endpoint}: {error.message}",
                status=status,
                code="unsupported_endpoint",
            )
        if 400 <= status < 500 and status not in _NOT_THE_CLIENTS_FAULT:
            return rejection(status, error, asked.names)
        wait_s = retry_after_s(answer.headers)
        failure = failure_of(status, error, wait_s)
        return unavailable(self.name, status, error.message, wait_s, failure)


def _is_about_the_model(error: UpstreamError) -> bool:
    """vLLM says 404 for a model that it does not hold, and for a route that it does not have."""
    return error.type is not None and error.type.startswith(("NotFound", "not_found"))


@lru_cache(maxsize=4096)
def _endpoint_url(base: str, endpoint: Endpoint) -> URL:
    return URL(_VLLM.url(base, endpoint))
