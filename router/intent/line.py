"""Where the line is between a text of an intent and one of none, learned from examples alone.

Again and again a part of the intents is taken away, and a part of the others' examples: what was
taken is read by a classifier that does not know it. The intents' examples should be recognised;
those of the intents that are gone should not, and neither should texts about anything else
(``unrelated.txt``). A logistic curve through these scores says how likely a text is recognised
rightly, so the line is where that is even.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from router.intent.classifier import NEAREST, Examples, Floats
from router.intent.encoder import Encoder
from router.intent.messages import Shapes
from router.intent.share import ASSUMED

_ROUNDS: Final = 16
_ROUNDS_OF_MANY: Final = 6
_MANY: Final = 1000
_INTENTS_AWAY: Final = 0.4
_EXAMPLES_AWAY: Final = 0.25
_UNRELATED: Final = 0.6
"""Of messages with none of the intents, share about anything else; the rest is like the intents."""
_RELATED: Final = 0.2
"""Share of the unrelated texts that may be near an example after all: they are left out."""
_PENALTY: Final = 1e-3
_STEPS: Final = 50
_TINY: Final = 1e-9


@dataclass(frozen=True)
class Curve:
    """P = 1 / (1 + exp(-(slope * score + offset)))."""

    slope: float
    offset: float

    def at(self, score: float) -> float:
        """The probability."""
        return float(1.0 / (1.0 + np.exp(-np.clip(self.slope * score + self.offset, -60, 60))))


@dataclass(frozen=True)
class Doubt:
    """What speaks against an answer: odds against its being right."""

    none: float
    """The text has none of the intents; under the share that is assumed."""
    other: float
    """It has another one."""

    @property
    def inside(self) -> float:
        """Odds that it has none against one of them, whichever."""
        return self.none / (1 + self.other)

    def right(self, factor: float) -> float:
        """The probability that the answer is right, where none is more or less usual."""
        return 1 / (1 + self.other + factor * self.none)

    def meant(self, factor: float) -> float:
        """The same, if it can only be the right one or none."""
        return 1 / (1 + factor * self.none)


@dataclass(frozen=True)
class Round:
    """Scores of texts by a head that did not know them."""

    right: NDArray[np.floating]
    """Of intents that it knows, recognised."""
    wrong: NDArray[np.floating]
    """Of intents that it knows, taken for another."""
    away: NDArray[np.floating]
    """Of intents that it does not know."""
    outside: NDArray[np.floating]
    """About anything else."""


def rounds(examples: Examples, outside: Floats) -> Iterator[Round]:
    """The same for the same examples, in whichever order they come."""
    order = np.lexsort(examples.vectors.T[:4])
    vectors, owner = examples.vectors[order], examples.owner[order]
    for number in range(_ROUNDS if len(owner) < _MANY else _ROUNDS_OF_MANY):
        chance = np.random.default_rng(number)
        gone = chance.permutation(examples.count)[: round(_INTENTS_AWAY * examples.count)]
        is_gone = np.isin(owner, gone)
        held = _held(owner, is_gone, chance)
        kept = np.unique(owner[~is_gone & ~held])
        if len(kept) == 0:
            continue
        numbers = np.searchsorted(kept, owner)
        train = ~is_gone & ~held
        part = Examples(vectors[train], numbers[train], len(kept)).fitted()
        both = part.read(vectors[held]).both
        is_right = kept[both.argmax(axis=1)] == owner[held]
        score = both.max(axis=1)
        yield Round(
            score[is_right],
            score[~is_right],
            part.read(vectors[is_gone]).both.max(axis=1),
            part.read(outside).both.max(axis=1),
        )


def _held(
    owner: NDArray[np.intp], is_gone: NDArray[np.bool_], chance: np.random.Generator
) -> NDArray[np.bool_]:
    """A quarter of each intent's examples; of two or three now and then one; never the only one."""
    held = np.zeros(len(owner), np.bool_)
    for intent in np.unique(owner[~is_gone]):
        own = chance.permutation(np.flatnonzero(owner == intent))
        some = int(len(own) * _EXAMPLES_AWAY)
        if some == 0 and len(own) > 1:
            some = int(chance.random() < 0.5)
        held[own[:some]] = True
    return held


def shapes(read: Sequence[Round]) -> Shapes | None:
    """Of the scores of what a classifier did not know."""
    if not read:
        return None
    right, wrong, away, outside = _scores(read)
    return Shapes.of(np.concatenate([right, wrong]), away, outside)


def _scores(read: Sequence[Round]) -> list[NDArray[np.floating]]:
    names = ("right", "wrong", "away", "outside")
    return [np.concatenate([getattr(each, name) for each in read]) for name in names]


def curves(read: Sequence[Round]) -> tuple[Curve, Curve]:
    """How likely a score is an intent's rather than none's, and how likely it is the right one's.

    Both weigh what is inside and outside by what may be expected, not by how many texts were there.
    """
    right, wrong, away, outside = _scores(read)
    inside = max(1, len(right) + len(wrong))
    far = _UNRELATED if len(away) else 1.0
    weights = [
        np.full(len(right), (1 - ASSUMED) / inside),
        np.full(len(wrong), (1 - ASSUMED) / inside),
        np.full(len(away), ASSUMED * (1 - far) / max(1, len(away))),
        np.full(len(outside), ASSUMED * far / max(1, len(outside))),
    ]
    scores = np.concatenate([right, wrong, away, outside])
    good = np.repeat([1.0, 0.0], [len(right), len(scores) - len(right)])
    share = np.concatenate(weights)
    if not len(right):
        return _ASSUMED, _ASSUMED
    sure = _curve(scores, good, share)
    share[len(right) : len(right) + len(wrong)] = 0.0
    line = _curve(scores, good, share)
    return (line, sure) if line.slope > 0 and sure.slope > 0 else (_ASSUMED, _ASSUMED)


_ASSUMED: Final = Curve(6.0, -6.0 * (NEAREST * 0.7 + 0.5))
"""For intents with one example each, none of which can be held out: a cosine of 0.7 or so."""


def _curve(scores: NDArray[np.floating], good: Floats, share: NDArray[np.floating]) -> Curve:
    """Logistic regression on one number (Platt 1999), by Newton's method."""
    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    x = np.stack([(scores - centre) / spread, np.ones(len(scores))], axis=1)
    weight = share / share.sum() * len(scores)
    point = np.zeros(2)
    for _ in range(_STEPS):
        likely = 1.0 / (1.0 + np.exp(-np.clip(x @ point, -60, 60)))
        gradient = x.T @ (weight * (likely - good)) + _PENALTY * point
        curvature = (x * (weight * likely * (1 - likely))[:, np.newaxis]).T @ x
        step = np.linalg.solve(curvature + _PENALTY * np.eye(2), gradient)
        point -= step
        if float(np.abs(step).max()) < 1e-6:
            break
    slope = float(point[0]) / spread
    return Curve(slope, float(point[1]) - slope * centre)


@cache
def _texts() -> tuple[str, ...]:
    """Messages about everything under the sun, a line each."""
    lines = Path(__file__).with_name("unrelated.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def unrelated(encoder: Encoder, examples: Examples) -> Floats:
    """Their vectors, but for those that are nearest to an example."""
    vectors = np.stack([encoder.encode(encoder.read(text)) for text in _texts()])
    near = (vectors @ examples.vectors.T).max(axis=1)
    kept = np.argsort(near, kind="stable")[: round(len(near) * (1 - _RELATED))]
    found: Floats = vectors[np.sort(kept)]
    return found
