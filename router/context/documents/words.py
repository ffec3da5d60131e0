"""The words of a question that say what it is about, and how alike two texts are by theirs."""

from __future__ import annotations

import re
from typing import Final

_WORD: Final = re.compile(r"\w+")
_MOST: Final = 48
_COMMON: Final = frozenset(
    word
    for line in (
        "a an and any are as at be been but by can could did do does for from had has have he her",
        "his how i if in into is it its me my no not of on or our she should so than that the",
        "their them then there these they this to us was we were what when where which who whom",
        "why will with would you your please tell give explain describe",
    )
    for word in line.split()
)


def words_of(text: str) -> list[str]:
    """Its words in lower case, in order."""
    return _WORD.findall(text.lower())


def keywords(question: str) -> list[str]:
    """Each once, without the most common ones unless there are no others; of a long text 48."""
    found = list(dict.fromkeys(words_of(question)))
    rare = [word for word in found if word not in _COMMON]
    return (rare or found)[:_MOST]


def stem(word: str) -> str:
    """What forms of one word have in common, roughly."""
    return word[:6]


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """Share of all their words that both have, 0 to 1."""
    both = len(one & other)
    return both / max(1, len(one) + len(other) - both)
