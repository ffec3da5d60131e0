"""What in a text is personal data or a secret, and where.

Two ways of looking, with one result: ``patterns`` finds what its own form gives away (numbers with
check digits, addresses of the net, keys) in microseconds; ``names`` finds with a small model what
only the sentence around it does (persons, places, organisations), off the event loop.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

SECRETS: Final = frozenset({"PRIVATE_KEY", "SECRET", "URL_CREDENTIALS"})
"""Entities whose holder can do something with them: no policy that is about persons covers them."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something that was found: ``text[start:end]``, in characters.

    Attributes:
        entity: what it is: EMAIL, IBAN, CREDIT_CARD, PHONE, PERSON, LOCATION, ...
        score: how sure, 0 to 1; 1 only where check digits or a whole key's form speak.
        piece: which piece of a value that goes over several texts, from 1; 0: it is whole.
    """

    start: int
    end: int
    entity: str
    score: float = 1.0
    piece: int = 0


class Detector(Protocol):
    """Looks at once; safe in several threads."""

    def find(self, text: str) -> list[Span]:
        """What is in the text: sorted, nothing empty, nothing that overlaps.

        Raises ``TextTooLong``.
        """
        ...


class AwaitedDetector(Protocol):
    """Looks off the event loop, with something that has to be loaded before."""

    @property
    def ready(self) -> bool:
        """Whether ``find`` would begin at once."""
        ...

    async def find(self, texts: Sequence[str]) -> list[list[Span]]:
        """What is in each text, as ``Detector.find`` says it.

        Raises:
            DetectorUnavailable: it could not be loaded, is not loaded yet, or too much waits.
            TextTooLong: one is longer than it reads.
        """
        ...


class DetectorUnavailable(Exception):
    """Nobody looked; says why and what to do. What was to be looked at must not go on."""


class TextTooLong(Exception):
    """A text has more characters than a detector reads. What was not read must not go on."""


def apart(found: Iterable[Span]) -> list[Span]:
    """Sorted and without overlaps: of those that overlap, secrets win, then scores, then length."""
    kept: list[Span] = []
    for span in sorted(found, key=_rank):
        place = bisect_left(kept, span.start, key=_start)
        free = (place == 0 or kept[place - 1].end <= span.start) and (
            place == len(kept) or span.end <= kept[place].start
        )
        if free and span.start < span.end:
            kept.insert(place, span)
    return kept


def _start(span: Span) -> int:
    return span.start


def _rank(span: Span) -> tuple[bool, float, int, int]:
    return span.entity not in SECRETS, -span.score, span.start - span.end, span.start


def merged(surer: Iterable[Span], others: Iterable[Span]) -> list[Span]:
    """Both detectors' findings, sorted and apart: of what ``others`` found all that is not in
    ``surer``'s findings stays, so that nothing that one of them found is lost.
    """
    kept = sorted(surer, key=_start)
    rest: list[Span] = []
    for span in others:
        begin = span.start
        for other in kept[max(0, bisect_left(kept, begin, key=_start) - 1) :]:
            if other.start >= span.end:
                break
            if other.end > begin:
                rest.append(replace(span, start=begin, end=other.start))
                begin = other.end
        rest.append(replace(span, start=begin))
    return sorted([*kept, *(span for span in rest if span.start < span.end)], key=_start)
