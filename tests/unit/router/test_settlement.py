"""Settling: whatever fails of it, the rest happens, and the record is written (law 7, law 8)."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from router.account.metrics import RouterMetrics
from router.account.settle import Settlement
from router.account.usage import Traffic, UsageMeter
from router.exchange import Exchange
from router.request import Option
from router.targets.directory import Catalog
from router.targets.http_client import HttpClient
from router.wire.endpoint import Usage
from tests.fakes.exchanges import exchange, put


class Breaks:
    """Something that cannot take this exchange, in each of its roles."""

    def observe(self, _exchange: Exchange) -> None:
        """Fail."""
        raise ZeroDivisionError

    def cost_usd(self, _option: Option, _usage: Usage) -> float:
        """Fail."""
        raise ZeroDivisionError


class Held:
    """What was set aside, until it is settled."""

    settled: tuple[int, float] | None = None

    async def cover(self, _exchange: Exchange, _option: Option) -> None:
        """Nothing more is asked for."""

    def settle(self, tokens: int, cost_usd: float) -> None:
        """Note it."""
        self.settled = tokens, cost_usd


def settlement(usage: UsageMeter, **broken: Any) -> Settlement:
    """One with parts that fail."""
    parts: dict[str, Any] = {
        "catalog": Catalog(HttpClient(), {}),
        "traffic": Traffic(),
        "learning": Breaks(),
        **broken,
    }
    metrics = RouterMetrics(CollectorRegistry(), lambda: 0)
    nobody: Any = None
    return Settlement(parts["catalog"], nobody, metrics, parts["traffic"], usage, parts["learning"])


@pytest.mark.parametrize("broken", ["catalog", "traffic", "learning"])
async def test_what_fails_takes_nothing_with_it(
    broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What was set aside comes back and the request is counted; the log names it."""
    hold, usage = Held(), UsageMeter()
    found = put(exchange("base"), status=200, hold=hold)
    attempt = found.delivery.call(Option("base", engine_name="tiny"), "r1")
    attempt.usage = Usage(3, 5)
    settlement(usage, **{broken: Breaks()}).settle(found)
    assert hold.settled == (8, 0.0)
    assert sum(row.requests for row in usage.totals().values()) == 1
    assert found.request.id in caplog.text
