"""The queue fills itself, stays within its bounds, and drops what is about nothing any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from adapters.review.erasing import ReviewsOfPersons
from adapters.review.errors import BadAnswer, UnknownReview
from adapters.review.item import Demanded, State
from adapters.review.listing import Wanted
from adapters.review.models import CandidateRow, ReviewRow, SubjectOfReview, VerdictRow
from adapters.review.priority import Tier
from adapters.review.queue import Queue
from adapters.review.tidying import Tidying
from adapters.review.verdicts import Verdict
from tests.fakes.corpus import exchange
from tests.fakes.postgres import NewDatabase
from tests.fakes.reviewing import LOCK_S, Reviewing, reviewing

HASH = "s" * 64


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'flywheel.db'}"
    new: NewDatabase = request.getfixturevalue("postgres")
    return new()


@pytest.fixture
def desk(url: str) -> Iterator[Reviewing]:
    """Room for ten."""
    with reviewing(url, queue=10) as opened:
        yield opened


def written(directory: Path) -> bytes:
    """All that SQLite has on the disk."""
    return b"".join(path.read_bytes() for path in directory.glob("flywheel.db*"))


def queue_of(desk: Reviewing) -> Queue:
    """What fills it."""
    return Queue(desk.parts)


def tidying_of(desk: Reviewing) -> Tidying:
    """What keeps it in order."""
    return Tidying(desk.parts)


_DAY_S = 86_400.0


def test_what_is_escalated_to_nobody_ends(desk: Reviewing) -> None:
    """A team of one: after the time for it the item is done, no gold, and still to be settled."""
    review = desk.asked("May I?", details={})
    desk.reviews.judge(review, "ann", Verdict.ESCALATE)
    tidying, days = tidying_of(desk), desk.config.escalated_days
    desk.now += (days - 1) * _DAY_S
    tidying.tidy()
    assert desk.reviews.find(review).state is State.OPEN
    desk.now += 2 * _DAY_S
    tidying.tidy()
    ended = desk.reviews.find(review)
    assert (ended.state, ended.outcome, ended.escalated) == (State.DONE, "unanswered", False)
    assert (ended.tier, desk.state(review)) == (Tier.USUAL, "rejected")
    assert desk.told("review")[-1] == (review, "done")
    assert desk.reviews.gold() == []
    desk.reviews.judge(review, "bob", Verdict.ACCEPT)
    assert desk.reviews.find(review).outcome == "gold"
    assert [gold.reviewers for gold in desk.reviews.gold()] == [("bob",)]


def test_the_time_for_an_escalation_begins_with_the_last_one(desk: Reviewing) -> None:
    """Who holds it has time as well; undone, there is nothing to end."""
    review, undone = desk.asked("May I?"), desk.asked("And she?")
    for each in (review, undone):
        desk.reviews.judge(each, "ann", Verdict.ESCALATE)
    desk.now += (desk.config.escalated_days - 1) * _DAY_S
    desk.reviews.judge(review, "bob", Verdict.ESCALATE)
    desk.reviews.undo(undone, "ann")
    desk.now += 2 * _DAY_S
    tidying = tidying_of(desk)
    tidying.tidy()
    assert [desk.reviews.find(each).state for each in (review, undone)] == [State.OPEN] * 2
    desk.now += desk.config.escalated_days * _DAY_S
    desk.reviews.claim(review, "cleo")
    tidying.tidy()
    assert desk.reviews.find(review).state is State.CLAIMED
    desk.now += LOCK_S + 1
    tidying.tidy()
    assert desk.reviews.find(review).outcome == "unanswered"


def opened(desk: Reviewing) -> list[str]:
    """The questions that wait, in their order."""
    page = desk.reviews.page(Wanted(state=State.OPEN))
    return [str(each.exchange.messages[0]["content"]) for each in page if each.exchange]


def test_what_is_captured_is_opened_once(desk: Reviewing) -> None:
    """And weighed anew when it is asked again; what may not be learnt is left alone."""
    queue = queue_of(desk)
    desk.exchanges.take(exchange("once", decision_id="dec_1"))
    desk.exchanges.take(exchange("often", decision_id="dec_2"))
    desk.exchanges.take(exchange("not for us", trains=False))
    assert not queue.fill()
    assert sorted(opened(desk)) == ["often", "once"]
    for number in range(3):
        desk.exchanges.take(exchange("often", decision_id=f"dec_1{number}"))
    queue.fill()
    assert opened(desk) == ["often", "once"]
    assert [state for _, state in desk.told("review")] == ["open", "open"]
    assert desk.exchanges.by_state()["captured"] == 3
    again = queue_of(desk)
    assert not again.fill()
    assert len(opened(desk)) == 2


def test_the_queue_has_an_end_and_no_intent_fills_it(desk: Reviewing) -> None:
    """What is worth least of what there is most of gives way, and comes back when there is room."""
    queue = queue_of(desk)
    for number in range(12):
        desk.exchanges.take(exchange(f"a{number}", intent="a", cost_usd=0.01 * (number + 1)))
    queue.fill()
    assert opened(desk) == [f"a{number}" for number in range(11, 1, -1)]
    for number in range(3):
        desk.exchanges.take(exchange(f"b{number}", intent="b", cost_usd=0.001))
    queue.fill()
    assert Counter(each[0] for each in opened(desk)) == {"a": 7, "b": 3}
    assert {"a0", "a1", "a2", "a3", "a4"}.isdisjoint(opened(desk))
    assert queue.left_out == 5
    for each in desk.reviews.page(Wanted(state=State.OPEN, limit=3)):
        desk.reviews.judge(each.id, "ann", Verdict.ACCEPT)
    queue.fill()
    assert len(opened(desk)) == 10
    assert {"a2", "a3", "a4"} <= set(opened(desk))


def test_what_was_judged_never_gives_way(desk: Reviewing) -> None:
    """Nor what somebody holds."""
    queue = queue_of(desk)
    for number in range(10):
        desk.exchanges.take(exchange(f"a{number}", cost_usd=0.001))
    queue.fill()
    page = desk.reviews.page(Wanted(state=State.OPEN))
    desk.reviews.claim(page[0].id, "ann")
    desk.reviews.judge(page[1].id, "ann", Verdict.ESCALATE)
    for number in range(20):
        desk.exchanges.take(exchange(f"b{number}", cost_usd=1.0))
    queue.fill()
    assert desk.reviews.find(page[0].id).state is State.CLAIMED
    assert desk.reviews.find(page[1].id).escalated


def test_a_claim_that_ended_gives_the_exchange_back(desk: Reviewing) -> None:
    """It is captured again, for others and for the corpus's own bounds."""
    tidying = tidying_of(desk)
    item = desk.asked("How?")
    desk.reviews.claim(item, "ann")
    tidying.tidy()
    assert desk.state(item) == "in_review"
    desk.now += LOCK_S
    tidying.tidy()
    assert desk.state(item) == "captured"
    assert desk.told("review")[-1] == (item, "open")
    desk.reviews.claim(item, "bob")


