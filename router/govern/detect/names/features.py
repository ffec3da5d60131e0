"""A text as the model sees it: words, and what can be said of each without its neighbours."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

DATA: Final = Path(__file__).parent / "data"
LISTS: Final = (
    "given", "family", "cities", "countries", "states", "demonyms", "firms", "forms", "jobs",
    "roads", "prefixes", "months", "provinces", "units", "common",
    "nouns", "verbs", "adjectives", "adverbs",
)  # fmt: skip
"""What a word may be in; a file of ``data`` holds the words of each."""
_ORDINARY: Final = sum(1 << place for place in range(3, LISTS.index("common") + 1))
"""Words in these lists the model knows one by one; of names it sees only how they are made, or it
would learn the names of its examples by heart."""
TABLES: Final[Mapping[str, int]] = {"word": 16384, "start": 4096, "end": 4096, "shape": 1024}
"""Sorts of features, and how many numbers those of a sort are hashed to."""
WORD: Final = re.compile(r"[^\W\d_]+|\d+|\n\s*|[^\w\s]|_")
_BEFORE_SENTENCES: Final = frozenset(".!?:;>\n\"'([-*|")
Ids = NDArray[np.int32]
Marks = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Words:
    """A text's words.

    Attributes:
        spans: where each is.
        ids: (words, sorts of features): numbers of their features.
        marks: (words, lists and a few more): 1 where a word is in a list.
    """

    spans: list[tuple[int, int]]
    ids: Ids
    marks: Marks


MARKS: Final = len(LISTS) + 6
NATION: Final = LISTS.index("states")
PEOPLE: Final = LISTS.index("demonyms")
CAPITAL: Final = -4
CASED: Final = -5
"""Places of marks that others read, too."""


@lru_cache(maxsize=1)
def lists() -> Mapping[str, int]:
    """In which lists each word is, as bits."""
    found: dict[str, int] = {}
    for place, (name, words) in enumerate(json.loads((DATA / "lists.json").read_text()).items()):
        for word in words.split():
            for form in _FORMS[name](word) if name in _FORMS else (word,):
                found[form] = found.get(form, 0) | 1 << place
    return found


def _verb(word: str) -> tuple[str, ...]:
    stem = word[:-1] if word[-1] == "e" else word[:-1] + "i" if word[-1] == "y" else word
    doubled = word + word[-1]
    return (
        word,
        f"{word}s",
        f"{word}es",
        f"{stem}ed",
        f"{word.rstrip('e')}ing",
        f"{doubled}ed",
        f"{doubled}ing",
    )


def _noun(word: str) -> tuple[str, ...]:
    return word, f"{word}s", f"{word}es", f"{word[:-1]}ies" if word[-1] == "y" else word


def _adjective(word: str) -> tuple[str, ...]:
    return word, f"{word}ly"


_FORMS: Final = {"verbs": _verb, "nouns": _noun, "adjectives": _adjective}


def words_of(text: str, known: Mapping[str, int] | None = None) -> Words:
    """The words and their features; ``known``: other lists than the package's."""
    known = lists() if known is None else known
    matches = list(WORD.finditer(text))
    spans = [match.span() for match in matches]
    bits = [known.get(match[0].lower(), 0) for match in matches]
    pairs = zip(matches, bits, strict=True)
    rows = [_ids(match[0], bool(bit & _ORDINARY) or not match[0].isalpha()) for match, bit in pairs]
    ids = np.array(rows, np.int32).reshape(-1, len(TABLES))
    marks = np.zeros((len(spans), MARKS), np.float32)
    if spans:
        marks[:, : len(LISTS)] = (np.array(bits)[:, None] >> np.arange(len(LISTS))) & 1
        starts, ends = np.array(spans).T
        marks[1:, -1] = starts[1:] == ends[:-1]  # no space before it
        marks[:, -2] = [match[0][0] == "\n" for match in matches]
        marks[:, -3] = [match[0].isupper() and len(match[0]) > 1 for match in matches]
        marks[:, CAPITAL] = [match[0][0].isupper() for match in matches]
        marks[:, CASED] = text != text.lower() and text != text.upper()
        marks[0, -6] = 1  # a sentence may begin here
        marks[1:, -6] = [match[0][0] in _BEFORE_SENTENCES for match in matches[:-1]]
    return Words(spans, ids, marks)


@lru_cache(maxsize=65536)
def _ids(word: str, ordinary: bool) -> tuple[int, ...]:
    lower = word.lower() if not word.isdigit() else f"0{len(word)}"
    parts = (lower, lower[:3], lower[-3:], _shape(word))
    ids = [
        zlib.crc32(f"{sort}{part}".encode()) % (size - 1) + 1
        for part, (sort, size) in zip(parts, TABLES.items(), strict=True)
    ]
    return (ids[0] if ordinary else 0, *ids[1:])


def _shape(word: str) -> str:
    """Capital letters, small letters and digits, a row of more than three as three."""
    kinds = [
        "d" if c.isdigit() else "X" if c.isupper() else "x" if c.isalpha() else c for c in word[:24]
    ]
    kept = [
        kind for place, kind in enumerate(kinds) if kinds[max(0, place - 3) : place] != [kind] * 3
    ]
    return "".join(kept)


def tags_of(spans: Sequence[tuple[int, int]], found: Iterable[tuple[int, int, str]]) -> list[str]:
    """Of words that lie in a finding ``B-`` or ``I-`` and its entity, of others ``O``."""
    tags = ["O"] * len(spans)
    for start, end, entity in found:
        inside = [i for i, (begin, until) in enumerate(spans) if begin < end and start < until]
        for place, word in enumerate(inside):
            tags[word] = f"{'I' if place else 'B'}-{entity}"
    return tags
