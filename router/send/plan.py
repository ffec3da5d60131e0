"""Whom one request may still ask, in which order, and when: the retries and fallbacks."""

from __future__ import annotations

from collections.abc import Iterator

from router.config.delivery import RetryConfig
from router.errors import BudgetExceeded, Failure, RouterError, TargetRejected
from router.exchange import Exchange
from router.request import Option
from router.send.attempt import Calls
from router.send.backoff import pause_s
from router.send.health import Upstream
from router.send.remedy import Step, sort

_FOR_GOOD = frozenset({Failure.CREDENTIALS, Failure.MISSING})


class RetryPlan:
    """The way of one request through its permitted options.

    In this order: who was not asked yet and lets calls in, as the choice ranked them; the same
    target once more, where its failure was of the kind that passes; one whose breaker is open, when
    nobody else is left (a breaker turns traffic away, it does not refuse it); whoever asked for
    patience, when that ends in time; and those that failed, once more. Only allowed options that
    nobody gave up on are ever considered (law 5).
    """

    def __init__(self, exchange: Exchange, calls: Calls, config: RetryConfig) -> None:
        self._exchange = exchange
        self._calls = calls
        self._config = config
        self._too_dear: set[str] = set()
        self._noted: set[tuple[str, str | None]] = set()
        self._tries: dict[tuple[str, str | None], int] = {}
        self._again: tuple[Upstream, float] | None = None
        self._later: list[tuple[float, Upstream]] = []
        self._forced = False
        self._window = 0
        self.failure: RouterError | None = None
        """What to tell the client when nobody answers."""
        self.patience_s: float | None = None
        """Seconds until the first of those who asked for patience may be asked; None: nobody."""

    def options(self) -> Iterator[Option]:
        """The options that may still be asked, best first."""
        exchange = self._exchange
        for option in exchange.decision.options:
            if not option.allowed or option.target in exchange.delivery.given_up:
                continue
            if option.target in self._too_dear:
                continue
            if self._window:
                window = self._calls.window(exchange, option)
                if window is not None and window <= self._window:
                    continue
            yield option

    def next(self, now: float) -> tuple[Upstream, float] | None:
        """Who is asked next, and after how many seconds; None: nobody is left."""
        again, self._again = self._again, None
        if again is not None:
            return again
        passed_over: list[Upstream] = []
        for upstream in self.fresh(now):
            if upstream.lets_in(now):
                self._note(passed_over, now)
                return upstream, 0.0
            passed_over.append(upstream)
        self._note(passed_over, now)
        return self._for_want_of_better(passed_over, now)

    def fresh(self, now: float) -> Iterator[Upstream]:
        """Candidates that this request has not asked, best first."""
        for option in self.options():
            for upstream in self._calls.upstreams(option, now):
                if upstream.key not in self._tries:
                    yield upstream

    def too_dear(self, option: Option, error: BudgetExceeded) -> None:
        """The budget does not cover this target; a cheaper one may still be within it."""
        self._too_dear.add(option.target)
        self.failure = self.failure or error

    def asked(self, upstream: Upstream) -> None:
        """A call goes out."""
        tries = self._tries.get(upstream.key, 0)
        self._tries[upstream.key] = tries + 1
        if not tries:
            upstream.health.retries.deposit()

    def learn(self, upstream: Upstream, error: RouterError, now: float) -> None:
        """Decide what a failure means for the rest of the way. Raises it when it is final."""
        step = sort(error).step
        if step is Step.STOP:
            raise error
        self._remember(error)
        failure = getattr(error, "failure", None)
        if step is Step.LARGER:
            window = self._calls.window(self._exchange, upstream.option)
            self._window = max(self._window, window or 0)
            self._exchange.delivery.give_up([upstream.option.target])
        elif failure in _FOR_GOOD and upstream.replica is None:
            self._exchange.delivery.give_up([upstream.option.target])
        elif step in {Step.AGAIN, Step.LATER}:
            self._plan_retry(upstream, error, step, now)

    def _plan_retry(self, upstream: Upstream, error: RouterError, step: Step, now: float) -> None:
        tries = self._tries.get(upstream.key, 0)
        retry_after_s = error.retry_after_s
        if tries > self._config.same_target and retry_after_s is None:
            return
        config = self._config
        longest_s, rng = config.backoff_max_s, self._calls.book.rng
        pause = pause_s(tries, retry_after_s, config.backoff_s, longest_s, rng)
        if step is Step.AGAIN and self._is_worth_waiting(upstream, error, now):
            if upstream.health.retries.withdraw(now):
                self._again = upstream, pause
            return
        self._later.append((now + pause, upstream))

    def _is_worth_waiting(self, upstream: Upstream, error: RouterError, now: float) -> bool:
        """Whether the same upstream is asked again before anybody else is."""
        retry_after_s = error.retry_after_s
        if getattr(error, "failure", None) is Failure.LIMITED:
            patient = self._tries.get(upstream.key, 0) <= self._config.same_target
            return patient and retry_after_s is not None and retry_after_s <= self._config.wait_s
        if retry_after_s is not None and retry_after_s > self._config.wait_s:
            return False
        if upstream.replica is not None and any(
            other.option.target == upstream.option.target for other in self.fresh(now)
        ):
            return False  # another replica has the same model, and no pause is needed
        return upstream.lets_in(now)

    def _for_want_of_better(
        self, passed_over: list[Upstream], now: float
    ) -> tuple[Upstream, float] | None:
        """Open breakers, then whoever asked for patience, then those that failed already."""
        broken = [c for c in passed_over if not c.paused_for(now)]
        if broken and not self._forced:
            self._forced = True
            return min(broken, key=lambda upstream: upstream.opens_in(now)), 0.0
        waiting = [(now + c.paused_for(now), c) for c in passed_over if c.paused_for(now)]
        self.patience_s = min((at - now for at, _ in waiting), default=None)
        due = sorted([*waiting, *self._later], key=lambda entry: entry[0])
        for at, upstream in due:
            self._later = [entry for entry in self._later if entry[1] is not upstream]
            if upstream.option.target in self._exchange.delivery.given_up | self._too_dear:
                continue
            if upstream.health.retries.withdraw(now):
                return upstream, max(0.0, at - now, upstream.paused_for(now))
        return None

    def _remember(self, error: RouterError) -> None:
        # That the prompt is too long is what the client can do something about.
        if not isinstance(self.failure, TargetRejected):
            self.failure = error

    def _note(self, passed_over: list[Upstream], now: float) -> None:
        for upstream in passed_over:
            if upstream.key in self._noted:
                continue
            self._noted.add(upstream.key)
            note = {"skipped": upstream.option.target, "why": upstream.why_not(now)}
            if upstream.replica is not None:
                note["replica"] = upstream.replica.id
            self._exchange.delivery.note(**note)