def test_a_review_goes_with_its_exchange(desk: Reviewing) -> None:
    """Verdicts and candidates too."""
    tidying = tidying_of(desk)
    item = desk.asked("How?", subjects=(HASH,))
    other = desk.asked("What?")
    desk.reviews.judge(item, "ann", Verdict.REJECT, comment="no")
    desk.exchanges.erase(HASH)
    tidying.tidy()
    with pytest.raises(UnknownReview):
        desk.reviews.find(item)
    desk.reviews.find(other)
    with desk.store.read() as session:
        for table in (VerdictRow, CandidateRow, SubjectOfReview):
            assert session.scalar(select(func.count()).select_from(table)) == 0


async def test_an_erasure_finds_and_removes_reviews(desk: Reviewing, tmp_path: Path) -> None:
    """By the keyed hash, before or after the exchanges; nothing is left in any file."""
    item = desk.asked("How?", subjects=(HASH, "t" * 64))
    desk.asked("What?", subjects=("t" * 64,))
    desk.reviews.judge(item, "ann", Verdict.EDIT, answer="zanzibar-answer", comment="zanzibar")
    room = ReviewsOfPersons(desk.store, lambda subject: HASH if subject == "ann@x" else "0" * 64)
    assert await room.found("ann@x") == 1
    assert await room.found("somebody") == 0
    assert await room.erase("ann@x") == 1
    assert await room.erase("ann@x") == 0
    desk.store.compact()
    with desk.store.read() as session:
        assert session.scalar(select(func.count()).select_from(ReviewRow)) == 1
    assert b"zanzibar" not in written(tmp_path)


