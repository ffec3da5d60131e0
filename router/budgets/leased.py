"""This router's part of each limit: what it was granted, what it has used, what is set aside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from router.budgets.accounts import BudgetAccount, Metric, accounts_of
from router.budgets.tally import Tally
from router.config.budgets import BudgetsConfig
from router.errors import Overloaded
from router.request import Request


@dataclass(slots=True, eq=False)
class LeasedLimit:
    """One account, as far as this router may spend it.

    ``spent + held`` stays within ``granted``, unless a target used more than it had promised.
    """

    account: BudgetAccount
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
    reported: tuple[int, int] = (0, 0)
    """What was used and wanted, as the authority last heard it."""
    tally: Tally | None = None
    slot: int = 0
    """Where ``tally`` counts what is used; 0: nowhere."""

    def hold(self, amount: int) -> None:
        """Set an amount aside; from here on it may be charged."""
        self.held += amount
        self._count()

    def settle(self, held: int, used: int) -> None:
        """Book what was used in place of what was set aside."""
        self.held -= held
        self.spent += used
        self._count()

    def _count(self) -> None:
        if self.tally is not None and self.slot:
            self.tally.set(self.slot, self.spent + self.held)

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
class LimitScope:
    """The limits that one caller's requests for one route draw on, until the next window."""

    requests: tuple[LeasedLimit, ...]
    tokens: tuple[LeasedLimit, ...]
    money: tuple[LeasedLimit, ...]
    until: float


class LeasedLimits:
    """All limits of one router; bounded (law 9).

    ``tally``: where what is used outlives this process.
    """

    def __init__(
        self,
        config: BudgetsConfig,
        clock: Callable[[], float] = time.time,
        tally: Tally | None = None,
    ) -> None:
        self._config = config
        self._tally = tally
        self._clock = clock
        self._leased_limits: dict[str, LeasedLimit] = {}
        self._scopes: dict[tuple[str, str, str, str], LimitScope] = {}

    def __len__(self) -> int:
        return len(self._leased_limits)

    def all(self) -> Iterable[LeasedLimit]:
        """Every leased limit."""
        return self._leased_limits.values()

    def scope(self, request: Request) -> LimitScope:
        """The limits for a request. Raises ``Overloaded`` when there are too many accounts."""
        assert request.caller is not None
        key = (request.caller.name, request.caller.tenant, request.route, request.model)
        found = self._scopes.get(key)
        if found is None or found.until <= self._clock():
            if len(self._scopes) >= self._config.max_accounts:
                self._scopes.clear()
            found = self._scopes[key] = self._build(*key)
        return found

    def _build(self, key: str, tenant: str, route: str, model: str) -> LimitScope:
        now = self._clock()
        accounts = list(accounts_of(self._config.limits, key, tenant, route, now, model=model))
        leased_limits = [self._leased(account) for account in accounts]

        def of(metric: Metric) -> tuple[LeasedLimit, ...]:
            return tuple(p for p in leased_limits if p.account.metric is metric)

        until = min((a.ends for a in accounts if a.ends is not None), default=float("inf"))
        return LimitScope(of(Metric.REQUESTS), of(Metric.TOKENS), of(Metric.MONEY), until)

    def _leased(self, account: BudgetAccount) -> LeasedLimit:
        found = self._leased_limits.get(account.id)
        if found is None:
            if len(self._leased_limits) >= self._config.max_accounts:
                raise Overloaded(
                    f"{len(self._leased_limits)} budgets are counted at once, which is the limit "
                    "(router.budgets.max_accounts).",
                    retry_after_s=60.0,
                )
            slot = self._tally.open(account) if self._tally is not None else 0
            found = LeasedLimit(account, tally=self._tally, slot=slot)
            self._leased_limits[account.id] = found
        return found

    def over(self) -> Sequence[LeasedLimit]:
        """LeasedLimits whose window is over and that no request draws on any more."""
        now = self._clock()
        return [
            p
            for p in self._leased_limits.values()
            if p.account.ends is not None and p.account.ends <= now and not p.held and not p.asked
        ]

    def drop(self, leased_limits: Iterable[LeasedLimit]) -> None:
        """Forget limits."""
        for leased in leased_limits:
            self._leased_limits.pop(leased.account.id, None)
            if leased.tally is not None and leased.slot:
                leased.tally.close_account(leased.slot)
                leased.slot = 0
