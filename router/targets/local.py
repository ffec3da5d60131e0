"""The local target: one engine replica's own OpenAI server, over its internal HTTP surface."""

from __future__ import annotations

from functools import lru_cache

import orjson
from yarl import URL

from router.errors import TargetError, TargetRejected
from router.targets.base import Answer, Call, Endpoint
from router.targets.http_client import HttpClient, RawAnswer, json_headers
from router.targets.upstream_error import UpstreamError, read_error, rejection, unavailable
from router.targets.usage import ask_for_usage

_JSON_HEADERS = json_headers()
# About the replica or our secret, not about the request: another replica may be asked.
_NOT_THE_CLIENTS_FAULT = frozenset({401, 403, 404, 408, 409, 425, 429, 499})
_NOT_SERVED = frozenset({404, 405, 501})


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

    async def send(self, call: Call) -> Answer:
        """Forward the call; its bytes come back as vLLM writes them.

        Raises:
            TargetRejected: vLLM finds fault with the request.
            TargetUnavailable: this replica cannot answer, for example because it does not hold the
                adapter; another one may.
        """
        body, hide_usage = ask_for_usage(call)
        headers = {
            **call.headers,
            **_JSON_HEADERS,
            "Authorization": self._authorization,
            "X-Request-Id": call.request_id,
        }
        answer = await self._client.post(
            _endpoint_url(self._url, call.endpoint),
            headers,
            orjson.dumps(body),
            target=self.name,
            connect_timeout_s=self._connect_timeout_s,
            timeout_s=call.timeout_s,
        )
        if answer.status == 200:
            return answer.watch(call.endpoint, hide_usage=hide_usage)
        raise await self._failure(call, answer)

    async def _failure(self, call: Call, answer: RawAnswer) -> TargetError:
        status = answer.status
        error = read_error(status, await answer.error_body())
        if status in _NOT_SERVED and not _is_about_the_model(error):
            return TargetRejected(
                f"{self.name} does not serve {call.endpoint}: {error.message}",
                status=status,
                code="unsupported_endpoint",
            )
        if 400 <= status < 500 and status not in _NOT_THE_CLIENTS_FAULT:
            return rejection(status, error)
        return unavailable(self.name, status, error.message, answer.headers)


def _is_about_the_model(error: UpstreamError) -> bool:
    """vLLM says 404 for a model that it does not hold, and for a route that it does not have."""
    return error.type is not None and error.type.startswith(("NotFound", "not_found"))


@lru_cache(maxsize=4096)
def _endpoint_url(base: str, endpoint: Endpoint) -> URL:
    return URL(base.rstrip("/") + endpoint.value)
