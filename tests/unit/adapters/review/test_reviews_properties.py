"""Whatever several reviewers do, in whatever order: the queue keeps its promises.

A model says what must be true after each step; the queue runs on a real database.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from adapters.review.errors import AlreadyJudged, Held, NothingToUndo, ReviewError
from adapters.review.item import State
from adapters.review.listing import Wanted
from adapters.review.queue import Queue
from adapters.review.tidying import Tidying
from adapters.review.verdicts import Judgement, Outcome, Verdict, standing
from tests.fakes.reviewing import LOCK_S, Reviewing, reviewing

_NAMES = st.sampled_from(["ann", "bob", "cleo", "dan"])
_ITEMS = st.integers(0, 2)
_ANSWERS = st.sampled_from(["One.", "Two.", "one."])
_VERDICTS = st.sampled_from(list(Verdict))


@dataclass
class Model:
    """What is known of one item."""

    holder: str | None = None
    until: float = 0.0
    said: dict[str, Judgement] = field(default_factory=dict)

    def held_against(self, name: str, now: float) -> bool:
        """Whether somebody else has it."""
        return self.holder not in {None, name} and self.until > now


class Queues(RuleBasedStateMachine):
    """Three items, four reviewers, two verdicts each."""

    per_item = 2

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        directory = self.stack.enter_context(tempfile.TemporaryDirectory())
        url = f"sqlite:///{Path(directory) / 'flywheel.db'}"
        self.desk: Reviewing = self.stack.enter_context(reviewing(url, per_item=self.per_item))
        self.items: list[str] = []
        self.models: list[Model] = []

    def teardown(self) -> None:
        """Close the database."""
        self.stack.close()

    @initialize()
    def open_some(self) -> None:
        """Each of another question."""
        self.items = [self.desk.asked(f"question {number}") for number in range(3)]
        self.models = [Model() for _ in self.items]
        parts = self.desk.parts
        self.queue, self.tidying = Queue(parts), Tidying(parts)

    @rule(item=_ITEMS, name=_NAMES)
    def claim(self, item: int, name: str) -> None:
        """Only of what nobody else holds and one has not judged."""
        model = self.models[item]
        wrong = self._wrong(model, name, judged=AlreadyJudged)
        self._do(lambda: self.desk.reviews.claim(self.items[item], name), wrong)
        if wrong is None:
            model.holder, model.until = name, self.desk.now + LOCK_S

    @rule(item=_ITEMS, name=_NAMES)
    def release(self, item: int, name: str) -> None:
        """Only of what nobody else holds."""
        model = self.models[item]
        wrong = Held if model.held_against(name, self.desk.now) else None
        self._do(lambda: self.desk.reviews.release(self.items[item], name), wrong)
        if wrong is None:
            model.holder = None

    @rule(item=_ITEMS, name=_NAMES, verdict=_VERDICTS, answer=_ANSWERS)
    def judge(self, item: int, name: str, verdict: Verdict, answer: str) -> None:
        """Once each; the claim ends."""
        model = self.models[item]
        wrong = self._wrong(model, name, judged=AlreadyJudged)
        text = answer if verdict is Verdict.EDIT else None
        self._do(
            lambda: self.desk.reviews.judge(self.items[item], name, verdict, answer=text), wrong
        )
        if wrong is None:
            given = {Verdict.EDIT: answer, Verdict.ACCEPT: "Within 30 days."}.get(verdict, "")
            source = "frontier:vendor/large" if verdict is Verdict.ACCEPT else ""
            model.said[name] = Judgement(name, verdict, given, self.desk.now, source)
            model.holder = None

    @rule(item=_ITEMS, name=_NAMES)
    def undo(self, item: int, name: str) -> None:
        """Only one's own."""
        model = self.models[item]
        wrong = None if name in model.said else NothingToUndo
        self._do(lambda: self.desk.reviews.undo(self.items[item], name), wrong)
        model.said.pop(name, None)

    @rule(name=_NAMES)
    def take_next(self, name: str) -> None:
        """Something that nobody else holds, if there is such."""
        taken = self.desk.reviews.next(name)
        if taken is None:
            return
        model = self.models[self.items.index(taken)]
        assert name not in model.said
        assert not model.held_against(name, self.desk.now - 1)
        model.holder, model.until = name, self.desk.now + LOCK_S

    @rule()
    def wait(self) -> None:
        """Until every claim has ended."""
        self.desk.now += LOCK_S
        for model in self.models:
            model.holder = None

    @rule()
    def tidy(self) -> None:
        """As it is done in the background."""
        self.tidying.tidy()
        self.queue.fill()

    @invariant()
    def all_is_as_it_was_said(self) -> None:
        """State, outcome, exchange and gold follow from the verdicts that stand."""
        gold = {each.exchange_id: each for each in self.desk.reviews.gold()}
        for item, model in zip(self.items, self.models, strict=True):
            found = self.desk.reviews.find(item)
            comes_to = standing(model.said.values(), self.per_item)
            assert found.outcome == comes_to.outcome
            assert (found.answer or "") == comes_to.answer
            held = model.holder is not None and model.until > self.desk.now
            assert found.claimed_by == (model.holder if held else None)
            done = State.DONE if comes_to.outcome else State.OPEN
            assert found.state is (State.CLAIMED if held else done)
            assert found.exchange is not None
            state = found.exchange.state.value
            if comes_to.outcome is Outcome.GOLD:
                assert state == "gold"
                assert gold[found.exchange.id].answer == comes_to.answer
                assert gold[found.exchange.id].reviewers == comes_to.reviewers
            elif comes_to.outcome is Outcome.REJECTED:
                assert state == "rejected"
            elif held or model.said:
                assert state == "in_review"
            else:
                assert state in {"captured", "in_review"}  # until the next tidying
            assert (found.exchange.id in gold) == (comes_to.outcome is Outcome.GOLD)
        shown = [each.id for each in self.desk.reviews.page(Wanted())]
        assert sorted(shown) == sorted(self.items)

    def _wrong(
        self, model: Model, name: str, judged: type[ReviewError]
    ) -> type[ReviewError] | None:
        if model.held_against(name, self.desk.now):
            return Held
        return judged if name in model.said else None

    @staticmethod
    def _do(act: Callable[[], Any], wrong: type[ReviewError] | None) -> None:
        if wrong is None:
            act()
            return
        with pytest.raises(wrong):
            act()


class OneVerdict(Queues):
    """One settles."""

    per_item = 1


_SETTINGS = settings(
    max_examples=8,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestQueues = Queues.TestCase
TestQueues.settings = _SETTINGS
TestOneVerdict = OneVerdict.TestCase
TestOneVerdict.settings = _SETTINGS
