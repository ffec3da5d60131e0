"""A linear model over words and pairs of words: microseconds, and weights that a person can read.

What it says of a text is the highest score of any stretch of ``WINDOW`` words in it, so that a
sentence in a long document counts as much as the same sentence alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
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
        """The same of a text in words, and where that stretch begins."""
        get = self.weights.get
        own = [get(word, 0.0) for word in found]
        pairs = [get(f"{a} {b}", 0.0) for a, b in pairwise(found)]
        if len(found) <= WINDOW:
            return self.bias + sum(own) + sum(pairs), 0
        # From prefix sums, the words and the pairs of each stretch.
        owns = list(accumulate(own, initial=0.0))
        both = list(accumulate(pairs, initial=0.0))
        starts = [*range(0, len(found) - WINDOW, _STEP), len(found) - WINDOW]
        best, start = max(
            (owns[at + WINDOW] - owns[at] + both[at + WINDOW - 1] - both[at], at) for at in starts
        )
        return self.bias + best, start


def probability(score: float) -> float:
    """Log odds as a probability."""
    return 1 / (1 + exp(-max(-40.0, min(40.0, score))))
