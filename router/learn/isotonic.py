"""Isotonic regression: the best non-decreasing map from scores to probabilities.

Pool adjacent violators (Ayer et al. 1955; Zadrozny and Elkan 2002 use it to calibrate classifiers):
it minimises the weighted squared error among all non-decreasing functions.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepMap:
    """Non-decreasing; constant on each block, linear between two blocks."""

    lows: tuple[float, ...]
    """Smallest score of each block, increasing."""
    highs: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, score: float) -> float:
        """The value for a score; beyond the ends the value there."""
        place = bisect_right(self.lows, score) - 1
        if place < 0:
            return self.values[0]
        if score <= self.highs[place] or place + 1 == len(self.lows):
            return self.values[place]
        left, right = self.highs[place], self.lows[place + 1]
        share = (score - left) / (right - left)
        return self.values[place] + share * (self.values[place + 1] - self.values[place])


@dataclass(slots=True)
class _Block:
    low: float
    high: float
    total: float
    weight: float

    @property
    def mean(self) -> float:
        return self.total / self.weight


def fit(scores: Sequence[float], labels: Sequence[float]) -> StepMap:
    """Fit labels (0 to 1) on scores. Raises ``ValueError`` without data."""
    if not scores:
        raise ValueError("isotonic regression needs at least one pair")
    blocks: list[_Block] = []
    for block in _by_score(scores, labels):
        blocks.append(block)
        while len(blocks) > 1 and blocks[-2].mean >= blocks[-1].mean:
            last = blocks.pop()
            before = blocks[-1]
            before.high = last.high
            before.total += last.total
            before.weight += last.weight
    return StepMap(
        tuple(block.low for block in blocks),
        tuple(block.high for block in blocks),
        tuple(block.mean for block in blocks),
    )


def _by_score(scores: Sequence[float], labels: Sequence[float]) -> list[_Block]:
    """Equal scores are one block: a map has one value for each of them."""
    found: list[_Block] = []
    for score, label in sorted(zip(scores, labels, strict=True)):
        if found and found[-1].high == score:
            found[-1].total += label
            found[-1].weight += 1.0
        else:
            found.append(_Block(score, score, label, 1.0))
    return found
