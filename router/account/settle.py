"""After the last byte: what it cost, how long it took, and the record of it."""

from __future__ import annotations

import logging
import time

from router.account.metrics import RouterMetrics
from router.account.usage import Traffic, UsageMeter
from router.audit.requests import RequestRecords
from router.budgets.holds import fill_in
from router.choose.learning import Learning
from router.exchange import Exchange
from router.targets.directory import Catalog

_log = logging.getLogger("graftwork.router")


class Settlement:
    """Books an exchange once, whatever its end."""

    def __init__(
        self,
        catalog: Catalog,
        records: RequestRecords,
        metrics: RouterMetrics,
        traffic: Traffic,
        usage: UsageMeter,
        learning: Learning,
    ) -> None:
        self._learning = learning
        self._usage = usage
        self._traffic = traffic
        self._catalog = catalog
        self._records = records
        self._metrics = metrics

    def _price(self, exchange: Exchange) -> None:
        """Set the cost of every attempt, and so of the exchange, from the usage known now."""
        for attempt in exchange.delivery.attempts:
            attempt.billed = fill_in(self._catalog, exchange, attempt)
            # To the billionth that the books count in: rows then equal the sum of the answers.
            attempt.cost_usd = round(self._catalog.cost_usd(attempt.option, attempt.billed), 9)
        exchange.account.costs(sum(attempt.cost_usd for attempt in exchange.delivery.attempts))

    def settle(self, exchange: Exchange) -> None:
        """Price it, give back what was set aside, count it and learn from it.

        What fails of it is logged: the rest, and the record (law 8), must not fail with it.
        """
        exchange.account.closes(time.perf_counter() - exchange.request.started)
        book = self._usage.book
        for step in (self._price, _give_back, self._traffic.observe, book, self._learning.observe):
            try:
                step(exchange)
            except Exception:  # noqa: BLE001 - whatever it is, the next step is due
                _log.exception("request %s was not settled whole", exchange.request.id)

    def record(self, exchange: Exchange) -> None:
        """Put it on record."""
        self._records.end(exchange)

    def measure(self, exchange: Exchange) -> None:
        """Into metrics and usage, last of all: what settling and recording took is among it."""
        stages = list(exchange.account.stages)
        self._metrics.observe(exchange, stages)
        self._usage.book_time(exchange, stages)


def _give_back(exchange: Exchange) -> None:
    """What was set aside and not used."""
    account = exchange.account
    if account.hold is not None:
        account.hold.settle(_tokens(exchange), account.cost_usd)


def _tokens(exchange: Exchange) -> int:
    """Prompt and answer tokens of all attempts."""
    billed = (attempt.billed for attempt in exchange.delivery.attempts)
    return sum((each.input_tokens or 0) + (each.output_tokens or 0) for each in billed)
