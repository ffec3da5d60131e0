"""Routing before and after generation together, simulated on GSM8K's recorded answers.

A router that knows what a good answer is worth (V) asks the strong model at once where
(q_strong - q_weak) V is above what it costs more (``benchmarks.routing.product``). Otherwise the
weak model answers, its answer is judged, and the strong one is asked after all where
(q_strong - P) V is above its cost. P is how likely the answer is right, given what is seen of it.

The file has no token probabilities of the weak model, so P comes from elsewhere, in three ways:

* by SmolLM2's token probabilities of the recorded answers (``benchmarks.routing.confidence``),
  scored as a router scores an answer's own (``router.judge.scorer``) together with q_weak, out of
  fold.
* by the embedded encoder: the same heads, fitted to the vectors of problem and recorded answer and
  to the answer's lengths and numbers, out of fold. It is real evidence from the real answers.
* simulated: a score that is N(d, 1) for right answers and N(0, 1) for wrong ones, d for a given
  AUROC, turned into P by Bayes' rule from q_weak. That is what a calibrated confidence of such a
  quality would bring; token probabilities are usually somewhere among these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from benchmarks.routing.data import Problem
from benchmarks.routing.intents import auroc
from benchmarks.routing.prehoc import QUALITY, RESAMPLES, divided
from benchmarks.routing.product import WEAK, Weighed, known, weighed
from router.choose.heads import Outcome, fitted
from router.hardness import ANY
from router.judge import scorer

_SIMULATED = (0.65, 0.75, 0.85)
_WORTHS = 400

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Together:
    """One kind of evidence: the share of strong calls at 95 % of the strong model's quality."""

    name: str
    auroc: float
    """Of right against wrong answers of the weak model."""
    share: float
    low: float
    high: float
    at_once: float
    """Of all problems, those that go to the strong model without an answer of the weak one."""


def table(
    problems: list[Problem],
    vectors: NDArray[np.float32],
    answers: NDArray[np.float32],
    confidence: Floats | None = None,
    seed: int = 0,
) -> Iterator[Together]:
    """A row for no evidence, for that of embedded models, and for each simulated one."""
    weak, strong, fold, rng = divided(problems, seed)
    expected, _ = weighed(problems, vectors, fold)
    samples = rng.multinomial(len(weak), np.full(len(weak), 1 / len(weak)), RESAMPLES)
    sure: dict[str, Floats] = {
        "none: before generation alone": expected.weak,
        "the encoder's, of problem and answer": _read(problems, vectors, answers, fold),
    }
    if confidence is not None:
        sure["SmolLM2's, of the answer"] = _scored(expected.weak, confidence, weak, fold)
    for area in _SIMULATED:
        sure[f"simulated, AUROC {area}"] = _simulated(expected.weak, weak, area, rng)
    for name, chance in sure.items():
        area = auroc(chance[weak > 0], chance[weak <= 0])
        yield _row(name, area, expected, chance, (weak, strong), samples)


def _row(
    name: str,
    area: float,
    expected: Weighed,
    sure: Floats,
    outcomes: tuple[Floats, Floats],
    samples: NDArray[np.integer],
) -> Together:
    weak, strong = outcomes
    worths = np.geomspace(1e-4, 1e2, _WORTHS)[:, np.newaxis]
    at_once = (expected.strong - expected.weak) * worths > expected.extra_usd
    after = (expected.strong - sure) * worths > expected.extra_usd
    asked = at_once | after
    good = np.where(asked, strong, weak)
    share, place = _needed(asked, good, strong, np.ones((1, len(weak))))
    shares, _ = _needed(asked, good, strong, samples)
    low, high = np.percentile(shares, [2.5, 97.5])
    return Together(
        name, area, float(share[0]), float(low), float(high), float(at_once[place[0]].mean())
    )


def _needed(
    asked: NDArray[np.bool_], good: Floats, strong: Floats, weights: NDArray[np.number]
) -> tuple[Floats, NDArray[np.intp]]:
    """By sample: the least share of strong calls that reaches the quality, and at which worth."""
    total = weights.sum(axis=1)
    shares = weights @ asked.T / total[:, np.newaxis]
    reached = weights @ good.T >= QUALITY * (weights @ strong)[:, np.newaxis] - 1e-9
    shares = np.where(reached, shares, 1.0)
    place = shares.argmin(axis=1)
    return shares[np.arange(len(weights)), place], place


def _read(
    problems: list[Problem],
    vectors: NDArray[np.float32],
    answers: NDArray[np.float32],
    fold: NDArray[np.integer],
) -> Floats:
    """How likely each recorded answer is right, by heads that have not seen the problem."""
    both, found = np.hstack([vectors, answers]), np.zeros(len(problems))
    for number in np.unique(fold):
        outcomes = [
            Outcome(problem.text, vector, known(problem.answer), WEAK, float(problem.weak))
            for problem, vector, of in zip(problems, both, fold, strict=True)
            if of != number
        ]
        model, _ = fitted(outcomes, "benchmark", both.shape[1])
        level = model.levels[WEAK, ANY]
        for place in np.flatnonzero(fold == number):
            hardness = model.judge(both[place], known(problems[place].answer))
            found[place] = hardness.applied(WEAK, level.good / level.judged)
    return found


def _scored(prior: Floats, confidence: Floats, right: Floats, fold: NDArray[np.integer]) -> Floats:
    """The judge's score of token probabilities and of what was expected before."""
    rows = np.column_stack([confidence, np.log(prior / (1 - prior))])
    found = np.zeros(len(right))
    for number in np.unique(fold):
        held = fold == number
        score = scorer.fit(rows[~held], right[~held]).score
        found[held] = [1 / (1 + np.exp(-score(tuple(row)))) for row in rows[held]]
    return found


def _simulated(prior: Floats, right: Floats, area: float, rng: np.random.Generator) -> Floats:
    """A calibrated confidence whose score alone has this AUROC."""
    apart = np.sqrt(2) * NormalDist().inv_cdf(area)
    score = rng.normal(size=len(right)) + apart * right
    logits = np.log(prior / (1 - prior)) + apart * score - apart**2 / 2
    found: Floats = 1 / (1 + np.exp(-logits))
    return found
