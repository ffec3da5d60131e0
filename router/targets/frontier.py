"""Models of providers: credentials, limits, calls in the provider's dialect, its errors sorted."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson
from yarl import URL

from router.config.egress import EgressConfig
from router.config.providers import CallLimits, ModelCard, ProviderConfig
from router.errors import Failure, InvalidRequest, TargetError, TargetUnavailable
from router.targets.base import Answer, Call
from router.targets.counting import COUNT_TOKENS, count
from router.targets.egress import Way
from router.targets.google_tokens import AccessTokens
from router.targets.http_client import HttpClient, RawAnswer, json_headers
from router.targets.keys import Keys
from router.targets.quota import Quota
from router.targets.translated import TranslatedAnswer
from router.targets.unsaid import Unsaid
from router.wire.dialects.base import Asked
from router.wire.endpoint import Endpoint, Usage
from router.wire.formats import FORMATS
from router.wire.upstream_error import (
    UpstreamError,
    failure_of,
    read_error,
    rejection,
    retry_after_s,
    unavailable,
)

FULL_RETRY_AFTER_S: Final = 1.0
_CLIENTS_FAULT: Final = frozenset({400, 413, 415, 422})
_CREDENTIALS: Final = frozenset({401, 403})
_UNAUTHORIZED: Final = 401
_LIMITED: Final = 429
_Error = TypeVar("_Error", bound=TargetError)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A status that is no success, and what was said with it."""

    status: int
    error: UpstreamError
    wait_s: float | None

    @classmethod
    async def read(cls, answer: RawAnswer) -> _Refusal:
        error = read_error(answer.status, await answer.error_body())
        wait_s = retry_after_s(answer.headers)
        return cls(answer.status, error, error.wait_s if wait_s is None else wait_s)

    @property
    def is_about_the_key(self) -> bool:
        """Whose fault it is when it is not the request's."""
        is_keys = self.error.is_ours or self.status in _CREDENTIALS
        return is_keys and not self.error.is_refusal

    def failure(self, target: str, asked: Asked) -> TargetError:
        """As what is known about the target. What is said about a key may repeat parts of it."""
        error, status = self.error, self.status
        if self.is_about_the_key:
            detail = "it does not accept the configured credentials"
        elif status in _CLIENTS_FAULT or error.is_refusal:
            return rejection(status, error, asked.names)
        else:
            detail = error.message
        found = failure_of(status, error, self.wait_s)
        return unavailable(target, status, detail, self.wait_s, found)


