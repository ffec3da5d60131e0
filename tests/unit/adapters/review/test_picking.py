"""What one reviewer takes next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.review.checks import Checks
from adapters.review.item import Kind
from adapters.review.verdicts import Verdict
from tests.fakes.reviewing import Reviewing, reviewing


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Reviewing]:
    """One verdict settles; half of what is next measures, as far as there is something."""
    with reviewing(f"sqlite:///{tmp_path / 'flywheel.db'}", check_share=0.5) as opened:
        opened.reviews._chance = lambda: 1.0
        yield opened


def test_next_is_the_most_worth_that_is_free(desk: Reviewing) -> None:
    """Each reviewer gets another one, and none twice."""
    items = [desk.asked(f"q{number}", cost_usd=0.01 * (3 - number)) for number in range(3)]
    assert desk.reviews.next("ann") == items[0]
    assert desk.reviews.next("bob") == items[1]
    desk.reviews.judge(items[0], "ann", Verdict.ESCALATE)
    assert desk.reviews.next("ann") == items[2]
    assert desk.reviews.next("ann") is None
    assert desk.reviews.next("cleo") == items[0]
    assert desk.reviews.next("cleo", "weather") is None


def test_next_goes_round_the_intents(desk: Reviewing) -> None:
    """What one has seen much of lately is worth less; tiers go first all the same."""
    for number in range(3):
        desk.asked(f"a{number}", intent="a", cost_usd=0.03)
    other = desk.asked("b", intent="b", cost_usd=0.02)
    hard = desk.asked("c", intent="a", cost_usd=0.001, signals=("refused",))
    first = desk.reviews.next("ann")
    assert first == hard
    desk.reviews.judge(hard, "ann", Verdict.ACCEPT)
    assert desk.reviews.next("ann") == other


def test_now_and_then_something_measures(desk: Reviewing) -> None:
    """As often as the configuration says, whatever the item is worth."""
    settled = desk.asked("settled", cost_usd=1e-6)
    desk.reviews.judge(settled, "ann", Verdict.ACCEPT)
    for number in range(60):
        desk.asked(f"q{number}", cost_usd=1.0)
    assert Checks(desk.store, desk.exchanges, 0.02, desk.tick).keep_up() == 1
    desk.reviews._chance = lambda: 0.1
    taken = desk.reviews.next("bob")
    assert taken is not None
    assert desk.reviews.find(taken).kind is Kind.CHECK
    desk.reviews.judge(taken, "bob", Verdict.ACCEPT)
    again = desk.reviews.next("bob")
    assert again is not None
    assert desk.reviews.find(again).kind is Kind.EXCHANGE
