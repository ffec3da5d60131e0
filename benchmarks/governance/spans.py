"""How well findings agree with what is there: spans that overlap enough, counted.

The protocol of presidio-research's ``SpanEvaluator``, written anew: characters between a span's
first and last word that says something are compared, spans that only words without meaning part
are one, intersection over union decides, and recall counts twice (F2). ``pii`` takes every kind of
finding as one; by kind, a wrong kind is a miss and a false alarm.
"""

from __future__ import annotations

import re
import string
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from router.govern.detect import Span

ENOUGH: Final = 0.7
_BETA: Final = 2.0
_TOKEN: Final = re.compile(r"\w+(?:[.'][a-z]?\b)?|[^\w\s]")
_EMPTY: Final = (
    "'s street st. st de rue via and a the or do as of day address country state city zip po apt"
    " apt. unit corner p.o. box suite mr. mrs. miss year years y/o month months old morning noon"
    " afternoon night evening this first last week weeks weekend days age ago inc inc. ltd"
)


@cache
def _skipped() -> frozenset[str]:
    from spacy.lang.en.stop_words import STOP_WORDS

    return frozenset({*_EMPTY.split(), *string.punctuation, *STOP_WORDS})


@dataclass(slots=True)
class Counts:
    """Of one kind of finding.

    Attributes:
        there: spans in the truth.
        found: spans that were found.
        right: those that overlap enough.
    """

    there: int = 0
    found: int = 0
    right: int = 0

    @property
    def precision(self) -> float:
        """Share of the found that is right."""
        return self.right / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        """Share of what is there that was found."""
        return self.right / self.there if self.there else 0.0

    @property
    def f2(self) -> float:
        """Both, recall twice."""
        precision, recall, square = self.precision, self.recall, _BETA**2
        total = square * precision + recall
        return (1 + square) * precision * recall / total if total else 0.0


@dataclass(slots=True)
class Agreement:
    """Over many texts.

    Attributes:
        pii: every kind as one.
        kinds: each by itself.
        characters: those of the truth's spans that are letters or digits, and how many of them
            lie in some finding.
    """

    pii: Counts = field(default_factory=Counts)
    kinds: defaultdict[str, Counts] = field(default_factory=lambda: defaultdict(Counts))
    characters: list[int] = field(default_factory=lambda: [0, 0])

    @property
    def masked(self) -> float:
        """Share of the characters that would be masked."""
        return self.characters[1] / self.characters[0] if self.characters[0] else 0.0

    def add(self, text: str, truth: Sequence[Span], found: Sequence[Span]) -> None:
        """One text more."""
        tokens = [(m.start(), m.end(), m[0].lower()) for m in _TOKEN.finditer(text)]
        count(
            self.pii, _joined(tokens, truth, one_kind=True), _joined(tokens, found, one_kind=True)
        )
        by_kind = [_by_kind(_joined(tokens, spans, one_kind=False)) for spans in (truth, found)]
        for kind in {*by_kind[0], *by_kind[1]}:
            count(self.kinds[kind], by_kind[0].get(kind, []), by_kind[1].get(kind, []))
        covered = {i for span in found for i in range(span.start, span.end)}
        inside = {i for span in truth for i in range(span.start, span.end) if text[i].isalnum()}
        self.characters[0] += len(inside)
        self.characters[1] += len(inside & covered)


def count(counts: Counts, truth: Sequence[Span], found: Sequence[Span]) -> None:
    """Match what is there with what was found, all of it of one kind."""
    counts.there += len(truth)
    touched: set[Span] = set()
    for span in truth:
        over = [other for other in found if other.start < span.end and span.start < other.end]
        touched.update(over)
        if not over:
            continue
        counts.found += 1
        inside = {i for other in over for i in range(other.start, other.end)}
        whole = set(range(span.start, span.end))
        counts.right += len(inside & whole) >= ENOUGH * len(inside | whole)
    counts.found += sum(other not in touched for other in found)


Token = tuple[int, int, str]


def _joined(tokens: Sequence[Token], spans: Iterable[Span], *, one_kind: bool) -> list[Span]:
    """From the first to the last word with a meaning; neighbours of a kind as one."""
    kinds: list[str] = ["" for _ in tokens]
    for span in spans:
        for place, (start, end, _) in enumerate(tokens):
            if start < span.end and span.start < end:
                kinds[place] = "PII" if one_kind else span.entity
    joined: list[Span] = []
    open_kind = ""
    for (start, end, word), kind in zip(tokens, kinds, strict=True):
        if word in _skipped():
            continue
        if kind and kind == open_kind:
            joined[-1] = Span(joined[-1].start, end, kind)
        elif kind:
            joined.append(Span(start, end, kind))
        open_kind = kind
    return joined


def _by_kind(spans: Iterable[Span]) -> dict[str, list[Span]]:
    found: dict[str, list[Span]] = {}
    for span in spans:
        found.setdefault(span.entity, []).append(span)
    return found
