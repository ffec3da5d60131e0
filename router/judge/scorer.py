"""One score of a handful of features: ridge logistic regression of what was judged good."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router.learn import logistic

Array = NDArray[np.float64]
_STEPS = 200
_ENOUGH = 1e-12


@dataclass(frozen=True, slots=True)
class Scorer:
    """P(y = 1 | x) = 1 / (1 + exp(-(b + w . (x - centre) / scale)))."""

    centre: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def score(self, features: tuple[float, ...]) -> float:
        """The log-odds."""
        total = self.bias
        for value, centre, scale, weight in zip(
            features, self.centre, self.scale, self.weights, strict=True
        ):
            total += weight * (value - centre) / scale
        return total


def fit(features: Array, labels: Array, ridge: float = 1.0) -> Scorer:
    """Fit labels (0 to 1) on rows of features; ``ridge`` is the penalty on standardised weights.

    Minimises the cross-entropy plus ridge/2 |w|^2 (the bias is free): Hastie, Tibshirani, Friedman,
    "The Elements of Statistical Learning", 4.4.
    """
    centre = features.mean(axis=0)
    scale = features.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    # Two classes share the weight between them, each with half of it and both penalised.
    weights, bias = logistic.fit(
        (features - centre) / scale,
        np.column_stack([1.0 - labels, labels]),
        decay=2.0 * ridge / len(features),
        iterations=_STEPS,
        tolerance=_ENOUGH,
    )
    return Scorer(
        tuple(map(float, centre)),
        tuple(map(float, scale)),
        tuple(map(float, weights[:, 1] - weights[:, 0])),
        float(bias[1] - bias[0]),
    )
