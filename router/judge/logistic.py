"""Ridge logistic regression on a handful of features, by Newton's method (IRLS)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_STEPS = 25
_ENOUGH = 1e-8


@dataclass(frozen=True, slots=True)
class Logistic:
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


def fit(features: Array, labels: Array, ridge: float = 1.0) -> Logistic:
    """Fit labels (0 to 1) on rows of features; ``ridge`` is the penalty on standardised weights.

    Minimises the cross-entropy plus ridge/2 |w|^2 (the bias is free): Hastie, Tibshirani, Friedman,
    "The Elements of Statistical Learning", 4.4.
    """
    centre = features.mean(axis=0)
    scale = features.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    rows = np.column_stack([np.ones(len(features)), (features - centre) / scale])
    penalty = np.diag([1e-6, *[ridge] * features.shape[1]])
    weights = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        fitted = 1.0 / (1.0 + np.exp(-np.clip(rows @ weights, -30.0, 30.0)))
        gradient = rows.T @ (fitted - labels) + penalty @ weights
        curvature = (rows * (fitted * (1.0 - fitted))[:, None]).T @ rows + penalty
        step = np.linalg.solve(curvature, gradient)
        weights -= step
        if float(np.abs(step).max()) < _ENOUGH:
            break
    return Logistic(
        tuple(map(float, centre)),
        tuple(map(float, scale)),
        tuple(map(float, weights[1:])),
        float(weights[0]),
    )
