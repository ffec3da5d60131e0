"""Computes what test_train.py compares; prints it as JSON. ``train_script.py BASE``."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from adapters.distill import train
from adapters.distill.batches import laid_out
from adapters.distill.encode import Encoded
from adapters.distill.settings import Plan
from adapters.distill.train import Student

BASE = Path(sys.argv[1])
PLAN = Plan(
    rank=4, alpha=8.0, rate=1e-2, steps=10, batch_tokens=256, accumulation=1,
    target_modules="all-linear", max_length=64, patience=3, look_every=5, kl=0.0, packing=False,
    seed=7,
)  # fmt: skip
CHANCE = np.random.default_rng(0)
ROWS = [
    Encoded(tuple(int(i) for i in CHANCE.integers(5, 2000, length)), start, f"{length}", "0" * 64)
    for length, start in ((12, 4), (30, 20), (7, 3), (18, 17))
]


def _student(plan: Plan = PLAN) -> Student:
    made = Student(BASE)
    made.prepare(plan)
    # A new LoRA does nothing: give it something to be told apart by.
    chance = np.random.default_rng(1)
    made.set_weights(
        {name: chance.normal(size=w.shape).astype("f") * 0.1 for name, w in made.weights().items()}
    )
    return made


def _apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


def _after(batches: list[Any], plan: Plan = PLAN, steps: int = 1) -> Student:
    made = _student(plan)
    for _ in range(steps):
        made.step(batches, plan.rate, plan.kl)
    return made


def _by_transformers(made: Student) -> float:
    total, tokens = 0.0, 0
    with torch.no_grad():
        for row in ROWS:
            ids = torch.tensor([row.ids])
            labels = ids.clone()
            labels[:, : row.start] = -100
            total += float(made._lora(input_ids=ids, labels=labels).loss) * row.trained
            tokens += row.trained
    return total / tokens


def _of_a_scaling_model() -> bool:
    """A base whose head caps its logits, as Gemma's and Granite's do."""
    made = Student(BASE)
    whole = type(made._model).forward

    def scaled(self: Any, *args: Any, **more: Any) -> Any:
        out = whole(self, *args, **more)
        out.logits = out.logits / 3
        return out

    type(made._model).forward = scaled
    try:
        made.prepare(PLAN)
        return made._short
    finally:
        type(made._model).forward = whole


def _second_choice(kl: float) -> float:
    """Probability of the teacher's second choice after some steps on one answer."""
    row = Encoded((10, 11, 12), 2, "g", "0" * 64, teacher=({12: 0.6, 99: 0.4},))
    made = _after([laid_out([row])], replace(PLAN, kl=kl), steps=30)
    with torch.no_grad():
        logits = made._lora(input_ids=torch.tensor([[10, 11]])).logits[0, -1]
        return float(torch.softmax(logits, -1)[99])


def _distance_from_itself() -> float:
    """The part of the loss that is the distance, for a teacher that is the student."""
    made = _student()
    with torch.no_grad():
        logits = made._lora(input_ids=torch.tensor([[10, 11]])).logits[0, -1]
        top = torch.softmax(logits, -1).topk(5)
    own = dict(zip(top.indices.tolist(), top.values.tolist(), strict=True))
    row = Encoded((10, 11, 12), 2, "g", "0" * 64, teacher=(own,))
    with torch.no_grad():
        return float(made._loss(laid_out([row]), 1.0))


def _parents() -> tuple[float, float]:
    parent = _after([laid_out(ROWS)], steps=5)
    with tempfile.TemporaryDirectory() as folder:
        parent.save(Path(folder), "tiny", "F32")
        child = Student(BASE)
        child.prepare(PLAN, Path(folder))
    anew = Student(BASE)
    anew.prepare(PLAN)
    wanted = parent.weights()
    return _apart(wanted, child.weights()), _apart(wanted, anew.weights())


def _in_bfloat16() -> tuple[float, float]:
    """The loss of a base that is held in bfloat16, before and after some steps."""
    train._HALF_FROM = 0  # type: ignore[misc]
    try:
        made = _student()
    finally:
        train._HALF_FROM = 50_000_000  # type: ignore[misc]
    assert made._model.dtype == (torch.bfloat16 if made._half else torch.float32)
    batches = [laid_out(ROWS)]
    before = made.measure(batches)
    for _ in range(20):
        made.step(batches, PLAN.rate, 0.0)
    return before, made.measure(batches)


def _main() -> None:
    made = _student()
    one_by_one = [laid_out([row]) for row in ROWS]
    packed = laid_out(ROWS, packed=True)
    blind = replace(packed, segments=None, positions=np.arange(packed.ids.size)[None])
    parent, anew = _parents()
    before, after = _in_bfloat16()
    print(  # noqa: T201
        json.dumps(
            {
                "alone": made.measure(one_by_one),
                "padded": made.measure([laid_out(ROWS)]),
                "packed": made.measure([packed]),
                "neighbour_matters_without_mask": abs(
                    made.measure([blind]) - made.measure(one_by_one)
                ),
                "transformers": _by_transformers(made),
                "packed_weights_apart": _apart(
                    _after([packed]).weights(), _after(one_by_one).weights()
                ),
                "accumulated_weights_apart": _apart(
                    _after(one_by_one).weights(), _after([laid_out(ROWS)]).weights()
                ),
                "shortcut": made._short,
                "shortcut_of_a_scaling_model": _of_a_scaling_model(),
                "second_choice_with": _second_choice(0.9),
                "second_choice_without": _second_choice(0.0),
                "distance_from_itself": _distance_from_itself(),
                "parent_apart": parent,
                "anew_apart": anew,
                "in_bfloat16": before,
                "in_bfloat16_trained": after,
            }
        )
    )


if __name__ == "__main__":
    _main()
