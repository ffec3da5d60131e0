"""Send to the best target that can answer; when it cannot, to the next (law 3, law 5).

Whom one request may still ask, in which order, and when: retries and fallbacks with their pauses,
and a second call when the first is slower than usual.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from functools import partial

from router.config.delivery import DeliveryConfig, RetryConfig
from router.config.limits import LimitsConfig
from router.errors import (
    BudgetExceeded,
    Failure,
    GuardUnavailable,
    RouterError,
    TargetRejected,
    TargetTimeout,
    TargetUnavailable,
)
from router.exchange import Exchange
from router.replicas.table import TableHolder
from router.request import Option
from router.send.answer import Delivered, Rescuer
from router.send.attempt import Calls, Started
from router.send.health import HealthBook, Upstream
from router.send.remedy import Step, sort
from router.targets.directory import Catalog

_SPREAD = 0.1


def pause_s(
    number: int, retry_after_s: float | None, base_s: float, max_s: float, rng: random.Random
) -> float:
    """Seconds to wait before attempt ``number`` (1 is the first retry).

    Without a word from the target: uniform between 0 and ``base * 2^(number-1)``, bounded ("full
    jitter", Brooker, AWS Architecture Blog, 2015). With ``Retry-After``: so long, plus at most a
    tenth, so that callers that were turned away together do not come back together.
    """
    if retry_after_s is not None:
        return retry_after_s * (1 + _SPREAD * rng.random())
    return rng.random() * min(max_s, base_s * 2.0 ** (number - 1))


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


_Tasks = dict[asyncio.Task[Started], Upstream]


class Hedger:
    """Hedges the calls of one sender, before anything of an answer was passed on.

    Args:
        calls: makes the calls.
        config: for whom, after how long.
        left_s: seconds that a request has left.
    """

    def __init__(
        self, calls: Calls, config: DeliveryConfig, left_s: Callable[[Exchange], float]
    ) -> None:
        self._calls = calls
        self._config = config
        self._left_s = left_s

    def delay_s(self, exchange: Exchange, upstream: Upstream) -> float | None:
        """After how many seconds a second call goes out; None: not at all."""
        config = self._config.hedge
        if not config.enabled or (config.models and exchange.request.model not in config.models):
            return None
        health = upstream.health
        times = health.streams if exchange.request.stream else health.wholes
        usual = times.percentile(config.percentile, config.min_samples)
        return None if usual is None else max(usual, config.min_delay_s)

    async def race(
        self, exchange: Exchange, plan: RetryPlan, first: Upstream, delay_s: float
    ) -> Started | None:
        """The first answer that begins; None when both failed, which the plan has learned.

        Raises:
            RouterError: a failure that is final.
        """
        tasks: _Tasks = {self._start(exchange, first): first}
        winner: Started | None = None
        try:
            await asyncio.wait(tasks, timeout=delay_s)
            if not any(task.done() for task in tasks):
                second = await self._second(exchange, plan, first)
                if second is not None:
                    tasks[self._start(exchange, second)] = second
            winner = await self._first_good(plan, tasks)
            return winner
        finally:
            await _end(tasks, winner)
            if winner is not None:
                exchange.delivery.answered_by(winner.attempt)

    def _start(self, exchange: Exchange, upstream: Upstream) -> asyncio.Task[Started]:
        return asyncio.create_task(self._calls.start(exchange, upstream, self._left_s(exchange)))

    async def _second(
        self, exchange: Exchange, plan: RetryPlan, first: Upstream
    ) -> Upstream | None:
        """Another permitted upstream that is well and whose budget has room for a hedge."""
        if len(exchange.delivery.attempts) >= self._config.retry.max_attempts:
            return None
        now = time.monotonic()
        for upstream in plan.fresh(now):
            if upstream.key == first.key or not upstream.lets_in(now):
                continue
            try:
                await exchange.cover(upstream.option)
            except BudgetExceeded:
                continue
            if not upstream.health.retries.withdraw(now):
                continue
            plan.asked(upstream)
            exchange.delivery.note(hedged=first.option.target, by=upstream.option.target)
            return upstream
        return None

    async def _first_good(self, plan: RetryPlan, tasks: _Tasks) -> Started | None:
        pending = set(tasks)
        refused: GuardUnavailable | None = None
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=list(tasks).index):
                error = task.exception()
                if error is None:
                    return task.result()
                if not isinstance(error, RouterError):
                    raise error
                if isinstance(error, GuardUnavailable) and pending:
                    refused = error  # nobody was asked; the call that is under way may go on
                    continue
                plan.learn(tasks[task], error, time.monotonic())
        if refused is not None:
            raise refused
        return None


async def _end(tasks: _Tasks, winner: Started | None) -> None:
    """Cancel who did not win; close an answer that began at the same moment."""
    for task in tasks:
        task.cancel()
    cancelled: asyncio.CancelledError | None = None
    pending = set(tasks)
    while pending:  # each of them closes what it opened, and is not left alone with it
        try:
            _, pending = await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            cancelled = error
            pending = {task for task in pending if not task.done()}
    for task in tasks:
        if not task.cancelled() and task.exception() is None and task.result() is not winner:
            await task.result().aclose()
    if cancelled is not None:
        raise cancelled


_MOMENT_S = 0.01
"""Less time than that is none: nobody answers in it."""
_RETRY_S = 1.0
"""What is loaded now may be there then."""


class Sender:
    """Tries the permitted options until one begins to answer."""

    def __init__(
        self,
        catalog: Catalog,
        holder: TableHolder,
        limits: LimitsConfig,
        config: DeliveryConfig,
        book: HealthBook | None = None,
    ) -> None:
        self._limits = limits
        self._config = config
        self.book = book or HealthBook(config)
        self._calls = Calls(catalog, holder, config, self.book)
        self._hedger = Hedger(self._calls, config, self._left_s)
        self._rescuer = Rescuer(self._calls, config, self._left_s)

    async def send(self, exchange: Exchange) -> Delivered:
        """The first answer that has begun. Raises the failure that the client should hear of."""
        config = self._config.retry
        plan, patience_s = RetryPlan(exchange, self._calls, config), config.patience_s
        while True:
            left_s = self._left_s(exchange)
            if left_s <= 0 or len(exchange.delivery.attempts) >= config.max_attempts:
                raise self._late(exchange, plan.failure, left_s)
            found = plan.next(time.monotonic())
            if found is None or found[1] >= left_s or found[1] > patience_s:
                raise plan.failure or _nobody(exchange, plan)
            upstream, pause_s = found
            if pause_s:
                patience_s -= pause_s
                with exchange.account.stages.waiting():
                    await asyncio.sleep(pause_s)
                left_s = self._left_s(exchange)
            try:
                await exchange.cover(upstream.option)
            except BudgetExceeded as error:
                plan.too_dear(upstream.option, error)
                continue
            started = await self._try(exchange, plan, upstream, left_s)
            if started is not None:
                return Delivered(exchange, started, self._rescuer)

    async def _try(
        self, exchange: Exchange, plan: RetryPlan, upstream: Upstream, left_s: float
    ) -> Started | None:
        """One upstream, and who hedges it; None: it failed, and the retry plan knows why."""
        plan.asked(upstream)
        exchange.delivery.choose(upstream.option)
        delay_s = self._hedger.delay_s(exchange, upstream)
        if delay_s is not None:
            return await self._hedger.race(exchange, plan, upstream, delay_s)
        try:
            return await self._calls.start(
                exchange, upstream, left_s, others=partial(self._others, exchange, plan)
            )
        except RouterError as error:
            plan.learn(upstream, error, time.monotonic())
            return None

    def _late(self, exchange: Exchange, failure: RouterError | None, left_s: float) -> RouterError:
        """What the client hears when it cannot be tried any longer.

        That the last of those who were asked had only the rest of the time is no reason.
        """
        if failure is not None and (left_s > _MOMENT_S or not isinstance(failure, TargetTimeout)):
            return failure
        asked = ", ".join(dict.fromkeys(e.option.target for e in exchange.delivery.attempts))
        limit_s, wanted = self._limits.request_timeout_s, exchange.request.hints.timeout_s
        if wanted is not None and wanted <= limit_s:
            limit_s, whose = wanted, "the request's own limit (x-graftwork-timeout-ms)"
        else:
            whose = "the router's limit (limits.request_timeout_s)"
        who = f" Asked: {asked}." if asked else ""
        return TargetTimeout(f"No answer within {limit_s:g} s, {whose}.{who}")

    def _others(self, exchange: Exchange, plan: RetryPlan) -> bool:
        """Whether somebody else could still be asked after the call that is about to go out."""
        if len(exchange.delivery.attempts) >= self._config.retry.max_attempts:
            return False
        return next(plan.fresh(time.monotonic()), None) is not None

    def _left_s(self, exchange: Exchange) -> float:
        limit = self._limits.request_timeout_s
        return (
            min(limit, exchange.request.hints.timeout_s or limit)
            + exchange.request.started
            - time.perf_counter()
        )


def _nobody(exchange: Exchange, plan: RetryPlan) -> RouterError:
    who = f"nothing that may answer {exchange.request.model!r}"
    return TargetUnavailable(
        f"{who} is up; GET /readyz tells more"
        if plan.patience_s is None
        else f"{who} takes requests now: it asked for patience; try again after Retry-After",
        status=503,
        retry_after_s=_RETRY_S if plan.patience_s is None else plan.patience_s,
    )
