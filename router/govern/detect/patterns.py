"""Everything that is found by its own form, in one reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final

from router.govern.detect import (
    Span,
    TextTooLong,
    apart,
    credentials,
    moments,
    money,
    national,
    network,
)
from router.govern.detect.phones import phones
from router.govern.detect.rules import Finder
from router.wire.characters import Normalised, normalised

MAX_CHARS: Final = 4 * 1024 * 1024
"""Of one text that are read."""
_LEAST_SCORE: Final = 0.35
_REMEMBERED, _REMEMBERED_CHARS = 256, 8192
"""A request's text is read for secrets, then for each target, and conversations repeat theirs; two
megabytes at most."""
_DIGIT: Final = frozenset("0123456789")
_OF_DIGITS: Final[tuple[Finder, ...]] = (
    money.cards,
    money.oddly_written_cards,
    money.ibans,
    phones(),
    national.numbers,
    *(rule.find for rule in (*money.RULES, *moments.RULES)),
)
_OF_ALL: Final[tuple[Finder, ...]] = (
    network.mails,
    network.pages,
    network.domains,
    credentials.private_keys,
    *(rule.find for rule in (*network.RULES, *credentials.RULES)),
)


class Patterns:
    """The detector for what needs no model. Time in proportion to the text.

    Args:
        more: what a configuration looks for beside it.
        least_score: findings that are less sure are none.
    """

    def __init__(self, more: Sequence[Finder] = (), least_score: float = _LEAST_SCORE) -> None:
        self._more = tuple(more)
        self._least = least_score
        self._remembered = lru_cache(maxsize=_REMEMBERED)(self._find)

    def find(self, text: str) -> list[Span]:
        """Also in other spellings of it: full-width digits, hidden characters inside."""
        if len(text) > MAX_CHARS:
            raise TextTooLong(f"a text of {len(text):,} characters; at most {MAX_CHARS:,} are read")
        if len(text) > _REMEMBERED_CHARS:
            return self._find(text)
        return list(self._remembered(text))

    def _find(self, text: str) -> list[Span]:
        read = normalised(text)
        found = apart(span for span in self._all(read.text) if span.score >= self._least)
        return found if read.text is text else [_at(read, span) for span in found]

    def _all(self, text: str) -> Iterator[Span]:
        finders = _OF_ALL if _DIGIT.isdisjoint(text) else _OF_ALL + _OF_DIGITS
        return chain.from_iterable(find(text) for find in finders + self._more)


def _at(read: Normalised, span: Span) -> Span:
    return Span(*read.span(span.start, span.end), span.entity, span.score)
