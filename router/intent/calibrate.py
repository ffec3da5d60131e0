"""Probabilities that mean what they say: temperature scaling and the error it is judged by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BINS = 15
_LOG_RANGE = (-2.0, 2.0)
"""Temperatures from 1/7 to 7."""
_GOLDEN = (5**0.5 - 1) / 2
_TINY = 1e-9

Floats = NDArray[np.floating]


def tempered(probabilities: Floats, temperature: float) -> Floats:
    """Rows to the power of 1 / temperature, normalised: below 1 sharper, above 1 flatter."""
    logs = np.log(np.maximum(probabilities, _TINY)) / temperature
    weights = np.exp(logs - logs.max(axis=-1, keepdims=True))
    result: Floats = weights / weights.sum(axis=-1, keepdims=True)
    return result


def temperature(probabilities: Floats, classes: NDArray[np.integer]) -> float:
    """The temperature with the least cross-entropy on held-out rows (Guo et al. 2017).

    Golden-section search; the loss has one minimum in the temperature.
    """

    def loss(log_temperature: float) -> float:
        rows = tempered(probabilities, float(np.exp(log_temperature)))
        return -float(np.log(np.maximum(rows[np.arange(len(rows)), classes], _TINY)).mean())

    low, high = _LOG_RANGE
    for _ in range(30):
        span = _GOLDEN * (high - low)
        left, right = high - span, low + span
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float(np.exp((low + high) / 2))


def calibration_error(confidence: Floats, correct: NDArray[np.bool_], bins: int = _BINS) -> float:
    """Expected calibration error: |accuracy - confidence| over equally wide bins, weighted.

    Naeini et al. 2015; 15 bins as in Guo et al. 2017.
    """
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(float(correct[place == index].mean() - confidence[place == index].mean()))
        * float((place == index).mean())
        for index in range(bins)
        if (place == index).any()
    ]
    return sum(gaps)
