"""When a live version is worse than it may be, whenever one looks."""

from __future__ import annotations

import numpy as np
import pytest

from adapters.takeover.quality import ALPHA, Baseline, fallen, is_below
from adapters.traffic import VersionTraffic

BASELINE = Baseline(0.95, 0.10)


def test_a_version_that_is_as_good_as_it_may_be_is_hardly_ever_taken_back() -> None:
    """Looked at after each of 600 judgements: in at most ALPHA of 1,000 lives."""
    random = np.random.default_rng(5)
    answers = random.random((1000, 600)) < BASELINE.least
    alarms = 0
    for life in answers:
        good = np.cumsum(life)
        # Every look would do; some of them are enough to see that looking often costs nothing.
        looks = range(1, 601, 3)
        alarms += any(is_below(float(good[n - 1]), n, BASELINE.least, ALPHA) for n in looks)
    assert alarms <= ALPHA * 1000 + 3 * (ALPHA * 1000) ** 0.5


@pytest.mark.parametrize(("share", "soon"), [(0.0, 6), (0.5, 60), (0.7, 200)])
def test_a_version_that_fell_is_taken_back_soon(share: float, soon: int) -> None:
    """The worse, the sooner."""
    assert is_below(share * soon, soon, BASELINE.least, ALPHA / 2)
    assert not is_below(share * 2, 2, BASELINE.least, ALPHA / 2), "two answers prove nothing"


@pytest.mark.parametrize("value", [0.25, 0.75])
def test_judgements_may_be_shares(value: float) -> None:
    """Halves of a success count as halves."""
    assert is_below(value * 300, 300, 0.9, ALPHA)
    assert not is_below(value * 300, 300, value - 0.05, ALPHA)


@pytest.mark.parametrize("least", [0.0, 1.0, -0.1, 1.5])
def test_a_bound_that_is_none(least: float) -> None:
    """Nothing is below nothing, and nobody is perfect."""
    assert not is_below(0.0, 100, least, ALPHA)


def test_what_counts() -> None:
    """What people said, and how often its own confidence let its answers go out."""
    assert fallen(VersionTraffic(), BASELINE) is None
    assert fallen(VersionTraffic(requests=500, judged=100, good=94), BASELINE) is None
    assert fallen(VersionTraffic(requests=500, judged=9), BASELINE) is None, "nine complaints"
    assert fallen(VersionTraffic(requests=500, judged=10), BASELINE) is not None
    said = fallen(VersionTraffic(requests=500, judged=100, good=40), BASELINE)
    assert said is not None
    assert "40.0% of the answers that were judged are good" in said
    unsure = fallen(VersionTraffic(requests=500, unsure=250), BASELINE)
    assert unsure is not None
    assert "50.0% of its answers were sure enough" in unsure
