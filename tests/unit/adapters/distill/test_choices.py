"""What a training chooses by itself: settings, what to hold out, which trial won."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from adapters.distill.encode import Encoder
from adapters.distill.job import Example, JobError
from adapters.distill.lessons import lessons
from adapters.distill.search import best, trials
from adapters.distill.settings import Sizes, TrainingSettings, planned

SIZES = Sizes(
    parameters=3_700_000, window=2048, examples=200, tokens=10_000, max_rank=16, on_gpu=False
)


class Words:
    """A tokenizer of words with the plainest template."""

    all_special_tokens = ("</s>",)
    eos_token_id = 1

    def __init__(self) -> None:
        self._known: dict[str, int] = {"</s>": 1}

    def __call__(self, text: str, **_: object) -> dict[str, list[int]]:
        words = text.split()
        return {"input_ids": [self._known.setdefault(w, len(self._known) + 1) for w in words]}

    def apply_chat_template(
        self, conversation: list[dict[str, str]], **options: object
    ) -> list[int]:
        text = " ".join(f"{m['role']} {m['content']} </s>" for m in conversation)
        opened = " assistant" if options["add_generation_prompt"] else ""
        return self(text + opened)["input_ids"]

    def convert_ids_to_tokens(self, ids: object, **_: object) -> object:
        return ids


def _examples(questions: list[str]) -> list[Example]:
    return [
        Example(digest=f"{n:064x}", messages=({"role": "user", "content": q},), answer="Yes.")
        for n, q in enumerate(questions)
    ]


def _encoder() -> Encoder:
    return Encoder(Words(), {1}, 64)


def test_a_question_is_on_one_side() -> None:
    """With other numbers in it, it is the same question."""
    kinds = [f"what about {word} {{n}}" for word in "abcdefghij"]
    rows = _examples([kind.format(n=n) for kind in kinds for n in range(6)])
    found = lessons(_encoder(), rows, 0.2, seed=3)
    assert len(found.train) + len(found.held_out) == 60
    assert 12 <= len(found.held_out) <= 18
    assert not {row.group for row in found.train} & {row.group for row in found.held_out}
    other = lessons(_encoder(), rows, 0.2, seed=4)
    assert {row.group for row in other.held_out} != {row.group for row in found.held_out}
    again = lessons(_encoder(), rows, 0.2, seed=3)
    assert again.held_out == found.held_out


def test_too_few_to_hold_any_out() -> None:
    """Everything is trained, and the notes say that nothing judges it."""
    found = lessons(_encoder(), _examples([f"about {w}" for w in "abc"]), 0.1, seed=1)
    assert (len(found.train), len(found.held_out)) == (3, 0)
    assert any("no early stopping" in note for note in found.notes)


def test_one_question_is_not_held_out_whole() -> None:
    """A group that is nearly everything stays in training."""
    rows = _examples([f"the same {n}" for n in range(50)] + [f"about {w}" for w in "abcdefgh"])
    found = lessons(_encoder(), rows, 0.1, seed=1)
    assert len(found.train) >= 50
    assert found.held_out


def test_what_is_left_out_is_counted_and_nothing_left_is_an_error() -> None:
    """By reason."""
    rows = _examples(["fine", "not </s> fine", "x " * 90])
    found = lessons(_encoder(), rows, 0, seed=1)
    assert len(found.train) == 1
    assert sorted(found.notes) == [
        "1 left out: a text spells out a special token",
        "1 left out: longer than 64 tokens",
    ]
    with pytest.raises(JobError, match="nothing to train on; 1 left out: a text"):
        lessons(_encoder(), rows[1:2], 0, seed=1)


def test_defaults_follow_size_and_data() -> None:
    """A larger base gets a lower rate; more rows more steps; the rank is one that is served."""
    tiny = planned(TrainingSettings(), SIZES)
    large = planned(
        TrainingSettings(), replace(SIZES, parameters=7_000_000_000, on_gpu=True, max_rank=64)
    )
    assert large.rate < tiny.rate
    assert large.packing
    assert not tiny.packing
    more = planned(TrainingSettings(), replace(SIZES, tokens=50_000))
    assert more.steps > tiny.steps
    assert planned(TrainingSettings(rank=512), SIZES).rank == 16
    assert planned(TrainingSettings(steps=3), SIZES).steps == 3
    assert planned(TrainingSettings(max_length=9999), SIZES).max_length == 2048


def test_trials_are_neighbours_and_the_best_one_wins() -> None:
    """None twice, none with a rank that is not served, and the default is among them."""
    plan = planned(TrainingSettings(rank=16), SIZES)
    tried = trials(plan, 4, max_rank=16)
    assert len(tried) == 4
    assert (tried[0].rate, tried[0].rank) == (plan.rate, plan.rank)
    assert all(trial.rank == 16 and trial.steps < plan.steps for trial in tried)
    assert len({(trial.rate, trial.rank) for trial in tried}) == 4
    found: list[dict[str, Any]] = [
        {"rate": t.rate, "rank": t.rank, "alpha": t.alpha, "validation_loss": loss}
        for t, loss in zip(tried, (2.0, 1.0, 3.0, 4.0), strict=True)
    ]
    winner = best(plan, found)
    assert winner.rate == tried[1].rate
    assert winner.steps == plan.steps
    assert best(plan, []) == plan
    found[1]["validation_loss"] = None
    assert best(plan, found).rate == tried[0].rate, "one that diverged is never the best"
    assert best(plan, [found[1]]) == plan
