"""What must not be torn apart: rows of one conversation, of one template, or nearly the same.

A model that trained on one of them has seen the others. What is nearly the same, the corpus says
(``adapters.corpus.likeness``), here of texts whose numbers are masked.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Final

from adapters.corpus.folding import folded
from adapters.corpus.likeness import MAX_CHARS, Word, keys, near, words
from adapters.dataset.frozen import Row, input_digest

Said = tuple[Word, ...]
"""What a user said, in all turns."""
_COMPARED: Final = 50
"""With how many of its key a text is compared, so that no key costs its square."""
_PLACEHOLDER: Final = re.compile(r"\[[A-Z][A-Z0-9_ ]*\]|<[A-Z][A-Z0-9_]*>")
_NUMBER: Final = re.compile(r"\d[\d.,:/]*(?: \d[\d.,:/]*)*")


def text_of(message: Mapping[str, Any]) -> str:
    """The text of one message, its parts together."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, Mapping))
    return "\n".join(text for text in texts if isinstance(text, str))


def masked(text: str) -> str:
    """A text's template: numbers and placeholders masked, case, spaces and punctuation aside."""
    return _NUMBER.sub("#", folded(_PLACEHOLDER.sub(" 0 ", text)))


def asked(row: Row) -> Said:
    """What the user said, all turns, numbers and placeholders masked."""
    text = "\n".join(text_of(each) for each in row.messages if each.get("role") == "user")
    if len(text) > MAX_CHARS:
        # So long a text is only equal to another or not.
        return (Word(hashlib.sha256(masked(text).encode("utf-8", "replace")).hexdigest(), True),)
    plain = _PLACEHOLDER.sub(" 0 ", unicodedata.normalize("NFKC", text))
    return words(_NUMBER.sub("0", plain))


def keys_of(row: Row) -> Iterator[Hashable]:
    """What rows of one group share, near-duplicates aside."""
    yield "exchange", row.exchange_id
    yield "input", input_digest(row.messages)
    if row.conversation:
        yield "conversation", row.conversation
    first = next((text_of(each) for each in row.messages if each.get("role") == "user"), "")
    if template := masked(first):
        yield "template", template


def grouped(rows: Sequence[Row]) -> list[int]:
    """For each row the number of its group."""
    union = _Union(len(rows))
    first: dict[Hashable, int] = {}
    for index, row in enumerate(rows):
        for key in keys_of(row):
            union.join(index, first.setdefault(key, index))
    texts: dict[Said, int] = {}
    for index, row in enumerate(rows):
        if said := asked(row):
            union.join(index, texts.setdefault(said, index))
    distinct = list(texts)
    for one, two in near_pairs(distinct):
        union.join(texts[distinct[one]], texts[distinct[two]])
    return [union.find(index) for index in range(len(rows))]


def near_pairs(said: Sequence[Said]) -> Iterator[tuple[int, int]]:
    """Pairs that ask nearly the same."""
    kept: dict[int, list[int]] = defaultdict(list)
    for index, each in enumerate(said):
        found: set[int] = set()
        for key in keys("", each):
            found.update(kept[key])
            if len(kept[key]) < _COMPARED:
                kept[key].append(index)
        for other in sorted(found):
            if near(each, said[other]):
                yield other, index


class _Union:
    """Disjoint sets; a set's number is its smallest member."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, index: int) -> int:
        parent = self._parent
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    def join(self, one: int, two: int) -> None:
        one, two = self.find(one), self.find(two)
        self._parent[max(one, two)] = min(one, two)
