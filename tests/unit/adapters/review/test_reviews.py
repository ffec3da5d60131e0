"""The queue: opened once, claimed by one, judged once each, taken back; what becomes gold."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData

from adapters.corpus.exchange import ExchangeState
from adapters.review.erasing import ReviewsOfPersons
from adapters.review.errors import (
    AlreadyJudged,
    BadAnswer,
    Held,
    NothingToUndo,
    UnknownExchange,
    UnknownReview,
)
from adapters.review.guidelines import Guidelines
from adapters.review.item import Candidate, Demanded, State
from adapters.review.listing import After, Wanted
from adapters.review.measuring import Measuring
from adapters.review.models import ReviewRow
from adapters.review.priority import Tier
from adapters.review.queue import Queue
from adapters.review.rows import MAX_VERDICTS
from adapters.review.verdicts import Outcome, Verdict
from tests.fakes.corpus import exchange
from tests.fakes.postgres import NewDatabase
from tests.fakes.reviewing import LOCK_S, Reviewing, reviewing

GIVEN = "Within 30 days."


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'flywheel.db'}"
    new: NewDatabase = request.getfixturevalue("postgres")
    return new()


@pytest.fixture
def desk(url: str) -> Iterator[Reviewing]:
    """One verdict settles."""
    with reviewing(url) as opened:
        yield opened


def test_migrations_and_models_agree(desk: Reviewing) -> None:
    """Autogenerate finds nothing left to do in this room's tables."""
    ours = MetaData(naming_convention=ReviewRow.metadata.naming_convention)
    for table in ReviewRow.metadata.sorted_tables:
        if table.name.startswith("review"):
            table.to_metadata(ours)

    def is_ours(name: str | None, kind: str, _: object) -> bool:
        return kind != "table" or str(name).startswith("review")

    with desk.store.read() as session:
        options = {"compare_type": True, "include_name": is_ours}
        context = MigrationContext.configure(session.connection(), opts=options)
        assert compare_metadata(context, ours) == []


def test_opening_twice_opens_one(desk: Reviewing) -> None:
    """More reasons, more candidates, a higher tier; the same review."""
    first = desk.asked("How?")
    found = desk.reviews.find(first)
    assert found.exchange_id is not None
    again = desk.reviews.open(
        found.exchange_id,
        ["escalated"],
        candidates=[Candidate("adapter:returns@0", "In 14 days.")],
        priority=Tier.STRUGGLED,
    )
    assert again == first
    found = desk.reviews.find(first)
    assert found.why == ("sampled", "escalated")
    assert found.tier == Tier.STRUGGLED
    assert [(each.source, each.answer) for each in found.candidates] == [
        ("adapter:returns@0", "In 14 days.")
    ]
    with pytest.raises(UnknownExchange):
        desk.reviews.open("exc_none", "sampled")
    with pytest.raises(UnknownReview):
        desk.reviews.find("rev_none")


def test_the_order_is_doubt_times_traffic_times_cost(desk: Reviewing) -> None:
    """What the frontier could not answer either goes before all of it."""
    dear = desk.asked("dear", confidence=0.5, cost_usd=0.02)
    sure = desk.asked("sure", confidence=0.99, cost_usd=0.02)
    often = desk.asked("often", confidence=0.5, cost_usd=0.005, count=10)
    cheap = desk.asked("cheap", confidence=0.5, cost_usd=0.005)
    hard = desk.asked("hard", confidence=0.9, cost_usd=0.001, signals=("refused",))
    other = desk.asked("other", intent="weather", cost_usd=1.0)
    page = desk.reviews.page(Wanted(state=State.OPEN, intent="returns"))
    assert [each.id for each in page] == [hard, often, dear, cheap, sure]
    assert [each.id for each in desk.reviews.page(Wanted(intent="weather"))] == [other]


def test_pages_show_each_item_once(desk: Reviewing) -> None:
    """Whatever their size, with equal weights too; what is done, newest first."""
    opened = {desk.asked(f"question {number}") for number in range(7)}
    for state in (State.OPEN, State.DONE):
        shown: list[str] = []
        after = None
        while page := desk.reviews.page(Wanted(state=state, limit=3, after=after)):
            shown += [each.id for each in page]
            after = After.of(page[-1])
        assert len(shown) == len(set(shown)) == 7
        assert set(shown) == opened
        for each in opened if state is State.OPEN else ():
            desk.reviews.judge(each, "ann", Verdict.ACCEPT)


