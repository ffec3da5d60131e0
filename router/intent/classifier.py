"""A classifier for few examples: what is like an intent, and what is near one of its examples.

Logistic regression, in which each intent weighs the same however many examples it has, says how an
example looks that nobody wrote; the cosine to an intent's nearest example says whether a text looks
like one that somebody did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from router.learn import logistic

Floats = NDArray[np.float32]

NEAREST: Final = 2.0
"""A cosine counts so much more than a probability: chosen on parts of BANKING77 and CLINC150."""
DECAY: Final = 0.1
_SPREAD: Final = 20.0
"""Numbers of a vector of length 1 are about a twentieth each; features have a spread of 1."""


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
    """Vectors of length 1 with the numbers of their intents, 0 to ``count - 1``."""

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
        return Few(self, centre, np.asarray(weights, np.float32), np.asarray(bias, np.float32))


@dataclass(frozen=True)
class Few:
    """A fitted classifier with the examples that it was fitted on."""

    examples: Examples
    centre: Floats
    weights: Floats
    bias: Floats

    def read(self, vectors: Floats) -> Reading:
        """Texts by their vectors."""
        logits = (vectors - self.centre) * np.float32(_SPREAD) @ self.weights + self.bias
        cosines = vectors @ self.examples.vectors.T
        nearest = np.full((len(vectors), self.examples.count), -1.0, np.float32)
        for row, near in zip(nearest, cosines, strict=True):
            np.maximum.at(row, self.examples.owner, near)
        return Reading(logistic.softmax(logits), nearest)