class Provider:
    """One configured provider at run time; its models' targets share it.

    Args:
        client: the shared HTTP client.
        config: what is configured.
        environ: where ``api_key_env`` is looked up.

    Raises:
        MissingKey: the configured key, or service account, is not there.
    """

    def __init__(
        self, client: HttpClient, config: ProviderConfig, environ: Mapping[str, str] = os.environ
    ) -> None:
        self.config = config
        self.in_flight = 0
        self._client = client
        self._urls: dict[tuple[Endpoint, str, bool], URL] = {}
        self._way = way_of(config.egress)
        self._passed_on = config.api.passed_on
        self._before = {**json_headers(), **config.api.headers(), **config.headers}
        self._keys = Keys(config, environ)
        self._unsaid = Unsaid()
        self._tokens: AccessTokens | None = None
        if config.google_auth is not None:
            self._tokens = AccessTokens(
                client,
                config.google_auth,
                config.name,
                way=self._way,
                connect_timeout_s=config.connect_timeout_s,
            )

    def _url(self, endpoint: Endpoint, model: str, stream: bool) -> URL:
        """Made once: a guard's model need not be among those that are configured."""
        found = self._urls.get((endpoint, model, stream))
        if found is None:
            text = self.config.url(endpoint, model, stream=stream)
            found = URL(text, encoded="%" in text)  # what is quoted stays: signatures count on it
            self._urls[endpoint, model, stream] = found
        return found

    async def send(
        self, target: str, model: str, call: Call, asked: Asked, quota: Quota | None = None
    ) -> RawAnswer:
        """Call the provider; returns when a successful status is here.

        Args:
            target: the target's name, for messages.
            model: its id at the provider.
            call: the client's call.
            asked: what the provider gets.
            quota: of the model.

        Raises:
            TargetRejected: the provider finds fault with the request.
            TargetUnavailable: it cannot answer now, or not with our credentials.
        """
        self._require_room(target)
        if quota is not None:
            quota.take()
        self.in_flight += 1
        try:
            answer = await self._answered(target, model, call, asked)
        except TargetError as error:
            self._ended()
            self._hide(error)
            raise
        except BaseException:
            self._ended()
            raise

        def ended() -> None:
            self._ended()
            if quota is not None:
                usage = answer.usage
                quota.used((usage.input_tokens or 0) + (usage.output_tokens or 0))

        return answer.watch(asked, on_end=ended, hide=self._hide)

    def _require_room(self, target: str) -> None:
        if self.in_flight >= self.config.max_connections:
            raise TargetUnavailable(
                f"{target} has {self.in_flight} calls under way, its limit.",
                status=503,
                retry_after_s=FULL_RETRY_AFTER_S,
                failure=Failure.BUSY,
            )

    async def _answered(self, target: str, model: str, call: Call, asked: Asked) -> RawAnswer:
        answer = await self._post(target, model, call, asked)
        if answer.is_stream != call.stream:
            await answer.aclose()
            wanted = "a stream" if call.stream else "a whole answer"
            raise TargetUnavailable(
                f"{target} was asked for {wanted} and gave something else.", failure=Failure.BROKEN
            )
        return answer

    async def _post(self, target: str, model: str, call: Call, asked: Asked) -> RawAnswer:
        """With the next key; while one is refused and there are others, with those."""
        payload, left = orjson.dumps(asked.body), max(len(self._keys), 1)
        while True:
            key = await self._key()
            answer = await self._posted(target, model, call, asked, payload, key)
            if answer.status == 200:
                return answer
            refusal = await _Refusal.read(answer)
            if left <= 0 or not self._may_try_another(key, refusal):
                raise refusal.failure(target, asked)
            left -= 1

    async def _key(self) -> str | None:
        key = self._keys.take() if self._tokens is None else await self._tokens.take()
        if key is not None:
            self._unsaid.add(key)
        return key

    def _may_try_another(self, key: str | None, refusal: _Refusal) -> bool:
        if self._tokens is not None:
            return refusal.status == _UNAUTHORIZED and self._tokens.refused(key or "")
        if refusal.is_about_the_key:
            self._keys.refused(key)
        elif refusal.status == _LIMITED:
            self._keys.limited(key, refusal.wait_s)
        else:
            return False
        return self._keys.has_another()

    async def _posted(
        self,
        target: str,
        model: str,
        call: Call,
        asked: Asked,
        payload: bytes,
        key: str | None,
    ) -> RawAnswer:
        passed_on = {
            name: value for name, value in call.headers.items() if name.lower() in self._passed_on
        }
        url = self._url(asked.wire.endpoint, model, call.stream)
        return await self._client.post(
            url,
            {
                **self._before,
                **passed_on,
                "X-Client-Request-Id": call.request_id,
                **self.config.proof(key, str(url), payload),
            },
            payload,
            target=target,
            connect_timeout_s=self.config.connect_timeout_s,
            timeout_s=min(call.timeout_s, self.config.total_timeout_s),
            way=self._way,
        )

    def _hide(self, error: _Error) -> _Error:
        """The error without what we sent as credentials, whatever the provider repeats."""
        hidden = self._unsaid.without
        error.message, error.code = hidden(error.message), hidden(error.code)
        error.param = None if error.param is None else hidden(error.param)
        error.args = (error.message,)
        return error

    def _ended(self) -> None:
        self.in_flight -= 1

    async def count(self, target: str, body: Mapping[str, Any], timeout_s: float) -> int:
        """Tokens of a Messages body. Raises ``TargetRejected`` and ``TargetUnavailable``."""
        self._require_room(target)
        self.in_flight += 1
        try:
            return await self._counted(target, body, timeout_s)
        except TargetError as error:
            self._hide(error)
            raise
        finally:
            self._ended()

    async def _counted(self, target: str, body: Mapping[str, Any], timeout_s: float) -> int:
        """By the next key; while one is refused and there are others, by those."""
        left = max(len(self._keys), 1)
        while True:
            key = await self._key()
            try:
                return await count(
                    self._client,
                    self.config.url(Endpoint.MESSAGES) + COUNT_TOKENS,
                    {**self._before, **({} if key is None else self.config.api.credentials(key))},
                    body,
                    target=target,
                    connect_timeout_s=self.config.connect_timeout_s,
                    timeout_s=timeout_s,
                    way=self._way,
                )
            except TargetUnavailable as error:
                if left <= 0 or not self._may_count_with_another(key, error):
                    raise
                left -= 1

    def _may_count_with_another(self, key: str | None, error: TargetUnavailable) -> bool:
        if error.failure is Failure.CREDENTIALS:
            self._keys.refused(key)
        elif error.failure is Failure.LIMITED:
            self._keys.limited(key, error.retry_after_s)
        else:
            return False
        return self._keys.has_another()


