"""What one request has set aside, from its first attempt to its settlement."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from router.budgets.accounts import NANO, Account, Metric
from router.budgets.amounts import Amount, Bounds, to_nano
from router.budgets.leased import LeasedLimit, LeasedLimits, LimitScope
from router.budgets.lessee import Lessee
from router.config.budgets import BudgetsConfig, Window
from router.errors import BudgetExceeded
from router.exchange import Exchange, Rate
from router.request import Option, Request

_ROUNDS = 4
"""How often a request asks for more before it gives way to others that took it."""
_SOON_S = 1.0
"""When requests under way hold what is missing, they give some of it back soon."""
_Need = list[tuple[LeasedLimit, int]]


class Budgets:
    """Sets aside and settles; shared by all requests of one router."""

    def __init__(
        self,
        config: BudgetsConfig,
        bounds: Bounds,
        leased_limits: LeasedLimits,
        lessee: Lessee,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._bounds = bounds
        self._leased_limits = leased_limits
        self._lessee = lessee
        self._clock = clock
        self.refused = 0
        """Requests that a budget did not cover."""
        self.overrun_nano = 0
        """Money that targets used above their own bounds, billionths of a dollar."""

    async def open(self, exchange: Exchange) -> None:
        """Count the request and give it a hold. Raises ``BudgetExceeded`` or ``Overloaded``."""
        if not self._config.limits:
            return
        scope = self._leased_limits.scope(exchange.request)
        try:
            await self.take([(leased, 1) for leased in scope.requests])
        finally:
            self._show(exchange, scope)
        exchange.account.holds(RequestHold(self, exchange, scope, self._bounds))

    def left_usd(self, request: Request) -> float | None:
        """What the caller's budgets have left, as far as this router knows; None: no limit."""
        if not self._config.limits:
            return None
        money = self._leased_limits.scope(request).money
        return min(leased.remaining for leased in money) / NANO if money else None

    async def take(self, need: _Need) -> None:
        """Set all amounts aside, or none. Raises ``BudgetExceeded``."""
        for _ in range(_ROUNDS):
            short = [(leased, amount) for leased, amount in need if leased.left < amount]
            if not short:
                break
            reached = await self._lessee.more(short)
            short = [(leased, amount) for leased, amount in need if leased.left < amount]
            if short and not reached:
                self._refuse_unless_allowed(short)
                break
            if any(leased.free is not None and leased.free <= 0 for leased, _ in short):
                self._refuse(short)
        else:
            if short := [(leased, amount) for leased, amount in need if leased.left < amount]:
                self._refuse(short)
        for leased, amount in need:
            leased.hold(amount)

    def _refuse_unless_allowed(self, short: _Need) -> None:
        allowed = self._config.when_unreachable
        policy = {Metric.REQUESTS: allowed.requests, Metric.TOKENS: allowed.tokens}
        closed = [p for p, _ in short if policy.get(p.account.metric, "refuse") == "refuse"]
        if closed:
            self.refused += 1
            error = BudgetExceeded(
                f"The budget {closed[0].account.budget!r} cannot be checked: the registry does "
                "not answer, and what this router held of it is used up.",
                code="budget_unreachable",
                retry_after_s=_SOON_S,
            )
            error.status, error.type = 503, "server_error"
            raise error

    def _refuse(self, short: _Need) -> None:
        self.refused += 1
        raise _exceeded(*short[0], self._clock())

    def _show(self, exchange: Exchange, scope: LimitScope) -> None:
        """Rate-limit headers: of the budget with the least left."""
        now = self._clock()
        if scope.requests:
            least = min(scope.requests, key=lambda leased: leased.remaining)
            exchange.account.limited(
                Rate(least.account.limit, least.remaining, _resets_in(least.account, now))
            )
        if scope.tokens:
            least = min(scope.tokens, key=lambda leased: leased.remaining)
            exchange.account.tells(
                {
                    "x-ratelimit-limit-tokens": str(least.account.limit),
                    "x-ratelimit-remaining-tokens": str(least.remaining),
                    "x-ratelimit-reset-tokens": f"{_resets_in(least.account, now):.0f}s",
                }
            )

    async def aclose(self) -> None:
        """Give back what is not used up."""
        if self._config.limits:
            await self._lessee.aclose()


