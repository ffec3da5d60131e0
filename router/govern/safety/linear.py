"""A linear model over words and pairs of words: microseconds, and weights that a person can read.

What it says of a text is the highest score of any stretch of ``WINDOW`` words in it, so that a
sentence in a long document counts as much as the same sentence alone.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import exp
from typing import Final

WINDOW: Final = 32
"""Words that are looked at together; a sentence or two."""
_STEP: Final = 16
_WORD: Final = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+")
_BEGIN: Final = "^"


def words(text: str) -> list[str]:
    """The text's words in lower case, with a mark at the beginning."""
    return [_BEGIN, *_WORD.findall(text.lower().replace("\u2019", "'"))]


def grams(found: list[str]) -> Iterable[str]:
    """Each word, and each pair of neighbours."""
    yield from found
    for pair in pairwise(found):
        yield " ".join(pair)


@dataclass(frozen=True, slots=True)
class Linear:
    """A trained model.

    Attributes:
        bias: the score of a text of which nothing is known, in log odds.
        weights: what a word or a pair adds.
    """

    bias: float
    weights: Mapping[str, float]

    def score(self, text: str) -> float:
        """Log odds of the stretch of the text that says most."""
        return self.find(words(text))[0]

    def find(self, found: list[str]) -> tuple[float, int]:
        """The same of a text in words, and where that stretch begins.

        Within a stretch a word counts once, as it did when the weights were trained: else a word
        that is repeated often enough says anything.
        """
        get = self.weights.get
        grams = [found, [f"{a} {b}" for a, b in pairwise(found)]]
        hits = [[(at, g, w) for at, g in enumerate(own) if (w := get(g))] for own in grams]
        if len(found) <= WINDOW:
            return self.bias + sum(_once(each, 0, len(found)) for each in hits), 0
        starts = [*range(0, len(found) - WINDOW, _STEP), len(found) - WINDOW]
        best, start = max(
            (_once(hits[0], at, at + WINDOW) + _once(hits[1], at, at + WINDOW - 1), at)
            for at in starts
        )
        return self.bias + best, start


def _once(hits: list[tuple[int, str, float]], begin: int, end: int) -> float:
    """What the distinct ones in a stretch of places add up to."""
    inside = hits[bisect_left(hits, (begin,)) : bisect_left(hits, (end,))]
    return sum({gram: weight for _, gram, weight in inside}.values())


def probability(score: float) -> float:
    """Log odds as a probability."""
    return 1 / (1 + exp(-max(-40.0, min(40.0, score))))
