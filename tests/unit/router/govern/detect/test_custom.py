"""Kinds of data that a configuration describes: found; refused where they could cost too much."""

from __future__ import annotations

import time

import pytest

from router.govern.detect.custom import BadPattern, custom
from router.govern.detect.patterns import Patterns


def test_an_order_number_is_found() -> None:
    """All of the match, or the group that is named."""
    patterns = Patterns(
        custom({"ORDER_ID": r"\bORD-\d{8}\b", "CUSTOMER": r"customer (?P<value>K\d+)"})
    )
    text = "order ORD-12345678 of customer K77"
    assert [(s.entity, text[s.start : s.end]) for s in patterns.find(text)] == [
        ("ORDER_ID", "ORD-12345678"),
        ("CUSTOMER", "K77"),
    ]


@pytest.mark.parametrize(
    "pattern", [r"(a+)+$", r"(\d+)*x", r"(?:a|a)*b", r"(\s*\d*)*z", "(", r"\d*", "a" * 600]
)
def test_a_pattern_that_cannot_be_used_is_refused_in_short_time(pattern: str) -> None:
    """Nested repetitions, no pattern at all, one that matches nothing, one too long."""
    began = time.thread_time()
    with pytest.raises(BadPattern, match="ORDER_ID"):
        custom({"ORDER_ID": pattern})
    assert time.thread_time() - began < 5


def test_a_pattern_that_is_slow_on_a_text_of_its_own_fails_instead_of_hanging() -> None:
    """What was not searched does not leave."""
    finder = custom({"ORDER_ID": r"q(?:[bc]+)+d"})[0]
    with pytest.raises(TimeoutError):
        list(finder("q" + "bc" * 40_000))
