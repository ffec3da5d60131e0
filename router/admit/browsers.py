"""Browsers: without keys no page from elsewhere drives this process; with keys, whose pages may."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache

from router.errors import Forbidden
from router.wire.asgi import Message, Scope, Send

_METHODS = "GET, POST, PUT, DELETE, OPTIONS"
_MAX_AGE_S = "600"
_EXPOSED = (
    "x-request-id, retry-after, server-timing, "
    "x-graftwork-decision-id, x-graftwork-target, x-graftwork-intent, x-graftwork-confidence, "
    "x-graftwork-attempts, x-graftwork-cost-usd, x-graftwork-overhead-ms, x-graftwork-policy, "
    "x-graftwork-redacted, x-graftwork-context, x-graftwork-safety, x-graftwork-warning"
)
# Strict, because lenient parsers read `http://[::1]evil.example` as `::1`.
_NAME = rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?"
_HOST = re.compile(_NAME)
_ORIGIN = re.compile(rb"https?://" + _NAME)
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Browsers:
    """What a page may do, by its ``Origin``.

    Args:
        allowed: origins beside this server's own whose pages may read answers.
        is_open: whether there are no keys (law 11).
    """

    def __init__(self, allowed: Iterable[str], is_open: Callable[[], bool]) -> None:
        self._allowed = frozenset(origin.rstrip("/").lower() for origin in allowed)
        self._is_open = is_open

    def check(self, scope: Scope) -> None:
        """Without keys, raises ``Forbidden`` for whatever does not come from this machine."""
        if not self._is_open():
            return
        client = scope.get("client")
        if client is not None and not is_loopback(client[0]):
            raise _foreign()
        for name, value in scope["headers"]:
            if name == b"host":
                fits = is_loopback(_host_of(_HOST, value))
            elif name == b"origin":
                # Not a file's page (`file://`), and none that hides where it is from (`null`).
                fits = is_loopback(_host_of(_ORIGIN, value))
            elif name == b"sec-fetch-site":
                fits = value != b"cross-site" or scope["method"] in _SAFE_METHODS
            else:
                continue
            if not fits:
                raise _foreign()

    def preflight(self, scope: Scope, origin: str) -> list[tuple[str, str]]:
        """Headers that answer a page's question; raises ``Forbidden`` where it may not call."""
        if not self._may(scope, origin):
            raise Forbidden("Pages of this origin may not call.", code="origin_not_allowed")
        asked = next(
            (v for n, v in scope["headers"] if n == b"access-control-request-headers"), b"*"
        )
        return [
            ("access-control-allow-methods", _METHODS),
            ("access-control-allow-headers", asked.decode("latin-1")),
            ("access-control-max-age", _MAX_AGE_S),
        ]

    def marked(self, scope: Scope, origin: str, send: Send) -> Send:
        """The same ``send``; a page that may call can then read the answer."""
        if not self._may(scope, origin):
            return send
        more = [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-expose-headers", _EXPOSED.encode()),
            (b"vary", b"origin"),
        ]

        async def marking(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        return marking

    def _may(self, scope: Scope, origin: str) -> bool:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        own = f"{scope.get('scheme', 'http')}://{host.decode('latin-1')}"
        return _among(origin, {*self._allowed, own.lower()})


@lru_cache(maxsize=1024)  # asked twice of every request; parsing an address takes longer
def is_loopback(host: str | None) -> bool:
    """Whether a host's name or address means this machine alone."""
    if host is None or host == "localhost":
        return host is not None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _host_of(pattern: re.Pattern[bytes], value: bytes) -> str | None:
    found = pattern.fullmatch(value)
    return None if found is None else found[1].strip(b"[]").decode().lower()


def _among(origin: str, allowed: Collection[str]) -> bool:
    return origin.isascii() and origin.isprintable() and origin.lower() in allowed


def _foreign() -> Forbidden:
    return Forbidden(
        "Without API keys only this machine is served, and no page from elsewhere; configure keys.",
        code="host_not_allowed",
    )