def test_what_was_kept_for_a_rule_alone_goes_when_it_is_done(desk: Reviewing) -> None:
    """After a month; not while another review of it is open, and not what consent keeps."""
    tidying = tidying_of(desk)
    done, waits = desk.asked("done", trains=False), desk.asked("waits", trains=False)
    learnt = desk.asked("learnt")
    for item in (done, learnt):
        desk.reviews.judge(item, "ann", Verdict.ACCEPT)
    tidying.tidy()
    desk.reviews.find(done)
    desk.now += 31 * 86_400
    tidying.tidy()
    with pytest.raises(UnknownReview):
        desk.reviews.find(done)
    desk.reviews.find(waits)
    desk.reviews.find(learnt)
    assert sum(desk.exchanges.by_state().values()) == 2
    assert tidying.counts == {"open": 1, "disputed": 0, "done": 1}


def test_a_rules_review_finds_its_exchange(desk: Reviewing) -> None:
    """Whichever comes first; it makes gold only where consent and the queue let it."""
    queue = queue_of(desk)
    for number, trains in enumerate((False, True)):
        name, decision = f"rev_{number}", f"dec_{number}"
        wanted = Demanded(name, decision, ("look",), "after", "acme", "returns")
        told = {"review": {"id": name, "rules": ["look"], "when": "after"}}
        found = exchange(f"q{number}", decision_id=decision, trains=trains, details=told)
        if trains:
            desk.exchanges.take(found)
            queue.fill()
            assert not desk.reviews.demand(wanted)
        else:
            assert desk.reviews.demand(wanted)
            assert not desk.reviews.demand(wanted)
            assert desk.reviews.find(name).exchange is None
            with pytest.raises(BadAnswer):
                desk.reviews.judge(name, "ann", Verdict.ACCEPT)
            desk.exchanges.take(found)
            queue.attach()
            queue.fill()
        item = desk.reviews.find(name)
        assert item.exchange is not None
        assert item.why[0] == "rule:look"
        assert item.tier == Tier.DEMANDED
        desk.reviews.judge(name, "ann", Verdict.ACCEPT)
    heard = [each.data for each in desk.events.since(0) if "decision_id" in each.data]
    assert [(each["id"], each["decision_id"], each["rules"]) for each in heard] == [
        ("rev_0", "dec_0", ("look",)),
        ("rev_1", "dec_1", ("look",)),
    ]
    assert len(desk.reviews.page(Wanted())) == 2
    assert [each.messages[0]["content"] for each in desk.reviews.gold()] == ["q1"]


def test_a_rules_review_of_what_waits_already_is_its_own(desk: Reviewing) -> None:
    """The client was told its id; only one of the two makes gold."""
    queue = queue_of(desk)
    desk.exchanges.take(exchange("q", decision_id="dec_1"))
    queue.fill()
    wanted = {"id": "rev_2", "decision_id": "dec_2", "rules": ["look"], "when": "after"}
    told = {"review": wanted}
    desk.exchanges.take(exchange("q", decision_id="dec_2", details=told))
    queue.fill()
    page = desk.reviews.page(Wanted(state=State.OPEN))
    assert (page[0].id, page[0].decision_id) == ("rev_2", "dec_2")
    assert len({each.exchange_id for each in page}) == 1
    for each in page:
        desk.reviews.judge(each.id, "ann", Verdict.ACCEPT)
    assert len(desk.reviews.gold()) == 1


def test_rules_reviews_are_bounded(desk: Reviewing) -> None:
    """What is done goes first, then the oldest."""
    for number in range(12):
        name = f"rev_{number:02}"
        desk.reviews.demand(Demanded(name, f"dec_{number}", ("r",), "before", "acme", ""))
    desk.reviews.judge("rev_11", "ann", Verdict.ACCEPT)
    tidying_of(desk).tidy()
    left = sorted(each.id for each in desk.reviews.page(Wanted()))
    assert left == [f"rev_{number:02}" for number in range(1, 11)]


def test_an_answer_that_went_out_later_is_shown(desk: Reviewing) -> None:
    """The first time a rule held it back; the same question was answered since."""
    queue = queue_of(desk)
    held = {"review": {"id": "rev_1", "decision_id": "dec_1", "rules": ["r"], "when": "before"}}
    first = exchange(
        "q", decision_id="dec_1", trains=False, response="", target="none", details=held
    )
    desk.exchanges.take(first)
    later = {"review": {"id": "rev_2", "decision_id": "dec_2", "rules": ["r"], "when": "after"}}
    desk.exchanges.take(exchange("q", decision_id="dec_2", trains=False, details=later))
    queue.fill()
    found = desk.reviews.find("rev_2").exchange
    assert found is not None
    assert (found.response, found.target) == ("Within 30 days.", "frontier:vendor/large")
