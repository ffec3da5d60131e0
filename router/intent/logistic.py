"""Multinomial logistic regression by L-BFGS, in NumPy.

The objective is the weighted mean cross-entropy plus ``decay / 2`` times the squared weights
(not the bias). L-BFGS: Nocedal and Wright, Numerical Optimization, 2nd ed., algorithm 7.4, with a
backtracking line search (Armijo); the objective is convex, so the start does not matter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Objective = Callable[[Floats], tuple[float, Floats]]

DECAY = 2e-3
"""For features of spread 1; chosen on held-out parts of BANKING77's training set."""

_MEMORY = 10
_ARMIJO = 1e-4
_SMALLEST_STEP = 1e-6
_TOLERANCE = 1e-5
"""Relative decrease of the objective at which a fit is done."""


def softmax(logits: NDArray[np.floating]) -> Floats:
    """Row by row, in float32."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Floats = (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)
    return result


def fit(
    features: Floats,
    classes: NDArray[np.integer],
    count: int,
    *,
    decay: float,
    weights: Floats | None = None,
    iterations: int = 80,
) -> tuple[Floats, Floats]:
    """Return weights (features, count) and bias (count) for classes ``0 … count - 1``.

    Args:
        features: one row per example.
        classes: of each example.
        count: of classes.
        decay: strength of the penalty on squared weights.
        weights: how much each example counts, relative to the others; 1 by default.
        iterations: at most so many steps.
    """
    rows, width = features.shape
    share = np.ones(rows, np.float32) if weights is None else weights.astype(np.float32)
    share = (share / share.sum())[:, np.newaxis]
    target = np.zeros((rows, count), np.float32)
    target[np.arange(rows), classes] = 1

    def objective(flat: Floats) -> tuple[float, Floats]:
        both = flat.reshape(width + 1, count)
        matrix = both[:-1]
        logits = features @ matrix + both[-1]
        logits -= logits.max(axis=1, keepdims=True)
        scaled = np.exp(logits)
        total = scaled.sum(axis=1, keepdims=True)
        loss = float((share * (np.log(total) - (target * logits).sum(axis=1, keepdims=True))).sum())
        error = (scaled / total - target) * share
        gradient = np.empty_like(both)
        gradient[:-1] = features.T @ error + decay * matrix
        gradient[-1] = error.sum(axis=0)
        return loss + 0.5 * decay * float((matrix**2).sum()), gradient.ravel()

    best = minimise(objective, np.zeros((width + 1) * count, np.float32), iterations)
    both = best.reshape(width + 1, count)
    return both[:-1].copy(), both[-1].copy()


def minimise(objective: Objective, start: Floats, iterations: int) -> Floats:
    """Return where the smooth convex objective is smallest, or the last of the iterations."""
    point = start
    value, gradient = objective(point)
    steps: deque[tuple[Floats, Floats]] = deque(maxlen=_MEMORY)
    for _ in range(iterations):
        direction = -_scaled(gradient, steps)
        slope = float(gradient @ direction)
        length = 1.0
        while True:
            reached = point + np.float32(length) * direction
            after, turned = objective(reached)
            if after <= value + _ARMIJO * length * slope or length < _SMALLEST_STEP:
                break
            length /= 2
        moved, bent = reached - point, turned - gradient
        if float(moved @ bent) > 1e-12:
            steps.append((moved, bent))
        done = value - after < _TOLERANCE * max(1.0, abs(value))
        point, value, gradient = reached, after, turned
        if done:
            break
    return point


def _scaled(gradient: Floats, steps: deque[tuple[Floats, Floats]]) -> Floats:
    """The gradient times the approximate inverse Hessian (the two-loop recursion)."""
    result = gradient.copy()
    if not steps:
        return result / np.float32(max(1.0, float(np.linalg.norm(gradient))))
    weights = []
    for moved, bent in reversed(steps):
        weight = (moved @ result) / (bent @ moved)
        weights.append(weight)
        result -= weight * bent
    moved, bent = steps[-1]
    result *= (moved @ bent) / (bent @ bent)
    for (moved, bent), weight in zip(steps, reversed(weights), strict=True):
        result += moved * (weight - (bent @ result) / (bent @ moved))
    return result


@dataclass(frozen=True)
class Linear:
    """A fitted classifier with the standardisation of its features."""

    mean: Floats
    scale: Floats
    weights: Floats
    bias: Floats

    @classmethod
    def fitted(
        cls,
        features: Floats,
        classes: NDArray[np.integer],
        count: int,
        *,
        weights: Floats | None = None,
        block: int | None = None,
    ) -> Linear:
        """Fit after centring; each block of so many features gets a spread of 1 over all."""
        mean = features.mean(axis=0)
        centred = features - mean
        size = block or features.shape[1]
        spreads = [centred[:, at : at + size].std() for at in range(0, features.shape[1], size)]
        scale = np.repeat(np.array(spreads, np.float32), size)
        scale[scale == 0] = 1
        fitted, bias = fit(centred / scale, classes, count, decay=DECAY, weights=weights)
        return cls(mean, scale, fitted, bias)

    def logits(self, features: Floats) -> Floats:
        """One row per row of features."""
        standard = (features - self.mean) / self.scale
        result: Floats = np.asarray(standard @ self.weights + self.bias, np.float32)
        return result
