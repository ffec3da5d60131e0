"""The head for few examples, from one an intent up: where most intents begin.

A logistic classifier, in which each intent weighs the same however many examples it has, says how
an example looks that nobody wrote; the cosine to an intent's nearest example says whether the text
looks like one that somebody did. Their sum decides, and against one line the text is out of scope.

Where the line is, is learned from the examples alone. Again and again a part of the intents is
taken away, and a part of the others' examples: what was taken is read by a head that does not know
it. The intents' examples should be recognised; those of the intents that are gone should not, and
neither should texts about anything else (``unrelated.txt``). A logistic curve through these scores
says how likely a text is recognised rightly, so the line is where that is even, and what is above
it is the confidence; both move with the share of messages that have none (``share.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from router.intent.encoder import Encoder, Once
from router.intent.head import Head, Recognition, ranked
from router.intent.share import ASSUMED, Outsiders
from router.learn import logistic

Floats = NDArray[np.float32]

NEAREST: Final = 2.0
"""A cosine counts so much more than a probability: chosen on parts of BANKING77 and CLINC150."""
DECAY: Final = 0.1
_SPREAD: Final = 20.0
"""Numbers of a vector of length 1 are about a twentieth each; features have a spread of 1."""
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
_EVEN: Final = 0.5
_TINY: Final = 1e-9
_SAME: Final = 1e-6
"""So far from 1 the cosine of a text with itself may be."""
_AT_ONCE: Final = 256
"""Texts that are compared with all examples at once: memory for as many cosines of each."""


@dataclass(frozen=True)
class Reading:
    """Scores of texts: a row for each, a column an intent."""

    probabilities: Floats
    cosines: Floats

    @property
    def both(self) -> Floats:
        """What decides."""
        total: Floats = self.probabilities + np.float32(NEAREST) * self.cosines
        return total


@dataclass(frozen=True)
class Examples:
    """Vectors of length 1 with the numbers of their intents, 0 to ``count - 1``; some of each."""

    vectors: Floats
    owner: NDArray[np.intp]
    count: int

    def fitted(self) -> Few:
        """Train: a fraction of a second for a few hundred."""
        sizes = np.bincount(self.owner, minlength=self.count)
        share = (1.0 / np.maximum(sizes, 1)[self.owner]).astype(np.float32)
        centre = self.vectors.mean(axis=0)
        weights, bias = logistic.fit(
            (self.vectors - centre) * np.float32(_SPREAD),
            logistic.one_hot(self.owner, self.count),
            decay=DECAY,
            weights=share,
            iterations=60,
        )
        order = np.argsort(self.owner, kind="stable")
        return Few(
            self,
            centre,
            np.asarray(weights, np.float32),
            np.asarray(bias, np.float32),
            self.vectors[order],
            np.searchsorted(self.owner[order], np.arange(self.count)),
        )


@dataclass(frozen=True)
class Few:
    """A fitted classifier with the examples that it was fitted on."""

    examples: Examples
    centre: Floats
    weights: Floats
    bias: Floats
    near: Floats
    """The examples' vectors, those of one intent together."""
    starts: NDArray[np.intp]
    """Where each intent's begin."""

    def read(self, vectors: Floats) -> Reading:
        """Texts by their vectors."""
        logits = (vectors - self.centre) * np.float32(_SPREAD) @ self.weights + self.bias
        nearest = np.empty((len(vectors), self.examples.count), np.float32)
        for start in range(0, len(vectors), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            cosines = vectors[part] @ self.near.T
            nearest[part] = np.maximum.reduceat(cosines, self.starts, axis=1)
        return Reading(logistic.softmax(logits), nearest)


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


class FewHead:
    """Judges texts.

    Args:
        names: of the intents, in the order of their numbers.
        examples: of intents; at least one of each.
        outside: vectors of texts that were declared to have none; a text that is nearer to one of
            them than to every example has none either.
        encoder: of all of them; it reads ``unrelated.txt`` too.
        threshold: the cosine to the nearest example below which nothing is recognised, in place of
            the line that is learned.
    """

    def __init__(
        self,
        names: Sequence[str],
        examples: Examples,
        outside: Floats,
        encoder: Encoder,
        threshold: float | None = None,
    ) -> None:
        self._names = list(names)
        self._few = examples.fitted()
        self._outside = outside
        self._threshold = threshold
        known = np.concatenate([outside, _unrelated(encoder, examples)])
        self._line, self._sure = _curves(list(_rounds(examples, known)))
        self._outsiders = Outsiders()

    def judge(self, encoder: Encoder, text: str) -> Recognition:
        """The verdict on a text, read by the encoder that the head was made with."""
        vector = encoder.encode(encoder.read(text))[np.newaxis]
        reading = self._few.read(vector)
        both = reading.both[0]
        best = int(both.argmax())
        doubt = self._doubt(float(both[best]))
        factor = self._outsiders.factor
        self._outsiders.saw(doubt.inside)
        sure, meant = doubt.right(factor), doubt.meant(factor)
        posterior = ranked(self._names, _posterior(reading.probabilities[0], best, sure))
        cosine = float(reading.cosines[0, best])
        if len(self._outside) and float((self._outside @ vector[0]).max()) >= cosine:
            return Recognition(None, 1.0 - sure, True, posterior)
        if self._is_outside(meant, cosine):
            return Recognition(None, 1.0 - meant, True, posterior)
        return Recognition(self._names[best], sure, False, posterior)

    def _doubt(self, score: float) -> Doubt:
        meant = max(self._line.at(score), _TINY)
        sure = min(meant, max(self._sure.at(score), _TINY))
        return Doubt(1 / meant - 1, 1 / sure - 1 / meant)

    def _is_outside(self, meant: float, cosine: float) -> bool:
        return meant < _EVEN if self._threshold is None else cosine < self._threshold - _SAME


def _posterior(probabilities: Floats, best: int, sure: float) -> NDArray[np.floating]:
    """The recognised intent with its confidence; of the rest half is the other intents'."""
    rest = probabilities.astype(np.float64)
    rest[best] = 0.0
    total = rest.sum()
    found: NDArray[np.floating] = rest * ((1.0 - sure) * _EVEN / total if total > 0 else 0.0)
    found[best] = sure
    return found


class FewBeside:
    """A few new intents with a handful of examples each, beside a head for many examples.

    Args:
        few: knows the new ones; for it all other examples are of none.
        rest: is asked about what is none of the new ones.
    """

    def __init__(self, few: FewHead, rest: Head) -> None:
        self._few = few
        self._rest = rest

    def judge(self, encoder: Encoder, text: str) -> Recognition:
        """A new intent where it is recognised; else what the other head says."""
        once = Once(encoder)
        found = self._few.judge(once, text)
        return found if found.intent is not None else self._rest.judge(once, text)


# Where the line is


@dataclass(frozen=True)
class _Round:
    """Scores of texts by a head that did not know them."""

    right: NDArray[np.floating]
    """Of intents that it knows, recognised."""
    wrong: NDArray[np.floating]
    """Of intents that it knows, taken for another."""
    away: NDArray[np.floating]
    """Of intents that it does not know."""
    outside: NDArray[np.floating]
    """About anything else."""


def _rounds(examples: Examples, outside: Floats) -> Iterator[_Round]:
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
        yield _Round(
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


def _curves(rounds: Sequence[_Round]) -> tuple[Curve, Curve]:
    """How likely a score is an intent's rather than none's, and how likely it is the right one's.

    Both weigh what is inside and outside by what may be expected, not by how many texts were there.
    """
    right, wrong, away, outside = (
        np.concatenate([getattr(each, name) for each in rounds])
        for name in ("right", "wrong", "away", "outside")
    )
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


def _unrelated(encoder: Encoder, examples: Examples) -> Floats:
    """Their vectors, but for those that are nearest to an example."""
    vectors = np.stack([encoder.encode(encoder.read(text)) for text in _texts()])
    near = (vectors @ examples.vectors.T).max(axis=1)
    kept = np.argsort(near, kind="stable")[: round(len(near) * (1 - _RELATED))]
    found: Floats = vectors[np.sort(kept)]
    return found
