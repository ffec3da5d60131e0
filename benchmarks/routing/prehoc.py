"""RouteLLM's GSM8K outcomes: what routing before generation saves, and what it cannot.

Each problem has a weak and a strong model's outcome. A router orders the problems by how much it
would gain from the strong model; the share that must go there to reach 95 % of the strong model's
accuracy is its cost. Scores are cross-validated: no problem is scored by a fit that saw it.

Two orders are told apart. By the weak model's expected failure is what a risk bound does
(``router.choose.ranking``). By the expected gain leaves the problems that neither solves to the
weak model; it needs a fit of the strong model's outcomes as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.routing.data import Problem
from router.learn.logistic import fit, one_hot, softmax

_FOLDS = 5
_NEAREST = 40
KNN = f"kNN ({_NEAREST}) on the embedding"
KNN_GAIN = f"kNN ({_NEAREST}), by expected gain"
HEAD = "logistic head on the embedding, with lengths"
HEADS_GAIN = "two such heads, by expected gain"
_PEERS = {HEAD: KNN, HEADS_GAIN: KNN_GAIN}
"""Each with kNN in the same order."""
_DECAYS = (0.03, 0.1, 0.3, 1.0, 3.0)
_LENGTHS = 3
_RESAMPLES = 1000
_QUALITY = 0.95
_WEAK_PRICE, _STRONG_PRICE = 0.24, 24.7
"""US$ per million tokens, as RouteLLM counts them (arXiv 2406.18665, table 6)."""

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
    weak = np.array([p.weak for p in problems], float)
    strong = np.array([p.strong for p in problems], float)
    rng = np.random.default_rng(seed)
    fold = rng.permutation(len(problems)) % _FOLDS
    centred = vectors - vectors.mean(axis=0)
    features = np.hstack([centred, np.log1p(_lengths(problems))]).astype(np.float32)
    failing = _out_of_fold(features, weak, fold, _logistic)
    scores: dict[str, Floats] = {
        "oracle": strong - weak + 0.5 * strong,
        HEAD: failing,
        HEADS_GAIN: failing - _out_of_fold(features, strong, fold, _logistic),
        KNN: _out_of_fold(vectors, weak, fold, _neighbours),
        KNN_GAIN: _out_of_fold(vectors, weak, fold, _neighbours)
        - _out_of_fold(vectors, strong, fold, _neighbours),
        "random": rng.random(len(problems)),
    }
    samples = rng.integers(0, len(problems), (_RESAMPLES, len(problems)))
    rows = [_row(name, score, weak, strong, samples) for name, score in scores.items()]
    for row in rows:
        peer = _PEERS.get(row.name)
        if peer is not None:
            fewer = _resampled(scores[row.name], weak, strong, samples)
            fewer = fewer - _resampled(scores[peer], weak, strong, samples)
            row.against_knn = tuple(map(float, np.percentile(fewer, [2.5, 97.5])))
    return [*rows, Row("always the strong model", 1.0, 1.0, 1.0, 1.0, float("nan"))]


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
    cost = (share * _STRONG_PRICE + (1 - share) * _WEAK_PRICE) / _STRONG_PRICE
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
    return float(np.argmax(curve >= _QUALITY * strong.mean() - 1e-12) / len(weak))


def _apgr(score: Floats, weak: Floats, strong: Floats, *, random: bool) -> float:
    """Average performance gap recovered: area under the curve from weak (0) to strong (1)."""
    curve = _curve(score, weak, strong, random=random)
    return float(((curve - weak.mean()) / (strong.mean() - weak.mean())).mean())


def _out_of_fold(
    features: NDArray[np.float32],
    outcomes: Floats,
    fold: NDArray[np.integer],
    score: Callable[[NDArray[np.float32], Floats, NDArray[np.float32]], Floats],
) -> Floats:
    """How likely a model with these outcomes fails, by fits that have not seen the problem."""
    out = np.zeros(len(outcomes))
    for index in range(_FOLDS):
        held = fold == index
        out[held] = score(features[~held], outcomes[~held], features[held])
    return out


def _logistic(train: NDArray[np.float32], weak: Floats, test: NDArray[np.float32]) -> Floats:
    """The strength of the penalty is chosen on a fifth of the training problems."""
    classes = weak.astype(int)
    held = np.arange(len(train)) % _FOLDS == 0

    def loss(decay: float) -> float:
        wanted = _failing(train[~held], classes[~held], train[held], decay)
        return -float(np.log(np.where(classes[held] == 1, 1 - wanted, wanted)).mean())

    return _failing(train, classes, test, min(_DECAYS, key=loss))


def _failing(
    train: NDArray[np.float32],
    classes: NDArray[np.integer],
    test: NDArray[np.float32],
    decay: float,
) -> Floats:
    mean, scale = train.mean(axis=0), np.maximum(train.std(axis=0), 1e-6)
    scale[:-_LENGTHS] = train[:, :-_LENGTHS].std()  # directions keep their relative spread
    weights, bias = fit((train - mean) / scale, one_hot(classes, 2), decay=decay)
    return np.clip(softmax((test - mean) / scale @ weights + bias)[:, 0], 1e-6, 1 - 1e-6)


def _neighbours(train: NDArray[np.float32], weak: Floats, test: NDArray[np.float32]) -> Floats:
    nearest = np.argpartition(-(test @ train.T), _NEAREST, axis=1)[:, :_NEAREST]
    failing: Floats = 1 - weak[nearest].mean(axis=1)
    return failing


def _lengths(problems: list[Problem]) -> Floats:
    """Characters, words and numbers of each problem."""
    words = [problem.text.split() for problem in problems]
    numbers = [sum(word.strip("$")[:1].isdigit() for word in each) for each in words]
    rows = zip(problems, words, numbers, strict=True)
    return np.array([(len(p.text), len(w), n) for p, w, n in rows], float)
