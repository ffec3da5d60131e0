"""What Prometheus and the choice see of a target's health."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, generate_latest

from router.config.delivery import DeliveryConfig
from router.send.health import HealthBook
from router.send.metrics import HealthCollector


def test_breakers_budgets_and_pauses_are_shown() -> None:
    """By name; nothing is made up for targets that nobody asked."""
    book = HealthBook(DeliveryConfig.model_validate({"breaker": {"consecutive": 1}}))
    registry = CollectorRegistry()
    registry.register(HealthCollector(book))
    assert b"{target=" not in generate_latest(registry)
    now = time.monotonic()
    bad = book.of("frontier:a/m", now)
    bad.breaker.failure(now, probe=bad.breaker.enter())
    book.of("replica:r0", now).pause(now, 60)
    text = generate_latest(registry).decode()
    assert 'graftwork_breaker_state{target="frontier:a/m"} 2.0' in text
    assert 'graftwork_retry_budget{target="frontier:a/m"} 10.0' in text
    assert 'graftwork_paused_seconds{target="replica:r0"}' in text
    assert "breaker is open" in (book.why_not("frontier:a/m") or "")
    assert "patience" in (book.why_not("replica:r0") or "")
    assert book.why_not("frontier:unknown/m") is None
