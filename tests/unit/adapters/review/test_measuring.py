"""How reviewers are measured: against each other, and against what is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.review.checks import Checks
from adapters.review.errors import AlreadyJudged
from adapters.review.item import Kind, State
from adapters.review.listing import Wanted
from adapters.review.measuring import Measuring
from adapters.review.verdicts import Verdict
from tests.fakes.postgres import NewDatabase
from tests.fakes.reviewing import Reviewing, reviewing


@pytest.fixture(params=["sqlite", "postgresql"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reviewing]:
    """Two verdicts settle."""
    url = f"sqlite:///{tmp_path / 'flywheel.db'}"
    if request.param == "postgresql":
        new: NewDatabase = request.getfixturevalue("postgres")
        url = new()
    with reviewing(url, per_item=2) as opened:
        yield opened


def waiting(desk: Reviewing, reader: str) -> dict[str, Kind]:
    """What this reader is shown as open."""
    wanted = Wanted(state=State.OPEN, reader=reader, to_do=True)
    return {each.id: each.kind for each in desk.reviews.page(wanted)}


def test_agreement_is_over_answers(desk: Reviewing) -> None:
    """Accepting and writing the same is agreement; escalations and lone verdicts are left out."""
    said = [
        ("one", "returns", None, None),
        ("two", "returns", None, "in 14 days."),
        ("three", "weather", "Rain.", "rain."),
        ("four", "weather", "Rain.", "Sun."),
    ]
    item = ""
    for text, intent, ann, bob in said:
        item = desk.asked(text, intent=intent)
        for name, answer in (("ann", ann), ("bob", bob)):
            verdict = Verdict.ACCEPT if answer is None else Verdict.EDIT
            desk.reviews.judge(item, name, verdict, answer=answer)
    lone = desk.asked("lone")
    desk.reviews.judge(lone, "ann", Verdict.ACCEPT)
    desk.reviews.judge(lone, "cleo", Verdict.ESCALATE)
    measuring = Measuring(desk.store)
    everywhere = measuring.agreement()
    assert (everywhere.items, everywhere.reviewers) == (4, 2)
    assert everywhere.agreement == pytest.approx(0.5)
    # Values: given x3, "in 14 days.", rain x3, sun: 8 in all, by hand.
    by_chance = (3 * 2 + 3 * 2) / (8 * 7)
    assert everywhere.alpha == pytest.approx((0.5 - by_chance) / (1 - by_chance))
    weather = measuring.agreement("weather")
    assert (weather.items, weather.agreement) == (2, 0.5)
    assert measuring.agreement("nowhere").alpha is None
    desk.reviews.undo(item, "bob")
    assert measuring.agreement("weather").items == 1


def test_known_items_measure_who_does_not_know_them(desk: Reviewing) -> None:
    """They look like any other; nothing is learnt from them, and alpha does not see them."""
    for number in range(4):
        item = desk.asked(f"settled {number}")
        desk.reviews.judge(item, "ann", Verdict.ACCEPT)
        desk.reviews.judge(item, "bob", Verdict.ACCEPT)
    opened = {desk.asked(f"open {number}") for number in range(4)}
    before = desk.reviews.gold()
    agreed = Measuring(desk.store).agreement()
    checks = Checks(desk.store, desk.exchanges, 0.34, desk.tick)
    assert checks.keep_up() == 3
    assert checks.keep_up() == 0
    assert set(waiting(desk, "ann")) == set(waiting(desk, "bob")) == opened
    known = [name for name, kind in waiting(desk, "cleo").items() if kind is Kind.CHECK]
    assert len(known) == 3
    shown = desk.reviews.find(known[0]).seen_by("cleo")
    assert shown.history == ()
    assert shown.answer is None
    assert shown.exchange is not None
    assert shown.exchange.state.value == "in_review"

    desk.reviews.claim(known[0], "cleo")
    desk.reviews.judge(known[0], "cleo", Verdict.ACCEPT)
    desk.reviews.judge(known[1], "cleo", Verdict.EDIT, answer="Never.")
    desk.reviews.judge(known[2], "cleo", Verdict.ESCALATE)
    desk.reviews.judge(known[2], "dan", Verdict.REJECT)
    with pytest.raises(AlreadyJudged):
        desk.reviews.judge(known[0], "cleo", Verdict.ACCEPT)
    assert desk.reviews.find(known[0]).seen_by("cleo").state is State.DONE
    assert set(waiting(desk, "cleo")) == opened
    found = {each.name: each for each in Measuring(desk.store).reviewers()}
    assert (found["cleo"].measured, found["cleo"].accuracy) == (2, 0.5)
    assert (found["dan"].measured, found["dan"].accuracy) == (1, 0.0)
    assert (found["ann"].measured, found["ann"].accuracy) == (0, None)
    assert found["cleo"].verdicts == 0
    assert found["ann"].accepted == 4
    assert desk.reviews.gold() == before
    assert Measuring(desk.store).agreement() == agreed
    desk.reviews.undo(known[1], "cleo")
    found = {each.name: each for each in Measuring(desk.store).reviewers()}
    assert (found["cleo"].measured, found["cleo"].accuracy) == (1, 1.0)


def test_known_items_end(desk: Reviewing) -> None:
    """After a month, or when nobody is to be measured any more."""
    settled = desk.asked("settled")
    desk.reviews.judge(settled, "ann", Verdict.ACCEPT)
    desk.reviews.judge(settled, "bob", Verdict.ACCEPT)
    desk.asked("open")
    assert Checks(desk.store, desk.exchanges, 0.0, desk.tick).keep_up() == 0
    checks = Checks(desk.store, desk.exchanges, 0.5, desk.tick)
    assert checks.keep_up() == 1
    check = next(name for name, kind in waiting(desk, "cleo").items() if kind is Kind.CHECK)
    desk.reviews.judge(check, "cleo", Verdict.ACCEPT)
    desk.now += 31 * 86_400
    Checks(desk.store, desk.exchanges, 0.0, desk.tick).keep_up()
    assert Kind.CHECK not in waiting(desk, "dan").values()
    assert desk.reviews.find(check).state is State.DONE
    found = {each.name: each for each in Measuring(desk.store).reviewers()}
    assert found["cleo"].accuracy == 1.0
