"""What the messages say of those that will come: how many have no intent, how strange words are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.intent.calibrate import calibration_error
from router.intent.messages import Messages, Shape, Shapes
from router.intent.share import ASSUMED

INSIDE, AWAY, OUTSIDE = Shape(2.2, 0.15), Shape(1.5, 0.15), Shape(1.2, 0.12)
SHAPES = Shapes(INSIDE, AWAY, OUTSIDE)


def came(share: float, lower: float = 0.0, count: int = 500) -> Messages:
    """So many of them had none of the intents, the others' scores were so much lower."""
    chance, found = np.random.default_rng(3), Messages(SHAPES)
    for _ in range(count):
        if chance.random() < share:
            other = AWAY if chance.random() < 0.4 else OUTSIDE
            found.saw(chance.normal(other.mean, other.spread))
        else:
            found.saw(chance.normal(INSIDE.mean - lower, INSIDE.spread))
    return found


@pytest.mark.parametrize("share", [0.05, 0.2, 0.6])
@pytest.mark.parametrize("lower", [0.0, 0.3])
def test_share_and_strange_words_are_told_apart(share: float, lower: float) -> None:
    """A share alone would take the lower scores of strange words for messages without intents."""
    found = came(share, lower)
    assert found.share == pytest.approx(share, abs=0.08)
    assert found.further * SHAPES.apart == pytest.approx(lower, abs=0.15)


def test_before_any_message() -> None:
    """One in five has none; users' words are a little further."""
    found = Messages(SHAPES)
    assert found.share == ASSUMED
    few = came(0.6, count=9)
    assert (few.share, few.further) == (found.share, found.further)


def test_probabilities_are_frequencies() -> None:
    """Of what has a score, as many have an intent as is said, in the same world."""
    found, chance = came(0.5, 0.2), np.random.default_rng(9)
    inside = chance.random(4000) < 0.5
    other = np.where(chance.random(4000) < 0.4, AWAY.mean, OUTSIDE.mean)
    score = np.where(inside, INSIDE.mean - 0.2, other) + chance.normal(0, 0.14, 4000)
    said = np.array([found.inside(float(each)) for each in score])
    assert calibration_error(said, inside) < 0.06


def test_strange_words_are_believed_more_where_all_are_strange() -> None:
    """The same score means more where nobody writes like the examples."""
    assert came(0.2, 0.3).inside(1.75) > came(0.2, 0.0).inside(1.75) + 0.1


@given(st.lists(st.floats(-3.0, 3.0), max_size=60), st.floats(-100.0, 100.0))
def test_always_a_probability(scores: list[float], asked: float) -> None:
    """Whatever came; and a higher score never means less."""
    found = Messages(SHAPES)
    for score in scores:
        found.saw(score)
    assert 0.0 < found.inside(asked) < 1.0
    assert 0.02 <= found.share <= 0.95
    steps = [found.inside(float(each)) for each in np.linspace(1.2, 2.6, 30)]
    assert steps == sorted(steps)


def test_only_the_newest_count() -> None:
    """What was asked long ago is forgotten (law 9)."""
    found, chance = came(0.9), np.random.default_rng(5)
    for _ in range(500):
        found.saw(chance.normal(INSIDE.mean, INSIDE.spread))
    assert found.share < 0.1


def test_without_what_could_be_held_out_there_are_no_shapes() -> None:
    """One example of each intent."""
    none = np.zeros(0)
    assert Shapes.of(none, none, np.ones(3)) is None
    alone = Shapes.of(np.ones(3), none, np.zeros(3))
    assert alone is not None
    assert alone.away == alone.outside
