"""Who asks, and is there room: authentication, rate and concurrency limits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from router.admit.keys import Keyring
from router.config.auth import KeyScope
from router.config.limits import LimitsConfig
from router.config.priority import Priority, PriorityConfig
from router.errors import InvalidRequest, Overloaded, RateLimited
from router.exchange import Exchange, Rate
from router.request import Caller, Request, changed

PRIORITY_HEADER = "x-graftwork-priority"
_WINDOW_S = 60.0
_MAX_TENANTS = 10_000


@dataclass(slots=True)
class _Window:
    ends: float
    used: int = 0


class Admission:
    """Admits or refuses; bounded in tenants and in requests under way (law 9)."""

    def __init__(
        self,
        keyring: Keyring,
        limits: LimitsConfig,
        priorities: PriorityConfig | None = None,
    ) -> None:
        self._keyring = keyring
        room = (priorities or PriorityConfig()).room
        self._room = {each: limits.max_concurrent_requests * room[each] for each in Priority}
        self._limits = limits
        self._windows: dict[str, _Window] = {}
        self.under_way = 0

    def admit(self, exchange: Exchange) -> None:
        """Identify the caller and count the request. Raises what refuses it.

        Whoever asks from within the system is known already.
        """
        headers = exchange.request.headers
        caller = exchange.request.caller or self._keyring.identify(
            headers.get("authorization"), headers.get("x-api-key")
        )
        self._keyring.authorize(caller, KeyScope.INFERENCE)
        exchange.request = changed(exchange.request, caller=caller, priority=caller.priority)
        wanted = headers.get(PRIORITY_HEADER)
        if wanted is not None:
            exchange.request = changed(exchange.request, priority=_priority(wanted, caller))
        window = self._window(caller)
        try:
            self._take(window)
        finally:  # whoever is refused is told the limit, too
            exchange.account.limited(self._rate(window))
        self._require_room(exchange.request.priority)

    @contextmanager
    def place(self, request: Request) -> Iterator[None]:
        """Inside, it is one of the requests under way. Raises ``Overloaded`` when there is no room:
        more may have been admitted than have one, while their bodies were on their way.
        """
        self._require_room(request.priority)
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    def _require_room(self, priority: Priority) -> None:
        if self.under_way >= self._room[priority]:
            raise Overloaded(
                f"{self.under_way} requests are under way, which is this router's limit for "
                f"the class {priority.value!r}.",
                retry_after_s=1.0,
            )

    @property
    def tenants(self) -> int:
        """Tenants whose requests of this minute are counted."""
        return len(self._windows)

    def count(self, caller: Caller) -> None:
        """Count a call that asks no target. Raises ``RateLimited``."""
        self._take(self._window(caller))

    def _window(self, caller: Caller) -> _Window:
        """The minute in which requests of the caller's tenant are counted."""
        now = time.monotonic()
        window = self._windows.get(caller.tenant)
        if window is None or window.ends <= now:
            # In the order in which they end: a tenant comes with a token, there may be any number.
            self._windows.pop(caller.tenant, None)
            while len(self._windows) >= _MAX_TENANTS:
                del self._windows[next(iter(self._windows))]
            window = self._windows[caller.tenant] = _Window(ends=now + _WINDOW_S)
        return window

    def _take(self, window: _Window) -> None:
        rate = self._rate(window)
        if rate.remaining <= 0:
            raise RateLimited(
                f"{rate.limit} requests a minute are used up; try again in {rate.resets_s:.0f} s.",
                retry_after_s=rate.resets_s,
            )
        window.used += 1

    def _rate(self, window: _Window) -> Rate:
        limit = self._limits.requests_per_minute
        return Rate(limit, limit - window.used, max(window.ends - time.monotonic(), 0.0))


def _priority(wanted: str, caller: Caller) -> Priority:
    """The class that was asked for, but none above the key's own."""
    try:
        found = Priority(wanted.lower())
    except ValueError as error:
        known = ", ".join(Priority)
        raise InvalidRequest(
            f"{PRIORITY_HEADER} must be one of {known}, not {wanted!r}.", param=PRIORITY_HEADER
        ) from error
    return max(found, caller.priority, key=lambda each: each.rank)
