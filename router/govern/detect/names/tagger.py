"""The model: what each word of a text is, in NumPy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from router.govern.detect import Span
from router.govern.detect.names.codes import is_code
from router.govern.detect.names.features import (
    CAPITAL,
    CASED,
    DATA,
    LISTS,
    NATION,
    PEOPLE,
    TABLES,
    Ids,
    Marks,
    Words,
    lists,
    words_of,
)

Array = NDArray[np.float32]
ENTITIES: Final = (
    "PERSON",
    "ADDRESS",
    "LOCATION",
    "ORGANIZATION",
    "NRP",
    "TITLE",
    "DATE_TIME",
    "AGE",
)
TAGS: Final = ("O", *(f"{part}-{entity}" for entity in ENTITIES for part in "BI"))
REACHES: Final = (1, 2, 4, 8, 1)
"""How far to each side the layers look, in words."""
WEIGHTS: Final = DATA / "names.safetensors"
_PART: Final = 1024
_SEEN: Final = sum(REACHES)
_OF_PERSONS: Final = frozenset({"PERSON", "ADDRESS"})
_AFTER_CODE: Final = frozenset("([_")
_HUMPS: Final = re.compile(r"\b(?!Mac)([A-Z][a-z]{2,})(?:[A-Z][a-z]{2,})+\b")
_GIVEN: Final = 1 << LISTS.index("given")
_NEVER: Final = np.float32(-1e4)


class Tagger:
    """Finds names in texts. Blocks for about as many milliseconds as there are hundreds of words.

    Args:
        weights: a safetensors file as ``scripts/names/train.py`` writes it.
        caution: what speaks for a name beforehand, in logits: more finds more, also wrongly.
    """

    def __init__(self, weights: Path = WEIGHTS, caution: float | None = None) -> None:
        found = {name: array.astype(np.float32) for name, array in load_file(weights).items()}
        self._weights = found
        self._caution = float(found["caution"][0]) if caution is None else caution

    def find(self, text: str) -> list[Span]:
        """What is in the text, sorted and apart."""
        words = words_of(text)
        if not words.spans:
            return []
        return list(_spans(text, words, self.logits(words), self._caution))

    def logits(self, words: Words) -> Array:
        """(words, tags): a long text in parts, each with all that a word of it can see."""
        parts: list[Array] = []
        for first in range(0, len(words.spans), _PART):
            begin = max(0, first - _SEEN)
            part = slice(begin, first + _PART + _SEEN)
            found = self._part(words.ids[part], words.marks[part])
            parts.append(found[first - begin : first - begin + _PART])
        return np.concatenate(parts)

    def _part(self, ids: Ids, marks: Marks) -> Array:
        weights = self._weights
        embedded = [weights[sort][ids[:, place]] for place, sort in enumerate(TABLES)]
        state = np.concatenate([*embedded, marks], 1) @ weights["in.weight"].T
        state = _gelu(state + weights["in.bias"])
        for layer, reach in enumerate(REACHES):
            around = np.concatenate([_shifted(state, -reach), state, _shifted(state, reach)], 1)
            more = _gelu(around @ weights[f"layer{layer}.weight"].T + weights[f"layer{layer}.bias"])
            state = state + more
        out: Array = state @ weights["out.weight"].T + weights["out.bias"]
        return out


def _shifted(state: Array, by: int) -> Array:
    moved = np.zeros_like(state)
    if abs(by) < len(state):
        if by < 0:
            moved[-by:] = state[:by]
        else:
            moved[:-by] = state[by:]
    return moved


def _gelu(state: Array) -> Array:
    found: Array = state / (1 + np.exp(np.clip(-1.702 * state, -80, 80)))
    return found


def _spans(text: str, words: Words, logits: Array, caution: float) -> Iterator[Span]:
    scores = logits - logits.max(1, keepdims=True)
    sure = np.exp(scores)
    sure /= sure.sum(1, keepdims=True)
    scores[:, 0] -= caution
    tags = _with_lists(_best(scores), words)
    place = 0
    while place < len(tags):
        tag = tags[place]
        end = place + 1
        if tag:
            while end < len(tags) and tags[end] == (tag + 1 if tag % 2 else tag):
                end += 1
            score = float(1 - sure[place:end, 0].mean())
            start, until = _trimmed(text, words.spans[place][0], words.spans[end - 1][1])
            entity = ENTITIES[(tag - 1) // 2]
            if start < until and not _is_other(text, start, until, entity):
                yield Span(start, until, entity, min(score, 0.89))
        place = end


def _is_other(text: str, start: int, end: int, entity: str) -> bool:
    """Whether its form says that it is something else."""
    if entity in _OF_PERSONS and _is_program(text, start, end):
        return True
    return _is_marker(text, start, end) or is_code(text, start, end, entity)


def _is_marker(text: str, start: int, end: int) -> bool:
    """Whether it is the number of a citation, ``[1]``: nobody's address."""
    inside = text[start:end].strip("[]")
    return inside.isdigit() and "[" in text[max(0, start - 1) : start + 1]


def _is_program(text: str, start: int, end: int) -> bool:
    """Whether it is a name in a program: called, indexed, or in several humps (``TextTooLong``,
    but not ``MacKenzie`` or ``AnnaSchmidt``).
    """
    if text[end : end + 1] in _AFTER_CODE and end < len(text):
        return True
    humps = _HUMPS.search(text, start, end)
    return humps is not None and not lists().get(humps[1].lower(), 0) & _GIVEN


def _with_lists(tags: list[int], words: Words) -> list[int]:
    """With states and peoples that the model passed over; not where capital letters say nothing."""
    marks = words.marks
    clear = (marks[:, CAPITAL] * marks[:, CASED]) > 0
    for column, entity in ((NATION, "LOCATION"), (PEOPLE, "NRP")):
        tag = TAGS.index(f"B-{entity}")
        for place in np.flatnonzero(clear & (marks[:, column] > 0)):
            if tags[place] == 0:
                tags[place] = tag
    return tags


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Without spaces and signs at its borders that belong to the sentence."""
    while start < end and text[start] in " \t\n\r,;:>-*\"'(|":
        start += 1
    while start < end and text[end - 1] in " \t\n\r,;:>-*\"'(|!?":
        end -= 1
    return start, end


def _steps() -> Array:
    """What may follow what: an ``I-`` follows its own ``B-`` or ``I-``."""
    allowed = np.zeros((len(TAGS), len(TAGS)), np.float32)
    for after in range(2, len(TAGS), 2):
        allowed[:, after] = _NEVER
        allowed[[after - 1, after], after] = 0
    return allowed


_STEPS: Final = _steps()
_FIRST: Final = _STEPS[0]


def _best(scores: Array) -> list[int]:
    """The best row of tags that is allowed."""
    total = scores[0] + _FIRST
    came: list[NDArray[np.intp]] = []
    for row in scores[1:]:
        paths = total[:, None] + _STEPS
        best = paths.argmax(0)
        came.append(best)
        total = paths[best, np.arange(len(TAGS))] + row
    tag = int(total.argmax())
    tags = [tag]
    for best in reversed(came):
        tag = int(best[tag])
        tags.append(tag)
    return tags[::-1]