class FrontierTarget:
    """One model of a provider. What it sends and what comes back is its dialect's business."""

    def __init__(self, provider: Provider, card: ModelCard) -> None:
        self.card = card
        self.name = f"frontier:{provider.config.name}/{card.id}"
        self.limits: CallLimits = provider.config.limits()
        self.price_list = provider.config.price_list(card)
        vendor = provider.config.known_vendor
        self._tells_cost = vendor is not None and vendor.tells_cost
        self._provider = provider
        self._traits = provider.config.traits(card)
        self._quota = Quota(self.name, card.requests_per_minute, card.tokens_per_minute)

    def cost_usd(self, usage: Usage) -> float | None:
        """What an answer cost, USD; None when its tokens were not counted."""
        if self._tells_cost and usage.told_usd is not None:
            return usage.told_usd
        return self.card.cost_usd(usage)

    def can_continue(self, endpoint: Endpoint) -> bool:
        """Whether a call may carry a ``prefill``."""
        return self._provider.config.api.can_continue(endpoint, self._traits)

    def keeps(self, endpoint: Endpoint) -> bool:
        """Responses by a provider's own API, unless the client says otherwise."""
        return FORMATS[endpoint].keeps and self._provider.config.keeps_responses(self.card)

    async def count(self, body: Mapping[str, Any], timeout_s: float) -> int | None:
        """Tokens of a Messages body; None when its provider does not count.

        Raises ``TargetRejected`` and ``TargetUnavailable``.
        """
        if not self._provider.config.api.counts_tokens:
            return None
        try:
            return await self._provider.count(self.name, {**body, "model": self.card.id}, timeout_s)
        except TargetUnavailable as error:
            if error.failure is Failure.MISSING:  # of many that speak this API else
                return None
            raise

    async def send(self, call: Call) -> Answer:
        """Call the model.

        Raises:
            InvalidRequest: the model has no such endpoint, or the call cannot be said in its API.
            TargetRejected: the provider finds fault with the request.
            TargetUnavailable: it cannot answer now.
        """
        config = self._provider.config
        _require_endpoint(self.name, config, self.card, call)
        asked = config.api.ask(call, self._traits)
        for warning in asked.warnings:
            call.warn(warning)
        raw = await self._provider.send(self.name, self.card.id, call, asked, self._quota)
        if asked.translation is None:
            return raw
        return TranslatedAnswer(raw, asked.translation, call.warn)


def frontier_targets(
    client: HttpClient,
    providers: Iterable[ProviderConfig],
    environ: Mapping[str, str] = os.environ,
) -> dict[str, FrontierTarget]:
    """The targets by their public name ``<provider>/<model>``.

    Raises:
        MissingKey: a provider's key is configured but not there.
    """
    found: dict[str, FrontierTarget] = {}
    for config in providers:
        provider = Provider(client, config, environ)
        for card in config.models:
            found[f"{config.name}/{card.id}"] = FrontierTarget(provider, card)
    return found


def _require_endpoint(target: str, config: ProviderConfig, card: ModelCard, call: Call) -> None:
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


def way_of(config: EgressConfig) -> Way:
    """The way out of the network that is configured."""
    return Way(
        config.proxy,
        config.proxy_credentials_file,
        config.ca_file,
        config.client_certificate_file,
        config.client_key_file,
    )
