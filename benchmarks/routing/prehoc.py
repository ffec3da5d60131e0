"""RouteLLM's GSM8K outcomes: what routing before generation saves, and what it cannot.

Each problem has a weak and a strong model's outcome. A router orders the problems by how much it
would gain from the strong model; the share that must go there to reach 95 % of the strong model's
accuracy is its cost. Scores are cross-validated: no problem is scored by a fit that saw it.

What is measured is the router's own ranking (``benchmarks.routing.product``), in both orders that
it has. By the weak model's expected failure is what a risk bound does. By the expected gain, which
is what the worth of a good answer does, the problems that neither solves stay with the weak model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.routing.data import Problem
from benchmarks.routing.product import (
    STRONG_PRICE,
    WEAK_PRICE,
    chooser,
    to_strong,
    weighed,
)

FOLDS = 5
_NEAREST = 40
KNN = f"kNN ({_NEAREST}) on the embedding"
KNN_GAIN = f"kNN ({_NEAREST}), by expected gain"
BY_WORTH = "the router, by what a good answer is worth"
BY_RISK = "the router, by a bound on the error"
_PEERS = {BY_RISK: KNN, BY_WORTH: KNN_GAIN}
"""Each with kNN in the same order."""
COMPARED = (BY_WORTH, BY_RISK, KNN_GAIN, KNN)
RESAMPLES = 1000
QUALITY = 0.95

Floats = NDArray[np.floating]


@dataclass
class Row:
    """One router: share of strong calls at 95 % of the strong model's quality, and APGR."""

    name: str
    share: float
    low: float
    high: float
    cost: float
    apgr: float
    against_knn: tuple[float, ...] = ()
    """95 % interval of the share less that of kNN in the same order; negative: fewer calls."""


def table(problems: list[Problem], vectors: NDArray[np.float32], seed: int = 0) -> list[Row]:
    """Every router's row, with a 95 % bootstrap interval over problems."""
    weak, strong, fold, rng = divided(problems, seed)
    expected, _ = weighed(problems, vectors, fold)
    near = [_out_of_fold(vectors, outcomes, fold) for outcomes in (weak, strong)]
    scores: dict[str, Floats] = {
        "oracle": strong - weak + 0.5 * strong,
        BY_WORTH: expected.worth,
        BY_RISK: -expected.weak,
        KNN_GAIN: near[0] - near[1],
        KNN: near[0],
        "random": rng.random(len(problems)),
    }
    samples = rng.integers(0, len(problems), (RESAMPLES, len(problems)))
    rows = [_row(name, score, weak, strong, samples) for name, score in scores.items()]
    for row in rows:
        peer = _PEERS.get(row.name)
        if peer is not None:
            fewer = _resampled(scores[row.name], weak, strong, samples)
            fewer = fewer - _resampled(scores[peer], weak, strong, samples)
            row.against_knn = tuple(map(float, np.percentile(fewer, [2.5, 97.5])))
    return [*rows, Row("always the strong model", 1.0, 1.0, 1.0, 1.0, float("nan"))]


def divided(
    problems: list[Problem], seed: int
) -> tuple[Floats, Floats, NDArray[np.integer], np.random.Generator]:
    """Outcomes of the weak and the strong model, the fold of each problem, and more chance."""
    weak = np.array([p.weak for p in problems], float)
    strong = np.array([p.strong for p in problems], float)
    rng = np.random.default_rng(seed)
    return weak, strong, rng.permutation(len(problems)) % FOLDS, rng


@dataclass(frozen=True)
class AsDecided:
    """What a router with this worth of a good answer did: no score, only its decisions."""

    worth_usd: float
    share: float
    quality: float
    """Over that of the strong model alone."""


def as_decided(problems: list[Problem], vectors: NDArray[np.float32], seed: int = 0) -> AsDecided:
    """Decisions at the worth that the order needs for 95 %, taken one by one."""
    weak, strong, fold, _ = divided(problems, seed)
    expected, looked = weighed(problems, vectors, fold)
    count = round(_share(expected.worth, weak, strong, random=False) * len(problems))
    last = np.sort(expected.worth)[::-1][max(0, count - 1)]
    worth_usd = float(1.0 / last) * (1 + 1e-9) if last > 0 else 1e9
    asked = to_strong(problems, looked, chooser(worth_usd=worth_usd))
    reached = np.where(asked, strong, weak).mean() / strong.mean()
    return AsDecided(worth_usd, float(asked.mean()), float(reached))


def _resampled(
    score: Floats, weak: Floats, strong: Floats, samples: NDArray[np.intp], *, random: bool = False
) -> Floats:
    """The share on every bootstrap sample; samples are the same for all routers, so they pair."""
    return np.array([_share(score[s], weak[s], strong[s], random=random) for s in samples])


def accuracies(problems: list[Problem]) -> tuple[float, float, float]:
    """Of the weak model, the strong one, and the better of both on each problem."""
    weak = np.array([p.weak for p in problems])
    strong = np.array([p.strong for p in problems])
    return float(weak.mean()), float(strong.mean()), float((weak | strong).mean())


def _row(name: str, score: Floats, weak: Floats, strong: Floats, samples: NDArray[np.intp]) -> Row:
    random = name == "random"
    share = _share(score, weak, strong, random=random)
    low, high = np.percentile(_resampled(score, weak, strong, samples, random=random), [2.5, 97.5])
    cost = (share * STRONG_PRICE + (1 - share) * WEAK_PRICE) / STRONG_PRICE
    return Row(
        name, share, float(low), float(high), cost, _apgr(score, weak, strong, random=random)
    )


def _curve(score: Floats, weak: Floats, strong: Floats, *, random: bool) -> Floats:
    """Accuracy when the 0, 1, … n problems with the highest score go to the strong model."""
    if random:  # its expectation: a straight line
        return np.linspace(weak.mean(), strong.mean(), len(weak) + 1)
    order = np.argsort(-score, kind="stable")
    gained = np.concatenate([[0.0], np.cumsum((strong - weak)[order])])
    curve: Floats = weak.mean() + gained / len(weak)
    return curve


def _share(score: Floats, weak: Floats, strong: Floats, *, random: bool) -> float:
    curve = _curve(score, weak, strong, random=random)
    return float(np.argmax(curve >= QUALITY * strong.mean() - 1e-12) / len(weak))


def _apgr(score: Floats, weak: Floats, strong: Floats, *, random: bool) -> float:
    """Average performance gap recovered: area under the curve from weak (0) to strong (1)."""
    curve = _curve(score, weak, strong, random=random)
    return float(((curve - weak.mean()) / (strong.mean() - weak.mean())).mean())


def _out_of_fold(
    features: NDArray[np.float32], outcomes: Floats, fold: NDArray[np.integer]
) -> Floats:
    """How likely a model with these outcomes fails, by neighbours of other folds."""
    out = np.zeros(len(outcomes))
    for index in range(FOLDS):
        held = fold == index
        out[held] = _neighbours(features[~held], outcomes[~held], features[held])
    return out


def _neighbours(train: NDArray[np.float32], weak: Floats, test: NDArray[np.float32]) -> Floats:
    nearest = np.argpartition(-(test @ train.T), _NEAREST, axis=1)[:, :_NEAREST]
    failing: Floats = 1 - weak[nearest].mean(axis=1)
    return failing