def test_one_holds_an_item_until_the_claim_ends(desk: Reviewing) -> None:
    """Others are told who; the exchange is in review meanwhile."""
    item = desk.asked("How?")
    assert desk.state(item) == "captured"
    desk.reviews.claim(item, "ann")
    desk.reviews.claim(item, "ann")
    assert desk.state(item) == "in_review"
    assert desk.reviews.find(item).claimed_by == "ann"
    with pytest.raises(Held, match="ann"):
        desk.reviews.claim(item, "bob")
    with pytest.raises(Held, match="ann"):
        desk.reviews.release(item, "bob")
    with pytest.raises(Held, match="ann"):
        desk.reviews.judge(item, "bob", Verdict.ACCEPT)
    assert [each.id for each in desk.reviews.page(Wanted(state=State.CLAIMED))] == [item]
    assert desk.reviews.page(Wanted(state=State.OPEN)) == []
    desk.now += LOCK_S
    assert desk.reviews.find(item).state is State.OPEN
    desk.reviews.claim(item, "bob")
    desk.reviews.release(item, "bob")
    assert desk.state(item) == "captured"
    assert desk.told("review") == [
        (item, state) for state in ("open", "claimed", "claimed", "claimed", "open")
    ]


def test_a_verdict_settles_it_and_the_exchange_follows(desk: Reviewing) -> None:
    """Accepted, written, rejected, passed on."""
    for verdict, answer, state, outcome, done in [
        (Verdict.ACCEPT, None, "gold", Outcome.GOLD, State.DONE),
        (Verdict.EDIT, "In 14 days.", "gold", Outcome.GOLD, State.DONE),
        (Verdict.REJECT, None, "rejected", Outcome.REJECTED, State.DONE),
        (Verdict.ESCALATE, None, "in_review", None, State.OPEN),
    ]:
        item = desk.asked(f"{verdict.value}?")
        desk.reviews.judge(item, "ann", verdict, answer=answer, comment="as I think")
        found = desk.reviews.find(item)
        assert (desk.state(item), found.outcome, found.state) == (state, outcome, done)
        assert found.history[-1].comment == "as I think"
        with pytest.raises(AlreadyJudged):
            desk.reviews.judge(item, "ann", Verdict.ACCEPT)
        with pytest.raises(AlreadyJudged):
            desk.reviews.claim(item, "ann")
    gold = {each.messages[0]["content"]: each for each in desk.reviews.gold()}
    assert set(gold) == {"accept?", "edit?"}
    accepted, edited = gold["accept?"], gold["edit?"]
    assert (accepted.answer, accepted.provenance) == (GIVEN, "teacher")
    assert accepted.teacher == edited.teacher == "frontier:vendor/large"
    assert (edited.answer, edited.provenance) == ("In 14 days.", "human")
    assert accepted.reviewers == edited.reviewers == ("ann",)
    escalated = desk.reviews.page(Wanted(state=State.OPEN))[0]
    assert escalated.tier == Tier.ESCALATED


def test_undoing_takes_gold_back(desk: Reviewing) -> None:
    """And one may judge again; the history keeps both."""
    item = desk.asked("How?")
    desk.reviews.judge(item, "ann", Verdict.ACCEPT)
    assert desk.reviews.count_gold("returns") == 1
    with pytest.raises(NothingToUndo):
        desk.reviews.undo(item, "bob")
    desk.reviews.undo(item, "ann")
    assert desk.state(item) == "captured"
    assert desk.reviews.count_gold("returns") == len(desk.reviews.gold()) == 0
    with pytest.raises(NothingToUndo):
        desk.reviews.undo(item, "ann")
    desk.reviews.judge(item, "ann", Verdict.EDIT, answer="In 14 days.")
    found = desk.reviews.find(item)
    assert [(each.verdict, each.undone_at is None) for each in found.history] == [
        (Verdict.ACCEPT, False),
        (Verdict.EDIT, True),
    ]
    assert desk.reviews.gold()[0].answer == "In 14 days."
    told = [state for _, state in desk.told("exchange")]
    assert told == ["captured", "gold", "captured", "gold"]


