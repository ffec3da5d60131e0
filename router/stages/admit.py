"""Who asks, and is there room: authentication, rate and concurrency limits."""

from __future__ import annotations

import time
from dataclasses import dataclass

from router.config import LimitsConfig, Scope
from router.errors import Overloaded, RateLimited
from router.keys import Keyring
from router.request import Caller, Exchange

_WINDOW_S = 60.0
_MAX_TENANTS = 10_000


@dataclass(slots=True)
class _Window:
    ends: float
    used: int = 0


class Admission:
    """Admits or refuses; bounded in tenants and in requests under way (law 9)."""

    def __init__(self, keyring: Keyring, limits: LimitsConfig) -> None:
        self._keyring = keyring
        self._limits = limits
        self._windows: dict[str, _Window] = {}
        self.under_way = 0

    def admit(self, exchange: Exchange) -> None:
        """Identify the caller and count the request. Raises what refuses it."""
        headers = exchange.headers
        caller = self._keyring.identify(headers.get("authorization"), headers.get("x-api-key"))
        self._keyring.authorize(caller, Scope.INFERENCE)
        exchange.caller = caller
        exchange.rate = self._count(caller)
        if self.under_way >= self._limits.max_concurrent_requests:
            raise Overloaded(
                f"{self.under_way} requests are under way, which is this router's limit.",
                retry_after_s=1.0,
            )

    def _count(self, caller: Caller) -> tuple[int, int, float]:
        limit, now = self._limits.requests_per_minute, time.monotonic()
        window = self._windows.get(caller.tenant)
        if window is None or window.ends <= now:
            if len(self._windows) >= _MAX_TENANTS:
                self._windows = {t: w for t, w in self._windows.items() if w.ends > now}
            window = self._windows[caller.tenant] = _Window(ends=now + _WINDOW_S)
        left_s = window.ends - now
        if window.used >= limit:
            raise RateLimited(
                f"{limit} requests a minute are used up; try again in {left_s:.0f} s.",
                retry_after_s=left_s,
            )
        window.used += 1
        return limit, limit - window.used, left_s
