"""A second call when the first is slower than usual: the first good answer wins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from router.config.delivery import DeliveryConfig
from router.errors import BudgetExceeded, RouterError
from router.exchange import Exchange
from router.send.attempt import Calls, Started
from router.send.health import Upstream
from router.send.plan import RetryPlan

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
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=list(tasks).index):
                error = task.exception()
                if error is None:
                    return task.result()
                if not isinstance(error, RouterError):
                    raise error
                plan.learn(tasks[task], error, time.monotonic())
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