def test_verdicts_that_differ_wait_for_a_third(desk: Reviewing) -> None:
    """A second opinion on what was done takes it out of gold."""
    item = desk.asked("How?")
    desk.reviews.judge(item, "ann", Verdict.ACCEPT)
    desk.reviews.claim(item, "bob")
    assert desk.state(item) == "gold"
    desk.reviews.judge(item, "bob", Verdict.EDIT, answer="In 14 days.")
    assert desk.state(item) == "in_review"
    assert desk.reviews.gold() == []
    assert desk.reviews.find(item).disputed
    desk.reviews.judge(item, "cleo", Verdict.ACCEPT, answer="in 14 days.")
    assert desk.state(item) == "gold"
    gold = desk.reviews.gold()[0]
    assert (gold.answer, gold.provenance) == ("In 14 days.", "verified")
    assert gold.reviewers == ("bob", "cleo")
    desk.reviews.undo(item, "cleo")
    assert desk.state(item) == "in_review"


def test_demonstrations_and_other_answers_are_candidates(desk: Reviewing) -> None:
    """They may be accepted; what nobody said may not."""
    details = {
        "demonstrations": ["Send them back.", {"role": "assistant", "content": "By post."}],
        "answers": [{"target": "base", "response": "Never."}, {"response": GIVEN}],
    }
    item = desk.asked("How?", details=details)
    found = desk.reviews.find(item)
    assert [(each.source, each.answer) for each in found.candidates] == [
        ("demonstration", "Send them back."),
        ("demonstration", "By post."),
        ("base", "Never."),
    ]
    for verdict, answer in [
        (Verdict.ACCEPT, "Perhaps."),
        (Verdict.EDIT, None),
        (Verdict.EDIT, "  "),
        (Verdict.REJECT, "No."),
        (Verdict.ESCALATE, "No."),
    ]:
        with pytest.raises(BadAnswer):
            desk.reviews.judge(item, "ann", verdict, answer=answer)
    desk.reviews.judge(item, "ann", Verdict.ACCEPT, answer="never.")
    gold = desk.reviews.gold()[0]
    assert (gold.answer, gold.provenance, gold.teacher) == ("Never.", "teacher", "base")
    assert gold.details is None


def test_an_answer_that_never_went_out_is_not_accepted(desk: Reviewing) -> None:
    """Somebody has to write one."""
    item = desk.asked("How?", response="")
    with pytest.raises(BadAnswer):
        desk.reviews.judge(item, "ann", Verdict.ACCEPT)
    desk.reviews.judge(item, "ann", Verdict.EDIT, answer="Like this.")
    assert [each.answer for each in desk.reviews.gold()] == ["Like this."]


def test_log_probabilities_stay_with_the_teachers_own_answer(desk: Reviewing) -> None:
    """They say nothing of another."""
    details = {"logprobs": [{"token": "a"}]}
    kept, lost = desk.asked("one", details=details), desk.asked("two", details=details)
    desk.reviews.judge(kept, "ann", Verdict.ACCEPT)
    desk.reviews.judge(lost, "ann", Verdict.EDIT, answer="Other.")
    found = {each.messages[0]["content"]: each.details for each in desk.reviews.gold()}
    assert found == {"one": details, "two": None}


def test_gold_is_selected(url: str) -> None:
    """By intent, tenant and the exchange's time; only where the tenant consents now."""
    withdrawn: set[str] = set()
    with reviewing(url, consents=lambda tenant: tenant not in withdrawn) as desk:
        for number, (intent, tenant) in enumerate([("a", "x"), ("a", "y"), ("b", "y")]):
            item = desk.asked(f"q{number}", intent=intent, tenant=tenant, at=100.0 + number)
            desk.reviews.judge(item, "ann", Verdict.ACCEPT)
        reviews = desk.reviews
        assert len(reviews.gold()) == 3
        assert [each.at for each in reviews.gold(["a"])] == [100.0, 101.0]
        assert [each.at for each in reviews.gold(["a"], ["y"])] == [101.0]
        assert [each.at for each in reviews.gold(since=101.0)] == [101.0, 102.0]
        assert reviews.count_gold() == 3
        assert reviews.count_gold("a") == 2
        assert reviews.count_gold("a", since=desk.now + 1) == 0
        withdrawn.add("y")
        assert [each.tenant for each in reviews.gold()] == ["x"]
        assert reviews.count_gold() == 1


def test_what_may_not_be_learnt_is_never_gold(desk: Reviewing) -> None:
    """Law 12: kept for a rule's review, without consent."""
    item = desk.asked("How?", trains=False)
    desk.reviews.judge(item, "ann", Verdict.EDIT, answer="In 14 days.")
    assert desk.reviews.find(item).state is State.DONE
    assert desk.state(item) == "captured"
    assert desk.reviews.gold() == []
    assert desk.reviews.count_gold() == 0


