"""How many messages have none of the intents is learned from the messages, downwards only."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.intent.share import ASSUMED, Outsiders


def odds(share: float, count: int, seed: int = 0) -> list[float]:
    """Of messages of which so many have none: scores of two overlapping normal distributions."""
    chance = np.random.default_rng(seed)
    is_none = chance.random(count) < share
    score = chance.normal(np.where(is_none, -1.5, 1.5), 1.0)
    # Density of the one over the other, under the share that is assumed.
    return list(np.exp(-3.0 * score) * ASSUMED / (1 - ASSUMED))


def learned(share: float, count: int) -> Outsiders:
    """After so many messages."""
    found = Outsiders()
    for each in odds(share, count):
        found.saw(each)
    return found


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.15])
def test_a_smaller_share_is_found(share: float) -> None:
    """Within what the assumption still weighs."""
    assert learned(share, 500).share == pytest.approx(share, abs=0.04)
    assert learned(share, 500).factor < 1


@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
def test_a_larger_one_is_not_believed(share: float) -> None:
    """It may as well be customers' words for what the examples say."""
    assert learned(share, 500).factor == pytest.approx(1.0)


def test_a_few_messages_say_little() -> None:
    """And before the first nothing is known."""
    assert Outsiders().factor == pytest.approx(1.0)
    assert learned(0.0, 10).share > 0.15


def test_only_the_newest_count() -> None:
    """What comes changes, and so does the share."""
    found = learned(0.0, 500)
    before = found.share
    for each in odds(0.5, 500, seed=1):
        found.saw(each)
    assert before < 0.05 < found.share == pytest.approx(ASSUMED)


@given(st.lists(st.floats(0, 1e12), max_size=60))
def test_whatever_comes_it_stays_within_bounds(values: list[float]) -> None:
    """Nobody can make everything an intent, or nothing."""
    found = Outsiders()
    for value in values:
        found.saw(value)
    assert 0.02 <= found.share <= ASSUMED
    assert 0 < found.factor <= 1.0 + 1e-12
