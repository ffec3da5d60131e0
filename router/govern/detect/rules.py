"""One thing that a pattern can find: a form, and what decides whether the form is meant.

Forms are without nested repetition of unbounded length, so that the time that they take grows with
the text alone. Possessive groups would say the same, but Python 3.11 gets some of them wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from router.govern.detect import Span

BEFORE: Final = 48
"""Characters before a finding in which a word may say what it is."""


def sure(_match: re.Match[str]) -> float:
    """The form says everything."""
    return 1.0


Finder = Callable[[str], Iterator[Span]]
"""Findings in a text, in any order; they may overlap. In time proportional to the text."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Finds one kind of thing.

    Attributes:
        entity: what it is.
        form: how it looks; takes time in proportion to the text, whatever the text is. A group
            named ``value`` is the finding, if there is one; else all of it.
        score: how sure a match is, 0 to 1; 0: it is none.
        needs: what a text without any finding most often lacks: a text that holds none of these
            is not looked at. Empty: it always is.
    """

    entity: str
    form: re.Pattern[str]
    score: Callable[[re.Match[str]], float] = sure
    needs: tuple[str, ...] = ()

    def find(self, text: str) -> Iterator[Span]:
        """What it finds; may overlap with others' findings."""
        if self.needs and not any(need in text for need in self.needs):
            return
        group = "value" if "value" in self.form.groupindex else 0
        for match in self.form.finditer(text):
            score = self.score(match)
            if score > 0:
                yield Span(match.start(group), match.end(group), self.entity, score)


def before(match: re.Match[str], words: re.Pattern[str], reach: int = BEFORE) -> bool:
    """Whether one of the words is shortly before the match."""
    start = match.start()
    return words.search(match.string, max(0, start - reach), start) is not None


def around(match: re.Match[str], words: re.Pattern[str], reach: int = BEFORE) -> bool:
    """Whether one of the words is shortly before or after the match."""
    start, end = match.span()
    return words.search(match.string, max(0, start - reach), end + reach // 2) is not None


def digits_of(text: str) -> str:
    """Its digits alone."""
    return "".join(filter(str.isdigit, text))
