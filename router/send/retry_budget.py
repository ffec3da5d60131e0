"""A retry budget: a broken target gets a little more than its share of calls, never a multiple."""

from __future__ import annotations

from router.config.delivery import RetryConfig


class RetryBudget:
    """A token bucket per target: each request saves up a part of a retry, time saves up a few more.

    Args:
        config: ratio, rate and burst.
        now: seconds on the clock that the other methods are called with.
    """

    __slots__ = ("_at", "_burst", "_per_s", "_ratio", "tokens")

    def __init__(self, config: RetryConfig, now: float) -> None:
        self._ratio = config.budget_ratio
        self._per_s = config.budget_per_s
        self._burst = config.budget_burst
        self._at = now
        self.tokens = config.budget_burst

    def deposit(self) -> None:
        """A request went to the target in its own right."""
        tokens = self.tokens + self._ratio
        self.tokens = min(self._burst, tokens)

    def withdraw(self, now: float) -> bool:
        """Whether one more retry or hedge may go to the target; if so, it is taken off."""
        saved = (now - self._at) * self._per_s
        self._at = now
        self.tokens = min(self._burst, self.tokens + saved)
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True
