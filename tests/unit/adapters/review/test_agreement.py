"""Krippendorff's alpha against published figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.review.agreement import Agreement, agreement

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), its four coders and twelve
# units, with missing values: nominal alpha 0.743.
_FOUR_CODERS = """
A 1 2 3 3 2 1 4 1 2 . . .
B 1 2 3 3 2 2 4 1 2 5 . 3
C . 3 3 3 2 3 4 2 2 5 1 .
D 1 2 3 3 2 4 4 1 2 5 1 .
"""
# The same paper, two coders and binary values without missing ones: 0.095.
_BINARY = """
A 0 1 0 0 0 0 0 0 1 0
B 1 1 1 0 0 1 0 0 0 0
"""
# And two coders with several values: 0.692.
_NOMINAL = """
A a a b b d c c c e d d a
B b a b b b c c c e d d d
"""
# Wikipedia, "Krippendorff's alpha": three coders, fifteen units, 0.691.
_THREE_CODERS = """
A . . . . . 3 4 1 2 1 1 3 3 . 3
B 1 . 2 1 3 3 4 3 . . . . . . .
C . . 2 1 3 4 4 . 2 1 1 3 3 . 4
"""


def units(table: str) -> list[dict[str, str]]:
    """One mapping a unit, of a table with one line a coder."""
    lines = [line.split() for line in table.strip().splitlines()]
    columns = zip(*(line[1:] for line in lines), strict=True)
    return [
        {line[0]: value for line, value in zip(lines, column, strict=True) if value != "."}
        for column in columns
    ]


@pytest.mark.parametrize(
    ("table", "alpha", "items", "reviewers"),
    [
        (_FOUR_CODERS, 0.743, 11, 4),
        (_BINARY, 0.095, 10, 2),
        (_NOMINAL, 0.692, 12, 2),
        (_THREE_CODERS, 0.691, 12, 3),
    ],
    ids=["four", "binary", "nominal", "three"],
)
def test_published_examples(table: str, alpha: float, items: int, reviewers: int) -> None:
    """To the digits that were published."""
    found = agreement(units(table))
    assert found.alpha == pytest.approx(alpha, abs=0.0006)
    assert (found.items, found.reviewers) == (items, reviewers)


def test_edges() -> None:
    """Nothing to compare says nothing; one value throughout is full agreement."""
    nothing = Agreement(0, 0, None, None)
    assert agreement([]) == nothing
    assert agreement([{"A": "x"}, {"B": "y"}]) == nothing
    assert agreement([{"A": "x", "B": "x"}]) == Agreement(1, 2, 1.0, 1.0)
    assert agreement([{"A": "x", "B": "y"}]) == Agreement(1, 2, 0.0, 0.0)


def test_agreement_is_the_share_of_equal_pairs() -> None:
    """Three of four verdict pairs alike."""
    table = [{"A": "1", "B": "1"}] * 3 + [{"A": "1", "B": "2"}]
    assert agreement(table).agreement == pytest.approx(0.75)


@given(
    st.lists(
        st.dictionaries(st.sampled_from("ABCD"), st.sampled_from("xyz"), max_size=4), max_size=12
    )
)
def test_alpha_is_at_most_one(table: list[dict[str, str]]) -> None:
    """One exactly when all agree, and independent of the order of units."""
    found = agreement(table)
    if found.alpha is None:
        assert found.agreement is None
        return
    assert found.alpha <= 1
    assert (found.alpha == 1) == (found.agreement == 1)
    turned = agreement(table[::-1])
    assert turned.alpha == pytest.approx(found.alpha)
