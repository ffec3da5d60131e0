"""The same question for answers that are right in part: scores between 0 and 1. Pure.

The statistic is the score's analogue: the mean difference beyond the margin over the spread that
the differences would have if the candidate were worse by just that margin, which is theirs after
the least reweighting that makes it so (exponential tilting: Efron, *Canadian Journal of Statistics*
9, 1981). Student's statistic would divide by the spread that was seen, and passes too much where an
item is lost rarely and wholly: nothing was lost, so nothing can be. For the same reason one item
won outright and one lost outright are added to what was seen. Over two scores, 0 and 1, it comes to
the statistic of ``adapters.gate.exact``. `make bench-gate` prints how often a version that is worse
by the margin passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_UNSEEN = (-1.0, 1.0)
_NORMAL = NormalDist()
_STEEPEST = 60.0
_HALVINGS = 32
_EXACT = 1e-10


class Paired:
    """Paired differences: of each item the candidate's score minus the current one's."""

    def __init__(self, differences: Sequence[float]) -> None:
        seen = np.asarray(differences, dtype=np.float64)
        self.n = len(seen)
        self.mean = float(seen.mean()) if self.n else 0.0
        self._values: NDArray[np.float64] = np.append(seen, _UNSEEN)

    def passes(self, margin: float, alpha: float) -> bool:
        """Whether a candidate that is worse by the margin is ruled out."""
        return self.n > 1 and self._score(-margin) >= student(alpha, self.n - 1)

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Lower and upper bound of the difference: of each, ``1 - alpha`` sure."""
        if self.n < 2:
            return -1.0, 1.0
        least = student(alpha, self.n - 1)
        low, high = -1.0, self.mean
        above, below = 1.0, self.mean
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if self._score(middle) >= least else (low, middle)
            middle = (above + below) / 2
            above, below = (middle, below) if self._score(middle) <= -least else (above, middle)
        return low, above

    def power(self, difference: float, margin: float, alpha: float) -> float:
        """The chance that a version with this difference passes, by the spread that was seen."""
        return self._power(self.n, difference, margin, alpha)

    def items_needed(self, margin: float, alpha: float, wanted: float) -> int | None:
        """Items with which a version as good passes with this chance; None: no number does."""
        if margin <= 0 or margin >= 1:
            return None
        needed = max(2, math.ceil(math.log(alpha) / math.log1p(-margin)))
        while self._power(needed, 0.0, margin, alpha) < wanted:
            needed += max(1, needed // 20)
        return needed

    def _score(self, supposed: float) -> float:
        """How far the mean is from a supposed one, in standard errors under that one."""
        spread = self._spread(self._values, supposed)
        return (self.mean - supposed) * math.sqrt(self.n) / spread

    def _power(self, n: int, difference: float, margin: float, alpha: float) -> float:
        if n < 2:
            return 0.0
        moved = np.clip(self._values + (difference - self.mean), -1.0, 1.0)
        moved[-len(_UNSEEN) :] = _UNSEEN
        least = student(alpha, n - 1) * self._spread(moved, -margin)
        real = float(moved[: -len(_UNSEEN)].std()) if self.n else 1.0
        distance = (difference + margin) * math.sqrt(n) - least
        return _NORMAL.cdf(distance / real) if real > 0 else float(distance >= 0)

    @staticmethod
    def _spread(values: NDArray[np.float64], supposed: float) -> float:
        """Standard deviation of the values, reweighted so that their mean is as supposed."""
        supposed = min(max(supposed, -0.999), 0.999)
        low, high, slope = -_STEEPEST, _STEEPEST, 0.0
        while True:
            # From the heaviest down, or large slopes overflow.
            weights = np.exp(slope * values - abs(slope))
            weights /= weights.sum()
            off = float(weights @ values) - supposed
            spread = float(weights @ np.square(values - supposed))
            if abs(off) < _EXACT or high - low < _EXACT:
                return math.sqrt(spread)
            low, high = (slope, high) if off < 0 else (low, slope)
            # Newton's step, where it stays between what is known; else the middle.
            slope -= off / max(spread - off * off, _EXACT)
            if not low < slope < high:
                slope = (low + high) / 2


def student(alpha: float, degrees: int) -> float:
    """What Student's t exceeds with this chance, by its expansion around the normal distribution
    (Fisher and Cornish, 1960).
    """
    z = -_NORMAL.inv_cdf(alpha)
    v = max(degrees, 1)
    first = (z**3 + z) / (4 * v)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * v**2)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * v**3)
    return z + first + second + third
