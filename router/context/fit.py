"""What of the passages a target gets: all that fit whole, then the sentences that matter most.

Tokens are counted by whoever calls: see ``tokens``.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from router.context.documents.cutting import sentences
from router.context.documents.model import Passage
from router.context.documents.words import keywords, stem, words_of

GAP: Final = " […] "
"""Stands for what was left out of a passage."""
_LEAST: Final = 16
"""Tokens below which a snippet says nothing."""
_NEIGHBOUR: Final = 0.35
"""How much of its relevance a sentence lends to the one after it."""

Count = Callable[[Passage], int]
"""Tokens that a passage takes, its heading included."""


@dataclass(frozen=True, slots=True)
class _Sentence:
    place: int
    text: str
    relevance: float


def fitted(passages: Sequence[Passage], question: str, budget: int, count: Count) -> list[Passage]:
    """Passages and parts of them, best first, that take ``budget`` tokens at most together.

    Where all fit, all are there. Else the best are there whole as far as half of the budget goes,
    or the first one if it fits at all, and of the others what bears on the question most.
    """
    left = budget
    found: list[Passage] = []
    cut: list[Passage] = []
    sizes = [count(passage) for passage in passages]
    if sum(sizes) <= budget:
        return list(passages)
    for passage, size in zip(passages, sizes, strict=True):
        is_first = not found and not cut
        if size <= left and (is_first or budget - left + size <= budget / 2 or size <= left / 3):
            found.append(passage)
            left -= size
        elif left >= _LEAST:
            snippet = _snippet(passage, question, left if is_first else left // 2, count)
            if snippet is not None:
                cut.append(snippet)
                found.append(snippet)
                left -= count(snippet)
    return found


def _snippet(passage: Passage, question: str, budget: int, count: Count) -> Passage | None:
    """The sentences that bear on the question most, in their order; None when none fits."""
    ranked = sorted(_judged(passage, question), key=lambda each: (-each.relevance, each.place))
    kept: list[_Sentence] = []
    best: Passage | None = None
    for sentence in ranked:
        if best is not None and sentence.relevance <= 0:
            break
        tried = replace(passage, text=_joined([*kept, sentence]))
        if count(tried) <= budget:
            kept.append(sentence)
            best = tried
    return best


def _joined(kept: Sequence[_Sentence]) -> str:
    ordered = sorted(kept, key=lambda each: each.place)
    parts: list[str] = []
    last: int | None = None
    for each in ordered:
        if last is not None:
            parts.append(" " if each.place == last + 1 else GAP)
        parts.append(each.text)
        last = each.place
    return "".join(parts)


def _judged(passage: Passage, question: str) -> list[_Sentence]:
    """Each sentence with the share of the question's words that it has, rare ones weighing more."""
    texts = sentences(passage.text)
    stems = [{stem(word) for word in words_of(text)} for text in texts]
    seen = Counter(each for found in stems for each in found)
    weights = {
        each: math.log(1 + (len(texts) + 1) / (1 + seen[each]))
        for each in {stem(word) for word in keywords(question)}
    }
    total = sum(weights.values()) or 1.0
    own = [sum(weights.get(each, 0.0) for each in found) / total for found in stems]
    return [
        _Sentence(place, text, own[place] + (_NEIGHBOUR * own[place - 1] if place else 0.0))
        for place, text in enumerate(texts)
    ]
