"""This router's part of each limit: what it was granted, what it has used, what is set aside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from router.budgets.accounts import Account, Metric, accounts_of
from router.config.budgets import BudgetsConfig
from router.errors import Overloaded
from router.request import Exchange

_PIN = "@"


@dataclass(slots=True, eq=False)
class Purse:
    """One account, as far as this router may spend it.

    ``spent + held`` stays within ``granted``, unless a target used more than it had promised.
    """

    account: Account
    granted: int = 0
    spent: int = 0
    held: int = 0
    asked: int = 0
    """What requests that wait for a grant are short of."""
    free: int | None = None
    """What nobody held when the authority last answered; None before it did."""
    used: int = 0
    """What all routers had used up for good when the authority last answered."""
    used_before: int = 0
    """``spent + held`` at the last look ahead."""
    pace: float = 0.0
    """What is used between two looks ahead; falls slowly after a rush."""
    told: tuple[int, int] = (0, 0)
    """What was used and wanted, as the authority last heard it."""

    @property
    def left(self) -> int:
        """What can be set aside without asking."""
        return self.granted - self.spent - self.held

    @property
    def remaining(self) -> int:
        """What is left of the limit, as far as this router knows; for headers."""
        free = self.account.limit - self.granted if self.free is None else self.free
        return max(0, free + self.left)


@dataclass(frozen=True, slots=True)
class Scope:
    """The purses that one caller's requests for one route draw on, until the next window."""

    requests: tuple[Purse, ...]
    tokens: tuple[Purse, ...]
    money: tuple[Purse, ...]
    until: float


class Purses:
    """All purses of one router; bounded (law 9)."""

    def __init__(self, config: BudgetsConfig, clock: Callable[[], float] = time.time) -> None:
        self._config = config
        self._clock = clock
        self._purses: dict[str, Purse] = {}
        self._scopes: dict[tuple[str, str, str], Scope] = {}

    def __len__(self) -> int:
        return len(self._purses)

    def all(self) -> Iterable[Purse]:
        """Every purse."""
        return self._purses.values()

    def scope(self, exchange: Exchange) -> Scope:
        """The purses for a request. Raises ``Overloaded`` when there are too many accounts."""
        assert exchange.caller is not None
        route = exchange.model.partition(_PIN)[0]
        key = (exchange.caller.name, exchange.caller.tenant, route)
        found = self._scopes.get(key)
        if found is None or found.until <= self._clock():
            if len(self._scopes) >= self._config.max_accounts:
                self._scopes.clear()
            found = self._scopes[key] = self._build(*key)
        return found

    def _build(self, key: str, tenant: str, route: str) -> Scope:
        now = self._clock()
        accounts = list(accounts_of(self._config.limits, key, tenant, route, now))
        purses = [self._purse(account) for account in accounts]

        def of(metric: Metric) -> tuple[Purse, ...]:
            return tuple(p for p in purses if p.account.metric is metric)

        until = min((a.ends for a in accounts if a.ends is not None), default=float("inf"))
        return Scope(of(Metric.REQUESTS), of(Metric.TOKENS), of(Metric.MONEY), until)

    def _purse(self, account: Account) -> Purse:
        found = self._purses.get(account.id)
        if found is None:
            if len(self._purses) >= self._config.max_accounts:
                raise Overloaded(
                    f"{len(self._purses)} budgets are counted at once, which is the limit "
                    "(router.budgets.max_accounts).",
                    retry_after_s=60.0,
                )
            found = self._purses[account.id] = Purse(account)
        return found

    def over(self) -> Sequence[Purse]:
        """Purses whose window is over and that no request draws on any more."""
        now = self._clock()
        return [
            p
            for p in self._purses.values()
            if p.account.ends is not None and p.account.ends <= now and not p.held and not p.asked
        ]

    def drop(self, purses: Iterable[Purse]) -> None:
        """Forget purses."""
        for purse in purses:
            self._purses.pop(purse.account.id, None)
