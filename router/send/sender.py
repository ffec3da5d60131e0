"""Send to the best target that can answer; when it cannot, to the next (law 3, law 5)."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from router.config.delivery import DeliveryConfig
from router.config.limits import LimitsConfig
from router.errors import BudgetExceeded, RouterError, TargetTimeout, TargetUnavailable
from router.exchange import Exchange
from router.replicas.table import TableHolder
from router.send.answer import Delivered
from router.send.attempt import Calls, Started
from router.send.health import HealthBook, Upstream
from router.send.hedge import Hedger
from router.send.plan import RetryPlan
from router.send.rescue import Rescuer
from router.targets.directory import Catalog

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
        plan = RetryPlan(exchange, self._calls, self._config.retry)
        while True:
            left_s = self._left_s(exchange)
            if left_s <= 0 or len(exchange.delivery.attempts) >= self._config.retry.max_attempts:
                raise plan.failure or TargetTimeout("no time left to answer")
            found = plan.next(time.monotonic())
            if found is None or found[1] >= left_s:
                raise plan.failure or _nobody(exchange, plan)
            upstream, pause_s = found
            if pause_s:
                with exchange.waiting():
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
    return TargetUnavailable(
        f"nothing that may answer {exchange.request.model!r} is up; GET /readyz tells more",
        status=503,
        retry_after_s=_RETRY_S if plan.patience_s is None else plan.patience_s,
    )
