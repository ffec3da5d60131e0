"""Multinomial logistic regression by L-BFGS, in NumPy: the one solver of the router.

The objective is the weighted mean cross-entropy plus ``decay / 2`` times the squared weights
(not the bias). L-BFGS: Nocedal and Wright, Numerical Optimization, 2nd ed., algorithm 7.4, with a
backtracking line search (Armijo); the objective is convex, so the start does not matter. All is
computed in the precision of the features.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Objective = Callable[[Floats], tuple[float, Floats]]

_MEMORY = 10
_ARMIJO = 1e-4
_SMALLEST_STEP = 1e-6


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Row by row, in float32."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: NDArray[np.float32] = (weights / weights.sum(axis=-1, keepdims=True)).astype(np.float32)
    return result


def one_hot(classes: NDArray[np.integer], count: int) -> NDArray[np.float32]:
    """Targets that are certain: a row for each example, all of its weight on its class."""
    target = np.zeros((len(classes), count), np.float32)
    target[np.arange(len(classes)), classes] = 1
    return target


def fit(
    features: Floats,
    targets: Floats,
    *,
    decay: float,
    weights: Floats | None = None,
    iterations: int = 80,
    tolerance: float = 1e-5,
) -> tuple[Floats, Floats]:
    """Return weights (features, classes) and bias (classes).

    Args:
        features: one row per example.
        targets: one row per example, the probability of each class.
        decay: strength of the penalty on squared weights.
        weights: how much each example counts, relative to the others; 1 by default.
        iterations: at most so many steps.
        tolerance: relative decrease of the objective at which the fit is done.
    """
    rows, width = features.shape
    count = targets.shape[1]
    share = np.ones(rows) if weights is None else weights
    share = (share / share.sum())[:, np.newaxis].astype(features.dtype)
    target = targets.astype(features.dtype)

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

    start = np.zeros((width + 1) * count, features.dtype)
    best = minimise(objective, start, iterations, tolerance)
    both = best.reshape(width + 1, count)
    return both[:-1].copy(), both[-1].copy()


def fit_offset(
    features: Floats, good: Floats, offset: Floats, *, decay: float, iterations: int = 80
) -> tuple[Floats, float]:
    """Two classes: weights and bias of ``logit P(good) = offset + features @ weights + bias``.

    Args:
        features: one row per example.
        good: of each example, the probability of the class.
        offset: log-odds that are known already.
        decay: strength of the penalty on squared weights.
        iterations: at most so many steps.
    """
    rows, width = features.shape
    target, known = good.astype(features.dtype), offset.astype(features.dtype)

    def objective(flat: Floats) -> tuple[float, Floats]:
        weights = flat[:-1]
        logits = known + features @ weights + flat[-1]
        loss = float((np.logaddexp(0.0, logits) - target * logits).mean())
        error = (1.0 / (1.0 + np.exp(-np.clip(logits, -60.0, 60.0))) - target) / rows
        gradient = np.empty_like(flat)
        gradient[:-1] = features.T @ error + decay * weights
        gradient[-1] = error.sum()
        return loss + 0.5 * decay * float(weights @ weights), gradient

    best = minimise(objective, np.zeros(width + 1, features.dtype), iterations, 1e-5)
    return best[:-1].copy(), float(best[-1])


def minimise(objective: Objective, start: Floats, iterations: int, tolerance: float) -> Floats:
    """Return where the smooth convex objective is smallest, or the last of the iterations."""
    point = start
    value, gradient = objective(point)
    steps: deque[tuple[Floats, Floats]] = deque(maxlen=_MEMORY)
    for _ in range(iterations):
        direction = -_scaled(gradient, steps)
        slope = float(gradient @ direction)
        length = 1.0
        while True:
            reached = point + length * direction
            after, turned = objective(reached)
            if after <= value + _ARMIJO * length * slope or length < _SMALLEST_STEP:
                break
            length /= 2
        moved, bent = reached - point, turned - gradient
        if float(moved @ bent) > 1e-12:
            steps.append((moved, bent))
        done = value - after < tolerance * max(1.0, abs(value))
        point, value, gradient = reached, after, turned
        if done:
            break
    return point


def _scaled(gradient: Floats, steps: deque[tuple[Floats, Floats]]) -> Floats:
    """The gradient times the approximate inverse Hessian (the two-loop recursion)."""
    result = gradient.copy()
    if not steps:
        return result / max(1.0, float(np.linalg.norm(gradient)))
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
