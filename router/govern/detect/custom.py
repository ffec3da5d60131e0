"""Kinds of data that a configuration describes: order numbers, customer numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import regex  # type: ignore[import-untyped]

from router.govern.detect import Span
from router.govern.detect.rules import Finder

LONGEST: Final = 512
"""Characters of a pattern."""
_SCORE: Final = 0.96
_LIMIT_S: Final = 0.25
"""For one text; a pattern that needs more makes the search fail, and what was not searched does
not leave."""
_TRIAL_S: Final = 0.05
_PIECES: Final = ("a", "A", "0", " ", "-", "aA", "a0", "a ", "0-", "A-0 ", ".", "@a.")


class BadPattern(ValueError):
    """A pattern cannot be used; says why."""


def custom(patterns: Mapping[str, str]) -> list[Finder]:
    """What finds them.

    Args:
        patterns: by the kind of data; a group named ``value`` is the finding, else all of it.

    Raises:
        BadPattern: one is too long, no regular expression, matches nothing at all, or takes too
            long on texts that it does not match.
    """
    return [_finder(entity, _compiled(entity, pattern)) for entity, pattern in patterns.items()]


def _compiled(entity: str, pattern: str) -> regex.Pattern[str]:
    if len(pattern) > LONGEST:
        raise BadPattern(f"the pattern of {entity} has more than {LONGEST} characters")
    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        raise BadPattern(f"the pattern of {entity} is no regular expression: {error}") from error
    if compiled.search("") is not None:
        raise BadPattern(f"the pattern of {entity} matches the empty text")
    for text in _trials(pattern):
        try:
            sum(1 for _ in compiled.finditer(text, timeout=_TRIAL_S))
        except TimeoutError as error:
            raise BadPattern(
                f"the pattern of {entity} takes too long on {text[:4]!r}, repeated: no repetition "
                "inside a repetition, please"
            ) from error
    return compiled


def _trials(pattern: str) -> Iterator[str]:
    """Rows of what a pattern may repeat, then what it does not expect before its own letters."""
    own = "".join(dict.fromkeys(filter(str.isalnum, pattern)))[:40]
    for piece in (*_PIECES, *own):
        for end in ("", "!", f"\n{own}"):
            yield piece * (3000 // len(piece)) + end


def _finder(entity: str, compiled: regex.Pattern[str]) -> Finder:
    group = "value" if "value" in compiled.groupindex else 0

    def find(text: str) -> Iterator[Span]:
        for match in compiled.finditer(text, timeout=_LIMIT_S):
            yield Span(match.start(group), match.end(group), entity, _SCORE)

    return find
