r"""What placeholders look like, and how they are found again in what a model made of them.

``[EMAIL_1]``: a word that says what it is and a small number are copied by the smallest models, and
neither JSON nor Markdown has to escape the brackets. Models write ``[email 1]``, ``<EMAIL-1>``,
``[EMAIL\_1]``, in URLs ``%5BEMAIL_1%5D`` and, without brackets, ``EMAIL_1``: all of these are
found, but ``email 1``, which people write, is not. A speaker's name, which may have no brackets,
gets ``EMAIL_1`` from the start.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

MAX_CHARS: Final = 96
"""No placeholder is longer, however it is written."""
_DIGITS: Final = 6
_GAP: Final = r"[\s_\\-]{0,4}"
_KEPT: Final = 1024
_OPEN: Final = r"(?:[\[<【]|%5[Bb])"
_CLOSE: Final = r"(?:[\]>】]|%5[Dd])"
_TAIL: Final = re.compile(
    rf"(?:\\{{0,2}}(?:{_OPEN}\s{{0,3}}(?P<word>[^\W\d](?:[^\W\d]|[\s\\-]){{0,47}})?"
    rf"(?P<digits>\d{{0,{_DIGITS}}})\s{{0,3}}\\{{0,2}}(?:%5?)?)?|%5?)\Z"
)
_BARE_TAIL: Final = re.compile(rf"(?<![^\W_])[A-Z][A-Z_\\]{{0,47}}\d{{0,{_DIGITS}}}\Z")
_LETTERS: Final = re.compile(r"[\W\d_]+")


class Name(NamedTuple):
    """One placeholder, however it is written."""

    entity: str
    number: int

    def __str__(self) -> str:
        return f"[{self.bare}]"

    @property
    def bare(self) -> str:
        """Where brackets cannot stand."""
        return f"{self.entity}_{self.number}"


def word_of(entity: str) -> str:
    """What a kind of data is called in placeholders: capitals and underscores."""
    return re.sub(r"[^A-Z]+", "_", entity.upper()).strip("_")[:40] or "DATA"


class Written:
    """Finds the placeholders of some kinds of data.

    Args:
        entities: their words.
    """

    def __init__(self, entities: Iterable[str]) -> None:
        self._plain = {_LETTERS.sub("", word): word for word in entities}
        words = sorted(self._plain.values(), key=len, reverse=True)
        loose = "|".join(_GAP.join(map(re.escape, word.split("_"))) for word in words)
        exact = "|".join(word.replace("_", r"\\{0,2}_") for word in words)
        number = rf"\d{{1,{_DIGITS}}}"
        self._any = re.compile(
            # A backslash before it belongs to it only when there is one inside, too: it may be the
            # client's own, as in a path.
            rf"(?:\\{{1,2}}[\[<](?=[^\]>]{{0,{MAX_CHARS}}}\\[\]>])|{_OPEN})"
            rf"\s{{0,3}}(?P<loose>{loose}){_GAP}(?P<n>{number})\s{{0,3}}\\{{0,2}}{_CLOSE}"
            rf"|(?<![^\W_])(?P<exact>(?-i:{exact}))\\{{0,2}}_(?P<m>{number})(?!\d)",
            re.IGNORECASE,
        )
        self._typed = re.compile(rf"({loose}){_GAP}({number})", re.IGNORECASE)

    def find(self, text: str) -> Iterator[tuple[int, int, Name]]:
        """Everything that is a placeholder: from where, to where, which."""
        for found in self._any.finditer(text):
            word = self._plain[_LETTERS.sub("", found["loose"] or found["exact"]).upper()]
            yield found.start(), found.end(), Name(word, int(found["n"] or found["m"]))

    def typed(self, text: str) -> Iterator[Name]:
        """Everything that could be taken for one, with brackets or without."""
        for word, number in self._typed.findall(text):
            yield Name(self._plain[_LETTERS.sub("", word).upper()], int(number))

    def settled(self, text: str) -> int:
        """How much of a beginning cannot be changed by what follows, in characters."""
        start = max(0, len(text) - MAX_CHARS)
        for found in _tails(text, start):
            if self._may_go_on(found):
                return found.start()
        return len(text)

    def _may_go_on(self, found: re.Match[str]) -> bool:
        if found.re is _BARE_TAIL:
            tail = found[0].replace("\\", "")
            word = tail.rstrip("0123456789")
            if word != tail:
                return word.rstrip("_") in self._plain.values() and word.endswith("_")
            return any(f"{each}_".startswith(word) for each in self._plain.values())
        word, digits = found["word"], found["digits"]
        letters = _LETTERS.sub("", word or "").upper()
        if digits:
            return letters in self._plain
        return any(plain.startswith(letters) for plain in self._plain)


def _tails(text: str, start: int) -> Iterator[re.Match[str]]:
    """What at the end of a text may be a beginning, the longest first."""
    for place in range(start, len(text)):
        letter = text[place]
        if letter in "\\[<【%":
            found = _TAIL.match(text, place)
        elif "A" <= letter <= "Z":
            found = _BARE_TAIL.match(text, place)
        else:
            continue
        if found is not None:
            yield found


@lru_cache(_KEPT)
def written(entities: frozenset[str]) -> Written:
    """Made once for each set."""
    return Written(entities)
