"""When an answer is not good enough: by a threshold, by what a good one is worth, or never."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.config.routing import RouteConfig
from router.judge.standard import Standard, judging
from router.request import Option

BASE = Option("base", "tiny", quality=0.7, cost_usd=0.0)
BIG = Option("frontier:cloud/big", quality=0.9, cost_usd=0.001)
HUGE = Option("frontier:cloud/huge", quality=0.95, cost_usd=0.01)
WEAK = Option("frontier:cloud/weak", quality=0.6, cost_usd=0.0)
ALL = [BASE, BIG, HUGE, WEAK]
SHARES = st.floats(0.0, 1.0)


def test_by_worth() -> None:
    """What is expected to gain more than it costs is asked: (0.9 - P) 0.01 > 0.001."""
    by = Standard(worth_usd=0.01)
    assert by.by == "worth"
    assert by.bar(BIG) == pytest.approx(0.8)
    assert by.remedies(BASE, 0.79, ALL) == [BIG]
    assert by.remedies(BASE, 0.81, ALL) == []
    assert by.highest_bar(BASE, ALL) == pytest.approx(0.8)


def test_the_more_it_is_worth_the_more_is_asked() -> None:
    """A dearer target too; a worse one never is a remedy."""
    assert Standard(worth_usd=1.0).remedies(BASE, 0.85, ALL) == [BIG, HUGE]
    assert Standard(worth_usd=0.0011).remedies(BASE, 0.01, ALL) == []
    assert Standard(worth_usd=0.001).highest_bar(BASE, [BIG, HUGE, WEAK]) is None


def test_by_threshold() -> None:
    """Money plays no part."""
    by = Standard(threshold=0.8)
    assert by.by == "threshold"
    assert by.remedies(BASE, 0.79, ALL) == [BIG, HUGE]
    assert by.remedies(BASE, 0.8, ALL) == []
    assert Standard(threshold=0.99).remedies(BASE, 0.92, ALL) == [HUGE]


def test_only_measured() -> None:
    """Nobody is asked, whatever the answer."""
    by = Standard()
    assert by.by == "nothing"
    assert by.remedies(BASE, 0.0, ALL) == []
    assert by.highest_bar(BASE, ALL) is None


def test_kin_is_no_remedy() -> None:
    """Another version of the same adapter has the same doubts."""
    one = Option("adapter:returns@1", "returns@1", quality=0.7)
    other = Option("adapter:returns@2", "returns@2", quality=0.9)
    assert Standard(worth_usd=1.0).remedies(one, 0.1, [other]) == []


@pytest.mark.parametrize(
    ("route", "by", "threshold", "worth_usd"),
    [
        ({"worth_usd": 0.05, "confidence": {}}, "worth", None, 0.05),
        ({"worth_usd": 0.05, "confidence": {"threshold": 0.5}}, "threshold", 0.5, None),
        ({"worth_usd": 0.05, "confidence": {"threshold": 0}}, "threshold", 0.0, None),
        ({"confidence": {}}, "nothing", None, None),
    ],
)
def test_what_a_route_demands(
    route: dict[str, object], by: str, threshold: float | None, worth_usd: float | None
) -> None:
    """A threshold that is written goes first; 0 measures only."""
    found = judging({"*": RouteConfig.model_validate(route)}, "")
    assert found is not None
    assert found.standard == Standard(threshold, worth_usd)
    told = found.record([BASE, BIG])
    assert (told["by"], told["threshold"], told["worth_usd"]) == (by, threshold, worth_usd)


def test_without_confidence_nothing_is_judged() -> None:
    """Worth alone decides before generation only."""
    assert judging({"*": RouteConfig(worth_usd=0.05)}, "") is None
    assert judging({}, "returns") is None


@given(SHARES, SHARES, SHARES, st.floats(0.0, 1.0), st.floats(1e-6, 100.0))
def test_gain_above_cost(
    probability: float, before: float, quality: float, cost_usd: float, worth_usd: float
) -> None:
    """Whoever is asked is expected to be worth it, and a surer answer asks nobody more."""
    asked = Option("base", "tiny", quality=before)
    other = Option("frontier:cloud/x", quality=quality, cost_usd=cost_usd)
    by = Standard(worth_usd=worth_usd)
    if by.remedies(asked, probability, [other]):
        assert (quality - probability) * worth_usd >= cost_usd - 1e-9
        assert quality >= before
        assert by.remedies(asked, probability / 2, [other])
