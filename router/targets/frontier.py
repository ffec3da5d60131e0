"""What all frontier targets share: credentials, limits, and the sorting of a provider's errors."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson
from yarl import URL

from router.config.providers import Dialect, ModelCard, ProviderConfig, read_key
from router.errors import (
    Failure,
    InvalidRequest,
    TargetBroken,
    TargetError,
    TargetUnavailable,
)
from router.targets.base import Call
from router.targets.http_client import HttpClient, RawAnswer, json_headers
from router.wire.endpoint import Endpoint, Usage
from router.wire.upstream_error import failure_of, read_error, rejection, unavailable

ANTHROPIC_VERSION: Final = "2023-06-01"
FULL_RETRY_AFTER_S: Final = 1.0
_MAX_TRANSLATED_BODY_BYTES: Final = 32 * 1024 * 1024
_PASSED_ON: Final = {
    Dialect.OPENAI: frozenset({"traceparent", "tracestate"}),
    Dialect.ANTHROPIC: frozenset(
        {"traceparent", "tracestate", "anthropic-beta", "anthropic-version"}
    ),
}
_CLIENTS_FAULT: Final = frozenset({400, 413, 415, 422})
_CREDENTIALS: Final = frozenset({401, 403})


@dataclass(frozen=True)
class Upstream:
    """One call as the provider gets it.

    Attributes:
        endpoint: the dialect of body and answer on the provider's side.
        body: what is sent.
        hide_usage: the client must not see the usage-only event.
    """

    endpoint: Endpoint
    body: dict[str, Any]
    hide_usage: bool = False


class Provider:
    """One configured provider at run time; its models' targets share it.

    Args:
        client: the shared HTTP client.
        config: what is configured.
        environ: where ``api_key_env`` is looked up.

    Raises:
        MissingKey: the configured key is not there.
    """

    def __init__(
        self, client: HttpClient, config: ProviderConfig, environ: Mapping[str, str] = os.environ
    ) -> None:
        self.config = config
        self.in_flight = 0
        self._client = client
        self._urls = {endpoint: URL(config.url(endpoint)) for endpoint in Endpoint}
        self._passed_on = _PASSED_ON[config.dialect]
        self._before = {**json_headers(), **config.headers}
        self._credentials: dict[str, str] = {}
        if config.dialect is Dialect.ANTHROPIC:
            self._before.setdefault("anthropic-version", ANTHROPIC_VERSION)
        key = read_key(config, environ)
        if key is not None and config.dialect is Dialect.ANTHROPIC:
            self._credentials = {"x-api-key": key}
        elif key is not None:
            self._credentials = {"Authorization": f"Bearer {key}"}

    async def send(self, target: str, call: Call, upstream: Upstream) -> RawAnswer:
        """Call the provider; returns when a successful status is here.

        Args:
            target: the target's name, for messages.
            call: the client's call.
            upstream: what the provider gets.

        Raises:
            TargetRejected: the provider finds fault with the request.
            TargetUnavailable: it cannot answer now, or not with our credentials.
        """
        if self.in_flight >= self.config.max_connections:
            raise TargetUnavailable(
                f"{target} has {self.in_flight} calls under way, its limit.",
                status=503,
                retry_after_s=FULL_RETRY_AFTER_S,
                failure=Failure.BUSY,
            )
        self.in_flight += 1
        try:
            answer = await self._answered(target, call, upstream)
        except BaseException:
            self._ended()
            raise
        return answer.watch(upstream.endpoint, hide_usage=upstream.hide_usage, on_end=self._ended)

    async def _answered(self, target: str, call: Call, upstream: Upstream) -> RawAnswer:
        answer = await self._post(target, call, upstream)
        if answer.status != 200:
            raise await self._failure(target, call, upstream, answer)
        if answer.is_stream != call.stream:
            await answer.aclose()
            asked = "a stream" if call.stream else "a whole answer"
            raise TargetUnavailable(
                f"{target} was asked for {asked} and gave something else.", failure=Failure.BROKEN
            )
        return answer

    async def _post(self, target: str, call: Call, upstream: Upstream) -> RawAnswer:
        passed_on = {
            name: value for name, value in call.headers.items() if name.lower() in self._passed_on
        }
        return await self._client.post(
            self._urls[upstream.endpoint],
            {
                **self._before,
                **passed_on,
                "X-Client-Request-Id": call.request_id,
                **self._credentials,
            },
            orjson.dumps(upstream.body),
            target=target,
            connect_timeout_s=self.config.connect_timeout_s,
            timeout_s=min(call.timeout_s, self.config.total_timeout_s),
        )

    async def _failure(
        self, target: str, call: Call, upstream: Upstream, answer: RawAnswer
    ) -> TargetError:
        status = answer.status
        error = read_error(status, await answer.error_body())
        if status in _CLIENTS_FAULT or error.is_refusal:
            return rejection(status, error, payload=upstream.endpoint is call.endpoint)
        detail = error.message
        if status in _CREDENTIALS:  # what it says may repeat parts of the key
            detail = "it does not accept the configured credentials"
        failure = failure_of(status, error, answer.headers)
        return unavailable(target, status, detail, answer.headers, failure)

    def _ended(self) -> None:
        self.in_flight -= 1


class StreamTranslator(Protocol):
    """Turns one dialect's events into another's, piece by piece."""

    def feed(self, data: bytes) -> bytes:
        """The translation of what became complete with ``data``."""
        ...


class TranslatedAnswer:
    """An ``Answer`` whose body is translated as it goes by.

    Args:
        raw: the provider's answer.
        stream: translates its events, when it is a stream.
        whole: translates its body, when it is not.
    """

    def __init__(
        self,
        raw: RawAnswer,
        stream: StreamTranslator,
        whole: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> None:
        self._raw = raw
        self._stream = stream
        self._whole = whole
        self.status = raw.status
        self.content_type = "text/event-stream" if raw.is_stream else "application/json"
        self.usage: Usage = raw.usage

    async def chunks(self) -> AsyncIterator[bytes]:
        """The translated body. Raises ``TargetBroken`` as ``RawAnswer.chunks`` does."""
        if self._raw.is_stream:
            async for data in self._raw.chunks():
                translated = await self._translate(self._stream.feed, data)
                if translated:
                    yield translated
            return
        body = bytearray()
        async for data in self._raw.chunks():
            body += data
            if len(body) > _MAX_TRANSLATED_BODY_BYTES:
                await self.aclose()
                raise TargetBroken("The answer is too large to be translated.")
        yield await self._translate(self._translate_whole, bytes(body))

    def _translate_whole(self, body: bytes) -> bytes:
        return orjson.dumps(self._whole(orjson.loads(body)))

    async def _translate(self, how: Callable[[bytes], bytes], data: bytes) -> bytes:
        # What a provider sends may have any shape: that a translator trips over it is no bug.
        try:
            return how(data)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            await self.aclose()
            raise TargetBroken("The answer does not have the shape of its API.") from error

    def interrupt(self, error: TargetBroken) -> None:
        """Let the read that is waiting fail with ``error``."""
        self._raw.interrupt(error)

    async def aclose(self) -> None:
        """Cut the connection unless the body was read to its end."""
        await self._raw.aclose()


def require_endpoint(target: str, config: ProviderConfig, card: ModelCard, call: Call) -> None:
    """Refuse a call to an endpoint that the model does not have.

    Raises:
        InvalidRequest: ``unsupported_endpoint``, naming the endpoints that it has.
    """
    served = config.endpoints(card)
    if call.endpoint in served:
        return
    names = ", ".join(sorted(served)) or "nothing that this router speaks"
    raise InvalidRequest(
        f"{target} does not answer {call.endpoint}. It answers {names}: "
        "use one of these, or another model.",
        code="unsupported_endpoint",
        param="model",
    )
