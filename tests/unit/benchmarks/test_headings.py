"""The benchmark of stages really sends requests, and books each of them to the seven headings."""

from __future__ import annotations

import pytest

from benchmarks.governance.headings import ARTICLE, table
from benchmarks.governance.stages import measure, prompt, with_names
from router.stages import Heading


def test_each_request_is_measured_by_heading() -> None:
    """Through the whole path: admitted, decided, answered, settled and recorded."""
    found = measure(5, 100, with_names("none"))
    assert len(found.cpu_ms) == len(found.overhead_ms) == 5
    assert min(found.cpu_ms) > 0
    assert found.headings.keys() == {heading.value for heading in Heading}
    assert {
        "admit",
        "data-prep",
        "choose",
        "send",
        "settle",
        "end",
        "target",
    } <= found.stages.keys()
    assert sum(found.shares().values()) == pytest.approx(100)
    text = table(found)
    assert all(f"| {heading.value} | {ARTICLE[heading]} % |" in text for heading in Heading)


def test_the_articles_split_is_whole() -> None:
    """Its parts are a hundred percent, in the order of the headings."""
    assert sum(ARTICLE.values()) == 100
    assert ARTICLE[Heading.AUDIT] == 3


def test_a_prompt_is_as_long_as_it_is_said_to_be() -> None:
    """Four characters a token."""
    assert len(prompt(500)) == 2000
