"""A linear classifier that standardises what it reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router.learn import logistic

Floats = NDArray[np.float32]

DECAY = 2e-3
"""For features of spread 1; chosen on held-out parts of BANKING77's training set."""


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
        fitted, bias = logistic.fit(
            centred / scale, logistic.one_hot(classes, count), decay=DECAY, weights=weights
        )
        return cls(mean, scale, fitted, bias)

    def logits(self, features: Floats) -> Floats:
        """One row per row of features."""
        standard = (features - self.mean) / self.scale
        result: Floats = np.asarray(standard @ self.weights + self.bias, np.float32)
        return result
