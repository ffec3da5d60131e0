"""After the last byte: what it cost, how long it took, and the record of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from router.account.metrics import RouterMetrics
from router.account.traffic import Traffic
from router.account.usage import UsageMeter
from router.audit.frame import to_json
from router.budgets.amounts import fill_in
from router.request import Exchange
from router.targets.directory import Catalog


class Keeps(Protocol):
    """Where decision records go. Must not wait."""

    def add(self, record: bytes) -> None:
        """Take one record, a JSON object."""
        ...


class Settlement:
    """Books an exchange once, whatever its end."""

    def __init__(
        self,
        catalog: Catalog,
        ledger: Keeps,
        metrics: RouterMetrics,
        traffic: Traffic,
        log: Callable[[bytes], None],
        usage: UsageMeter,
    ) -> None:
        self._usage = usage
        self._traffic = traffic
        self._catalog = catalog
        self._ledger = ledger
        self._metrics = metrics
        self._log = log

    def price(self, exchange: Exchange) -> None:
        """Set the cost of every attempt, and so of the exchange, from the usage known now."""
        for attempt in exchange.attempts:
            attempt.billed = fill_in(exchange, attempt)
            attempt.cost_usd = self._catalog.cost_usd(attempt.option, attempt.billed)
        exchange.cost_usd = sum(attempt.cost_usd for attempt in exchange.attempts)

    def settle(self, exchange: Exchange) -> None:
        """Price, measure, keep and log."""
        self.price(exchange)
        if exchange.hold is not None:
            exchange.hold.settle(_tokens(exchange), exchange.cost_usd)
        exchange.seconds = time.perf_counter() - exchange.started
        record = to_json(exchange.record())
        self._ledger.add(record)
        self._metrics.observe(exchange)
        self._traffic.observe(exchange)
        self._usage.book(exchange)
        self._log(record)


def _tokens(exchange: Exchange) -> int:
    """Prompt and answer tokens of all attempts."""
    billed = (attempt.billed for attempt in exchange.attempts)
    return sum((each.input_tokens or 0) + (each.output_tokens or 0) for each in billed)
