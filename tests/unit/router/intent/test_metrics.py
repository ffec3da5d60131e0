"""What is declared, remembered and refused can be scraped."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from router.config.auto import AutoConfig, IntentConfig
from router.intent.metrics import IntentMetrics
from router.intent.source import IntentSource
from tests.fakes.encoder import FakeEncoder


def test_gauges_follow_the_model_in_use() -> None:
    """Read at the scrape, from whatever model is current then."""
    registry = CollectorRegistry()
    hours = IntentConfig(name="hours", examples=("when do you open",))
    source = IntentSource(AutoConfig(intents=(hours,)), lambda _: FakeEncoder())
    IntentMetrics(registry, source)
    source.current.classify("do you open", "do you open")
    assert registry.get_sample_value("graftwork_intents_declared") == 1
    assert registry.get_sample_value("graftwork_intent_verdicts_remembered") == 1
    assert registry.get_sample_value("graftwork_intent_changes_refused") == 0
    source.current = IntentSource(AutoConfig()).current
    assert registry.get_sample_value("graftwork_intents_declared") == 0
