"""Who answered a session last: its cache holds most of the next prompt."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from router.config.routing import SessionConfig
from router.exchange import Exchange


@dataclass(frozen=True, slots=True)
class SessionTarget:
    """Where a session was answered."""

    target: str
    input_tokens: int
    """Length of its newest prompt: about what the target has cached of the next one."""
    until: float


class Sessions:
    """The sessions of one router, the least recently used forgotten first (law 9)."""

    def __init__(self, config: SessionConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._last: OrderedDict[tuple[str, str], SessionTarget] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last)

    def of(self, exchange: Exchange) -> SessionTarget | None:
        """Where the exchange's session was answered last; None without one, or after its time."""
        session = exchange.request.hints.session
        if session is None:
            return None
        key = (exchange.request.tenant, session)
        last = self._last.get(key)
        if last is None:
            return None
        if last.until <= self._clock():
            del self._last[key]
            return None
        return last

    def observe(self, exchange: Exchange) -> None:
        """Remember who answered."""
        session, chosen = exchange.request.hints.session, exchange.chosen
        if session is None or chosen is None or exchange.account.status != 200:
            return
        key = (exchange.request.tenant, session)
        self._last.pop(key, None)
        tokens = exchange.account.usage.input_tokens or exchange.request.needs.input_tokens
        self._last[key] = SessionTarget(chosen.target, tokens, self._clock() + self._config.ttl_s)
        if len(self._last) > self._config.kept:
            self._last.popitem(last=False)
