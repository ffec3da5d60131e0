"""What must not be torn apart: rows of one conversation, of one template, or nearly the same.

A model that trained on one of them has seen the others.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from adapters.corpus.folding import folded
from adapters.dataset.frozen import Row, input_digest

NEAR: Final = 0.8
"""Rows whose words and pairs of words overlap by this much (Jaccard) are nearly the same."""
_HASHES: Final = 64
_BAND: Final = 4
_COMPARED: Final = 50
"""With how many of its band a text is compared, so that no band costs its square."""
_PLACEHOLDER: Final = re.compile(r"\[[A-Z][A-Z0-9_ ]*\]|<[A-Z][A-Z0-9_]*>")
_NUMBER: Final = re.compile(r"\d[\d.,:/]*(?: \d[\d.,:/]*)*")
_PRIME: Final = (1 << 31) - 1
_random = np.random.default_rng(20_260_101)
_FACTORS = _random.integers(1, _PRIME, _HASHES, dtype=np.int64)
_TERMS = _random.integers(0, _PRIME, _HASHES, dtype=np.int64)


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


def asked(row: Row) -> str:
    """What the user said, all turns, masked."""
    return masked("\n".join(text_of(each) for each in row.messages if each.get("role") == "user"))


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
    texts: dict[str, int] = {}
    for index, row in enumerate(rows):
        if text := asked(row):
            union.join(index, texts.setdefault(text, index))
    distinct = list(texts)
    for one, two in near_pairs(distinct):
        union.join(texts[distinct[one]], texts[distinct[two]])
    return [union.find(index) for index in range(len(rows))]


def near_pairs(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs of masked texts that are nearly the same."""
    shingles = [shingled(text) for text in texts]
    bands: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    for index, parts in enumerate(shingles):
        signature = _signature(parts)
        found: set[int] = set()
        for band in range(0, _HASHES, _BAND):
            bucket = bands[band, signature[band : band + _BAND].tobytes()]
            found.update(bucket)
            if len(bucket) < _COMPARED:
                bucket.append(index)
        for other in sorted(found):
            if overlap(parts, shingles[other]) >= NEAR:
                yield other, index


def shingled(text: str) -> frozenset[str]:
    """The words of a text and its pairs of words."""
    words = text.split()
    return frozenset([*words, *(f"{one} {two}" for one, two in pairwise(words))])


def overlap(one: frozenset[str], two: frozenset[str]) -> float:
    """Jaccard's index."""
    return len(one & two) / (len(one | two) or 1)


def _signature(parts: Iterable[str]) -> np.ndarray[Any, Any]:
    hashed = [
        int.from_bytes(hashlib.blake2b(part.encode("utf-8", "replace"), digest_size=4).digest())
        % _PRIME
        for part in parts
    ]
    values = np.array(hashed or [0], dtype=np.int64)
    spread = (values[:, None] * _FACTORS + _TERMS) % _PRIME
    return np.asarray(spread.min(axis=0))


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