def test_an_exchange_that_goes_is_gold_no_more(desk: Reviewing) -> None:
    """Whatever is left of its review."""
    found, _ = desk.exchanges.take(exchange("How?", subjects=("s" * 64,)))
    item = desk.reviews.open(found, "sampled")
    desk.reviews.judge(item, "ann", Verdict.ACCEPT)
    assert desk.exchanges.by_state()[ExchangeState.GOLD.value] == 1
    desk.exchanges.erase("s" * 64)
    assert desk.reviews.gold() == []


def test_nobody_is_led_by_the_first_verdict(url: str) -> None:
    """Until he judged himself, a reader is not told what others said."""
    with reviewing(url, per_item=2) as desk:
        item = desk.asked("How?")
        desk.reviews.judge(item, "ann", Verdict.REJECT, comment="nonsense")
        found = desk.reviews.find(item)
        assert found.state is State.OPEN
        assert found.seen_by("ann").history[0].verdict is Verdict.REJECT
        hidden = found.seen_by("bob").history[0]
        assert (hidden.reviewer, hidden.verdict, hidden.comment) == ("ann", None, "")
        desk.reviews.judge(item, "bob", Verdict.ACCEPT)
        disputed = desk.reviews.find(item).seen_by("cleo")
        assert disputed.disputed
        assert [each.verdict for each in disputed.history] == [Verdict.REJECT, Verdict.ACCEPT]


def test_every_text_is_stored_on_every_database(desk: Reviewing) -> None:
    """PostgreSQL takes no NUL; what looks for one finds nothing."""
    item = desk.asked("How?")
    desk.reviews.open(
        desk.reviews.find(item).exchange_id or "", "x", candidates=[Candidate("a\0b", "c\0d")]
    )
    desk.reviews.judge(item, "ann\0", Verdict.EDIT, answer="one\0two", comment="three\0")
    assert desk.reviews.gold()[0].answer == "one\ufffdtwo"
    assert desk.reviews.find(item).candidates[0].answer == "c\ufffdd"
    guidelines = Guidelines(desk.store)
    guidelines.put("in\0tent", "te\0xt", "ann\0")
    assert guidelines.of("in\ufffdtent") == "te\ufffdxt"
    assert desk.reviews.page(Wanted(intent="\0")) == []
    assert Measuring(desk.store).agreement("\0").items == 0
    with pytest.raises(UnknownReview):
        desk.reviews.claim("\0", "ann")


def test_an_exchange_of_one_person_more_takes_its_review_along(desk: Reviewing) -> None:
    """The queue has not looked at it since: who erases her finds its review all the same."""
    first = desk.asked("How do I return a lamp?", subjects=("a" * 64,))
    desk.reviews.judge(first, "ann", Verdict.EDIT, answer="Not at all")
    desk.exchanges.take(exchange("how do i return a lamp", subjects=("b" * 64,)))
    persons = ReviewsOfPersons(desk.store, lambda name: name * 64)
    assert asyncio.run(persons.found("b")) == 1
    assert asyncio.run(persons.erase("b")) == 1
    with pytest.raises(UnknownReview):
        desk.reviews.find(first)
    assert asyncio.run(persons.erase("b")) == 0


def test_the_review_of_an_exchange_is_found_whoever_opened_it(desk: Reviewing) -> None:
    """A rule's has a name of its own; what measures reviewers is nobody's answer to that."""
    found, _ = desk.exchanges.take(exchange("Is it safe?", decision_id="dec_1"))
    assert desk.reviews.of_exchange(found) is None
    wanted = Demanded("rev_of_a_rule", "dec_1", ("looks",), "after", "acme", "returns")
    assert desk.reviews.demand(wanted)
    Queue(desk.parts).attach()
    by_rule = desk.reviews.of_exchange(found)
    assert by_rule is not None
    assert (by_rule.id, by_rule.state) == ("rev_of_a_rule", State.OPEN)


def test_who_judges_and_undoes_all_day_closes_an_item_to_nobody(desk: Reviewing) -> None:
    """What was taken back makes room, the oldest first; what stands does not."""
    review = desk.asked("How?")
    for number in range(MAX_VERDICTS):
        desk.reviews.judge(review, "eve", Verdict.REJECT, comment=str(number))
        desk.reviews.undo(review, "eve")
    desk.reviews.judge(review, "ann", Verdict.ACCEPT)
    found = desk.reviews.find(review)
    assert (found.state, found.outcome) == (State.DONE, Outcome.GOLD)
    assert len(found.history) == MAX_VERDICTS
    assert [found.history[0].comment, found.history[-1].reviewer] == ["1", "ann"]
