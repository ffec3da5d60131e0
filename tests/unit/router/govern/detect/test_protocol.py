"""The protocol by which findings are counted: overlap, neighbours, words without meaning."""

from __future__ import annotations

import pytest

from benchmarks.governance.spans import Agreement
from router.govern.detect import Span

TEXT = "Mr. John Smith visited 12 Main Street, Boston met Ann."


def span(value: str, entity: str) -> Span:
    """Where a value stands in the text."""
    start = TEXT.index(value)
    return Span(start, start + len(value), entity)


TRUTH = [
    span("John Smith", "PERSON"),
    span("12 Main Street, Boston", "LOCATION"),
    span("Ann", "PERSON"),
]


@pytest.mark.parametrize(
    ("found", "counts"),
    [
        (TRUTH, (3, 3, 3)),
        ([], (3, 0, 0)),
        # A title and a comma say nothing; two parts of a kind that only a comma parts are one.
        (
            [
                span("Mr. John Smith", "PERSON"),
                span("12 Main Street", "LOCATION"),
                span("Boston", "LOCATION"),
                span("Ann", "PERSON"),
            ],
            (3, 3, 3),
        ),
        # Half of it is not enough, and counts as found.
        ([span("John", "PERSON")], (3, 1, 0)),
        # "met Ann" are neighbours, found as one, of which Ann is less than enough.
        ([*TRUTH, span("met", "PERSON")], (3, 3, 2)),
    ],
)
def test_spans_count_by_what_they_share(found: list[Span], counts: tuple[int, int, int]) -> None:
    """Of what is there, of what was found, and of both."""
    total = Agreement()
    total.add(TEXT, TRUTH, found)
    assert (total.pii.there, total.pii.found, total.pii.right) == counts


def test_a_wrong_kind_is_found_as_personal_data_and_wrong_by_kind() -> None:
    """As the protocol has it."""
    total = Agreement()
    total.add(TEXT, [span("Ann", "PERSON")], [span("Ann", "LOCATION")])
    assert total.pii.f2 == 1
    assert total.kinds["PERSON"].recall == 0
    assert total.kinds["LOCATION"].precision == 0
    assert total.masked == 1
