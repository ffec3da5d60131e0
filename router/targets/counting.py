"""How many tokens a target makes of a conversation, in its own count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from yarl import URL

from router.errors import Failure, TargetUnavailable
from router.targets.egress import STRAIGHT, Way
from router.targets.http_client import HttpClient
from router.wire.upstream_error import (
    failure_of,
    read_error,
    rejection,
    retry_after_s,
    unavailable,
)

_COUNTED: Final = ("model", "messages", "system", "tools", "tool_choice", "thinking")
_CLIENTS_FAULT: Final = frozenset({400, 413, 422})
COUNT_TOKENS: Final = "/count_tokens"
"""Below the path of Messages."""
TIMEOUT_S: Final = 30.0


async def count(
    client: HttpClient,
    url: str,
    headers: Mapping[str, str],
    body: Mapping[str, Any],
    *,
    target: str,
    connect_timeout_s: float,
    timeout_s: float,
    way: Way = STRAIGHT,
) -> int:
    """Ask a route like Anthropic's ``count_tokens``.

    Args:
        client: the shared HTTP client.
        url: the route's.
        headers: credentials included.
        body: that of Messages.
        target: the target's name, for messages.
        connect_timeout_s: seconds to wait for a connection.
        timeout_s: what the client waits, seconds; half a minute at most.
        way: out of here.

    Raises ``TargetRejected`` and ``TargetUnavailable``.
    """
    answer = await client.post(
        URL(url),
        headers,
        orjson.dumps({name: body[name] for name in _COUNTED if name in body}),
        target=target,
        connect_timeout_s=connect_timeout_s,
        timeout_s=min(timeout_s, TIMEOUT_S),
        way=way,
    )
    raw = await answer.error_body()
    if answer.status != 200:
        error = read_error(answer.status, raw)
        if answer.status in _CLIENTS_FAULT:
            raise rejection(answer.status, error, {})
        wait_s = retry_after_s(answer.headers)
        failure = failure_of(answer.status, error, wait_s)
        raise unavailable(target, answer.status, error.message, wait_s, failure)
    try:
        found: object = orjson.loads(raw)["input_tokens"]
    except (KeyError, TypeError, ValueError):
        found = None
    if type(found) is not int or found < 0:
        raise TargetUnavailable(f"{target} answered no count of tokens.", failure=Failure.BROKEN)
    return found
