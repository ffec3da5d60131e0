"""Routing before and after generation together, on GSM8K's recorded answers, by the router's rule.

The weak model answers, its answer is judged, and the strong one is asked after all where a router
with this worth of a good answer would ask it (``router.judge.standard``): where (q_strong - P) V is
above what it costs. V is the worth, P how likely this answer is right, given what is seen of it and
what was expected before, q_strong what the router expects (``benchmarks.routing.product``). Or else
the strong model is asked at once where that pays before anything was answered, and the rest is
judged: that saves waiting for an answer that is thrown away, and sees less.

The file has no token probabilities of the weak model, so P comes from elsewhere, in three ways:

* by SmolLM2's token probabilities of the recorded answers (``benchmarks.routing.confidence``), as a
  router that was told how good the other folds' answers were makes P of an answer's own
  probabilities and of what was expected (``router.judge.calibration``).
* by the embedded encoder: heads fitted to the vectors of problem and recorded answer and to the
  answer's lengths and numbers, out of fold. It is real evidence from the real answers.
* simulated: a score that is N(d, 1) for right answers and N(0, 1) for wrong ones, d for a given
  AUROC, turned into P by Bayes' rule from q_weak. That is what a calibrated confidence of such a
  quality would bring; token probabilities are usually somewhere among these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.routing.data import Problem
from benchmarks.routing.intents import auroc
from benchmarks.routing.prehoc import QUALITY, RESAMPLES, divided
from benchmarks.routing.product import WEAK, Weighed, known, weighed
from router.choose.heads import Outcome, fitted
from router.hardness import ANY
from router.judge.calibration import Calibration
from router.judge.logprobs import Features
from router.judge.standard import Standard

_SIMULATED = (0.65, 0.75, 0.85)
_WORTHS = 1500

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Together:
    """One kind of evidence: the share of strong calls at 95 % of the strong model's quality."""

    name: str
    auroc: float
    """Of right against wrong answers of the weak model."""
    share: float
    """When the weak model always answers first."""
    low: float
    high: float
    with_at_once: float
    """When the strong model is asked at once where that pays before anything was answered."""
    at_once: float
    """Of all problems, those that then go to it without an answer of the weak one."""
    decided: float
    """The share, decided one by one by a router with the worth that ``share`` needs."""


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
    usd, may = expected.strong_usd, expected.strong >= expected.weak
    at_once_gain, gain = expected.strong - expected.weak, expected.strong - sure
    worths = _worths((expected.extra_usd, at_once_gain), (usd, np.where(may, gain, 0.0)))
    at_once = at_once_gain * worths >= expected.extra_usd
    after = (gain * worths > usd) & may
    whole = np.ones((1, len(weak)))
    share, chosen = _needed(after, weak, strong, whole)
    low, high = np.percentile(_needed(after, weak, strong, samples)[0], [2.5, 97.5])
    both, place = _needed(at_once | after, weak, strong, whole)
    standard = Standard(worth_usd=float(worths[chosen[0], 0]))
    return Together(
        name,
        area,
        float(share[0]),
        float(low),
        float(high),
        float(both[0]),
        float(at_once[place[0]].mean()),
        _decided(standard, expected, sure),
    )


def _decided(standard: Standard, expected: Weighed, sure: Floats) -> float:
    """Share of problems whose answer is not good enough for a router that demands this."""
    remedies = (
        standard.remedies(weak, float(chance), [strong])
        for (weak, strong), chance in zip(expected.options, sure, strict=True)
    )
    return sum(bool(found) for found in remedies) / len(sure)


def _worths(*weighed: tuple[Floats, Floats]) -> Floats:
    """Where somebody's decision changes, by cost and gain, thinned out; a column."""
    changes = np.sort(np.concatenate([cost[gain > 0] / gain[gain > 0] for cost, gain in weighed]))
    picked = np.linspace(0, len(changes) - 1, min(_WORTHS, len(changes))).astype(int)
    found: Floats = changes[picked][:, np.newaxis] * (1 + 1e-12)
    return found


def _needed(
    asked: NDArray[np.bool_], weak: Floats, strong: Floats, weights: NDArray[Any]
) -> tuple[Floats, NDArray[np.intp]]:
    """By sample: the least share of strong calls that reaches the quality, and at which worth."""
    good = np.where(asked, strong, weak).astype(np.float32)
    counted = weights.astype(np.float32)
    shares = counted @ asked.T.astype(np.float32) / counted.sum(axis=1, keepdims=True)
    enough = QUALITY * (counted @ strong.astype(np.float32))[:, np.newaxis] - 1e-3
    shares = np.where(counted @ good.T >= enough, shares, 1.0)
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
    """P as a router makes it, which was told how good the other folds' answers were."""
    found = np.zeros(len(right))
    features = [Features(1, *map(float, row)) for row in confidence]
    for number in np.unique(fold):
        told = Calibration()
        for place in np.flatnonzero(fold != number):
            told.judge(ANY, WEAK, features[place], float(right[place]), float(prior[place]))
        told.refit_now()
        for place in np.flatnonzero(fold == number):
            found[place], _ = told.probability(ANY, WEAK, features[place], float(prior[place]))
    return found


def _simulated(prior: Floats, right: Floats, area: float, rng: np.random.Generator) -> Floats:
    """A calibrated confidence whose score alone has this AUROC."""
    apart = np.sqrt(2) * NormalDist().inv_cdf(area)
    score = rng.normal(size=len(right)) + apart * right
    logits = np.log(prior / (1 - prior)) + apart * score - apart**2 / 2
    found: Floats = 1 / (1 + np.exp(-logits))
    return found
