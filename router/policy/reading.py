"""Reads an answer as it comes: where it breaks an obligation, and how much of it must wait.

Nothing here keeps anything back: ``Reading`` tells how many of the newest characters may still
become a breach.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from router.policy import spelled
from router.policy.numbers import plain
from router.policy.obligations import LOOK_BACK, Kind, kind_meant
from router.ruling import Obligation

SETTLED: Final = 48
"""Characters after a quantity that may still change what it means."""
_EVERY: Final = 24
"""Characters after which numbers are looked for anew; with ``SETTLED`` less than ``LOOK_BACK``."""
_KEPT: Final = 400
_SIGNAL: Final = re.compile(r"[\d$€£¥₹½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]|[^\W\d_]+")
_TOO_COMMON: Final = frozenset(
    {
        *("a", "an", "and", "one", "et", "y", "un", "une", "uno", "una", "ein", "eine", "einen"),
        *("la", "die", "und", "cent"),
    }
)
_OTHER_BEGINNINGS: Final = frozenset(
    {"buy", "bogo", "free", "halve", "halves", "halved", "halving"}
)


@dataclass(frozen=True, slots=True)
class Breach:
    """Where an answer does not keep an obligation."""

    rule: str
    detail: str
    start: int
    end: int


def violations(
    obligations: Iterable[Obligation], text: str, *, arguments: bool = False
) -> list[Breach]:
    """What a whole text does not keep."""
    return Reading(list(obligations), arguments=arguments).read(text, ended=True)[0]


class Reading:
    """Reads one text of an answer as it comes.

    Args:
        obligations: to be kept.
        arguments: the text is a tool call's arguments, in JSON.
    """

    def __init__(self, obligations: Sequence[Obligation], *, arguments: bool = False) -> None:
        kinds = [(each.rule, kind_meant(each)) for each in obligations]
        self._counting = [each for each in kinds if each[1].counts]
        self._wording = [each for each in kinds if not each[1].counts]
        self._arguments = arguments
        self._kept = ""
        self._unread = 0
        self._waited = False

    def read(self, text: str, *, ended: bool) -> tuple[list[Breach], int]:
        """The next piece: what is broken for certain, and how many of the newest characters wait.

        ``ended``: nothing that could change its meaning follows.
        """
        self._kept += text
        self._unread += len(text)
        waiting = self._waiting()
        found: list[Breach] = []
        # Numbers are looked for where one may be, and not again with each of a stream's events.
        if ended or ((waiting or self._waited) and self._unread >= _EVERY):
            found += self._counted(ended=ended)
            self._unread, self._waited = 0, waiting > 0
        self._waited = self._waited or waiting > 0
        if self._wording:
            found += _breaches(self._wording, plain(self._kept), arguments=self._arguments)
        if ended:
            waiting = 0
        elif self._arguments:
            waiting = len(self._kept)
        elif len(self._kept) > 2 * _KEPT:
            self._kept = self._kept[-max(_KEPT, waiting + LOOK_BACK) :]
        return found, waiting

    def _counted(self, *, ended: bool) -> list[Breach]:
        text = plain(self._kept)
        found = _breaches(self._counting, text, arguments=self._arguments)
        return [each for each in found if ended or len(text) - each.end >= SETTLED]

    def _waiting(self) -> int:
        waiting = max((kind.waits(self._kept) for _, kind in self._wording), default=0)
        if self._counting:
            tail = self._kept[-LOOK_BACK:]
            first = next(_triggers(tail), None)
            if first is not None:
                waiting = max(waiting, len(tail) - first)
        return waiting


def _breaches(kinds: Sequence[tuple[str, Kind]], text: str, *, arguments: bool) -> list[Breach]:
    return [
        Breach(rule, detail, start, end)
        for rule, kind in kinds
        for detail, start, end in kind.breaches(text, arguments=arguments)
    ]


def _triggers(tail: str) -> Iterator[int]:
    """Where a number may begin: in figures, in words, or in a word that is not over."""
    for found in _SIGNAL.finditer(tail):
        word = found[0]
        if not word[0].isalpha():
            yield found.start()
            continue
        folded = spelled.folded(word)
        if folded in _TOO_COMMON:
            continue
        last = found.end() == len(tail)
        whole = folded in spelled.beginnings() or folded in _OTHER_BEGINNINGS
        if whole or (last and spelled.could_begin(folded)):
            yield found.start()
