"""How numbers and times are written for people."""

from __future__ import annotations

import time
from typing import Any

import pytest

from serving.console import words


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "$0.00"),
        (0.5, "$0.50"),
        (-0.25, "-$0.25"),
        (0.000472, "$0.000472"),
        (0.00123456, "$0.00123"),
        (0.00000004, "<$0.000001"),
        (0.9999, "$1.00"),
        (1234.5, "$1,234.50"),
    ],
)
def test_money_is_written_in_digits_that_count(value: float, written: str) -> None:
    """Neither cut to nothing nor longer than anybody reads."""
    assert words.dollars(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [(1.234, "1.23 ms"), (1500, "1.50 s"), (90_000, "1.5 min"), (9_000_000, "2.5 h")],
)
def test_times_have_the_unit_that_reads_best(value: float, written: str) -> None:
    """From milliseconds to hours."""
    assert words.milliseconds(value) == written


def test_what_another_clock_wrote_a_moment_ahead_is_now() -> None:
    """Not a day ago, as whole days below nothing would have it."""
    now = time.time()
    assert words.ago(now + 30) == "just now"
    assert words.ago(now - 90) == "1 minute ago"
    assert words.ago(now - 2 * 86_400 - 60) == "2 days ago"


@pytest.mark.parametrize(
    ("value", "written"),
    [(["looks", "refunds"], "looks, refunds"), ([], "—"), ([1, "a"], '[1,"a"]'), ("", "—")],
)
def test_names_in_a_row_are_no_code(value: Any, written: str) -> None:
    """Only what is nested, or no text, is JSON."""
    assert words.plain(value) == written
