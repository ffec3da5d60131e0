"""Out of scope or not: signs of how far a text is from every intent, weighed into one score.

With out-of-scope examples the weights are fitted to tell them from held-out texts that have an
intent; without, all signs count alike. Either way the threshold is the score below which a
configured share of held-out texts that were recognised correctly would be turned away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from router.learn.logistic import fit, one_hot

Floats = NDArray[np.floating]

_DECAY = 0.1
"""Strong, since there may be few out-of-scope examples: the signs stay of similar weight."""


@dataclass(frozen=True)
class Gate:
    """A text is in scope when its score is at least ``threshold``; scores are log-odds-like."""

    mean: Floats
    scale: Floats
    weights: Floats
    bias: float
    threshold: float

    @classmethod
    def fitted(
        cls, inside: Floats, outside: Floats, correct: NDArray[np.bool_], reject_share: float
    ) -> Gate:
        """Weigh the signs of held-out texts inside and outside the scope.

        Args:
            inside: signs, one row per text that has an intent.
            outside: signs of texts that have none; may be empty.
            correct: whether the intent of each text inside was recognised.
            reject_share: of the correct ones, how many the threshold may turn away.
        """
        both = np.concatenate([inside, outside])
        mean, scale = both.mean(axis=0), np.maximum(both.std(axis=0), 1e-6)
        weights, bias = _weighed(((both - mean) / scale).astype(np.float32), len(inside))
        gate = cls(mean, scale, weights, bias, 0.0)
        scores = gate.scores(inside[correct] if correct.any() else inside)
        return cls(mean, scale, weights, bias, float(np.quantile(scores, reject_share)))

    def scores(self, signs: Floats) -> Floats:
        """One score per row; higher is further inside."""
        result: Floats = (signs - self.mean) / self.scale @ self.weights + self.bias
        return result


def _weighed(signs: NDArray[np.float32], inside: int) -> tuple[Floats, float]:
    """Logistic weights with both sides of equal total weight; ones, where there is one side."""
    outside = len(signs) - inside
    if not outside:
        return np.ones(signs.shape[1]), 0.0
    label = np.repeat([1, 0], [inside, outside])
    share = np.repeat([1.0, inside / outside], [inside, outside]).astype(np.float32)
    weights, bias = fit(signs, one_hot(label, 2), decay=_DECAY, weights=share)
    return weights[:, 1] - weights[:, 0], float(bias[1] - bias[0])