class RequestHold:
    """One request's part of its limits."""

    __slots__ = ("_bounds", "_budgets", "_exchange", "_held", "_prompt", "_scope", "_settled")

    def __init__(
        self, budgets: Budgets, exchange: Exchange, scope: LimitScope, bounds: Bounds
    ) -> None:
        self._budgets = budgets
        self._exchange = exchange
        self._scope = scope
        self._bounds = bounds
        self._held = Amount(0, 0)
        self._prompt: int | None = None
        self._settled = False

    async def cover(self, option: Option) -> None:
        """Set the worst case of one more attempt aside. Raises ``BudgetExceeded``."""
        scope = self._scope
        if not scope.tokens and not scope.money:
            return
        if self._prompt is None:
            self._prompt = self._bounds.prompt(self._exchange)
        # Who continues a broken stream is sent what the other wrote as part of the prompt.
        begun = any(attempt.streamed for attempt in self._exchange.delivery.attempts)
        prompt = self._prompt + (self._held.tokens if begun else 0)
        worst = self._bounds.attempt(self._exchange, option, prompt)
        need = [(leased, worst.tokens) for leased in scope.tokens]
        if worst.nano:
            need += [(leased, worst.nano) for leased in scope.money]
        await self._budgets.take(need)
        self._held = Amount(self._held.tokens + worst.tokens, self._held.nano + worst.nano)

    def settle(self, tokens: int, cost_usd: float) -> None:
        """Book what was used in place of what was set aside; idempotent."""
        if self._settled:
            return
        self._settled = True
        nano = to_nano(cost_usd)
        self._budgets.overrun_nano += max(0, nano - self._held.nano)
        _book(self._scope.requests, 1, 1)
        _book(self._scope.tokens, self._held.tokens, tokens)
        _book(self._scope.money, self._held.nano, nano)


def _book(leased_limits: Sequence[LeasedLimit], held: int, used: int) -> None:
    for leased in leased_limits:
        leased.settle(held, used)


def _exceeded(leased: LeasedLimit, amount: int, now: float) -> BudgetExceeded:
    account = leased.account
    need, limit = _said(account, amount), _said(account, account.limit)
    which = f"The budget {account.budget!r} allows {limit} per {account.window.value}"
    if account.window is Window.TOTAL:
        which = f"The budget {account.budget!r} allows {limit} in total"
    if amount > account.limit:
        error = BudgetExceeded(
            f"{which}, and this request may need {need}; ask for fewer tokens (max_tokens)."
        )
    else:
        until, retry_after_s = _when(leased, amount, now)
        error = BudgetExceeded(
            f"{which}, and what is left does not cover this request ({need} at most); {until}.",
            retry_after_s=retry_after_s,
        )
    if account.metric is not Metric.MONEY:
        error.type, error.code = "rate_limit_error", "rate_limit_exceeded"
    if account.window is Window.TOTAL:
        error.type = error.code = "insufficient_quota"
    return error


def _when(leased: LeasedLimit, amount: int, now: float) -> tuple[str, float | None]:
    """In words and seconds, when there may be enough again."""
    account = leased.account
    used = max(leased.used, leased.spent)
    if account.metric is Metric.REQUESTS:  # what is set aside of these never comes back
        used += leased.held
    if used + amount <= account.limit:
        return "requests under way hold the rest, try again in a moment", _SOON_S
    if account.ends is None:
        return "it never starts anew", None
    resets = _resets_in(account, now)
    return f"it starts anew in {resets:.0f} s", resets


def _said(account: Account, amount: int) -> str:
    if account.metric is Metric.MONEY:
        return f"{amount / NANO:.6f}".rstrip("0").rstrip(".") + " US dollars"
    return f"{amount} {account.metric.value}"


def _resets_in(account: Account, now: float) -> float:
    return 0.0 if account.ends is None else max(0.0, account.ends - now)
