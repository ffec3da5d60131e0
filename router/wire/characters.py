"""Characters that hide something: what checks read in their place, and what no model gets.

``normalised`` is for whoever looks for something in a text (personal data, attacks, intents): one
spelling of what a reader sees, however it was written, and where each finding is in the original.
``without_harmful`` is for what models get: the user's own characters, except those that only hide
something from whoever reads along.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import regex  # type: ignore[import-untyped]

from router.wire.lookalikes import LOOKALIKES

_CLUSTERS: Final = regex.compile(r"(?P<plain>[\t\n\r\x20-\x7e]+(?!\p{M}))|\P{M}\p{M}*|\p{M}+")
"""Plain text in one piece, everything else a letter with its marks at a time."""
# By ``re``, not ``regex``: that one lets other threads run while it looks, which costs the event
# loop more than the look.
_PLAIN: Final = re.compile(r"[\t\n\r\x20-\x7e]*+")
_WORD: Final = regex.compile(r"[\p{L}\p{N}]*[^\W\d_a-zA-Z][\p{L}\p{N}]*")
_LATIN: Final = re.compile(r"[A-Za-z]")
_DIGIT_OR_LATIN: Final = re.compile(r"[A-Za-z0-9]")
_OTHER_LETTER: Final = regex.compile(r"[^\W\d_A-Za-z]")
_LINE_ENDS: Final = frozenset("\u0085\u2028\u2029")
_UNSEEN: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\u2800")
"""Not of the category of invisible characters, and yet nothing is seen of them."""

# What no model gets

_HIDING: Final = (
    ("control", r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]+"),
    # All but the flags of England, Scotland and Wales, which are written with them.
    ("tag", r"(?<!\U0001f3f4[\U000e0020-\U000e007e]{0,8})[\U000e0000-\U000e007f]+"),
    ("bidi-override", r"[\u202d\u202e]+"),
    ("annotation", r"[\ufff9-\ufffb]+"),
    ("noncharacter", r"[\ufdd0-\ufdef\ufffe\uffff]+"),
    # One says how the character before it looks; data is hidden in rows of them.
    (
        "variation",
        r"(?<=[\ufe00-\ufe0f\U000e0100-\U000e01ef])[\ufe00-\ufe0f\U000e0100-\U000e01ef]+",
    ),
    # Emoji, Persian and Indic scripts need one or two; data is hidden in rows of them.
    (
        "zero-width",
        r"(?<=[\u00ad\u034f\u180e\u200b-\u200f\u2060-\u2064\ufeff]{2})"
        r"[\u00ad\u034f\u180e\u200b-\u200f\u2060-\u2064\ufeff]+",
    ),
)
_CANDIDATE: Final = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u180e\u200b-\u200f\u202d\u202e"
    r"\u2060-\u2064\ufe00-\ufe0f\ufeff\ufff9-\ufffb\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000e01ef]"
)
"""One of which there may be harm; looked for first, because it takes a twentieth of the time."""
_HARMFUL: Final = regex.compile("|".join(f"(?P<{n.replace('-', '_')}>{p})" for n, p in _HIDING))


def without_harmful(text: str) -> tuple[str, dict[str, int]]:
    """The text as a model may get it, and how many characters of which sort are not in it.

    Removed are control characters but tab and line ends; tag characters outside of flags;
    overrides of the writing direction; annotation marks and noncharacters; and of variation
    selectors and zero-width characters those in rows that no script needs.
    """
    if _CANDIDATE.search(text) is None:
        return text, {}
    removed: dict[str, int] = {}

    def drop(match: regex.Match[str]) -> str:
        kind = str(match.lastgroup).replace("_", "-")
        removed[kind] = removed.get(kind, 0) + len(match[0])
        return ""

    return _HARMFUL.sub(drop, text), removed


# What checks read

_REMEMBERED_CHARS: Final = 8192


@dataclass(frozen=True, slots=True)
class Normalised:
    """A text in one spelling.

    Attributes:
        text: the spelling.
        original: what was written.
    """

    text: str
    original: str
    _starts: list[int] = field(default_factory=list)
    """Where each piece begins in ``text``, and at last its length; empty: nothing changed."""
    _sources: list[tuple[int, int]] = field(default_factory=list)
    """Where each piece is in ``original``."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where ``text[start:end]`` is in ``original``, with what is invisible inside it."""
        if not self._starts or start >= end:
            return start, end
        end = min(end, len(self.text))
        first = bisect_right(self._starts, start) - 1
        last = bisect_right(self._starts, end - 1) - 1
        return self._at(first, start, end=False), self._at(last, end, end=True)

    def _at(self, piece: int, place: int, *, end: bool) -> int:
        begin, until = self._sources[piece]
        size = self._starts[piece + 1] - self._starts[piece]
        if size == until - begin:  # character by character
            return begin + place - self._starts[piece]
        return until if end else begin


def normalised(text: str) -> Normalised:
    r"""One spelling of a text, for checks.

    Compatibility forms as their plain ones (NFKC), digits of any script as ASCII's, line ends as
    ``\n``, without control and invisible characters; and letters of other scripts that look like
    Latin ones as these, in words that mix both, and in words of nothing else among Latin text.
    """
    if text.isascii() and _PLAIN.fullmatch(text):
        return Normalised(text, text)
    return _remembered(text) if len(text) <= _REMEMBERED_CHARS else _normalised(text)


def _normalised(text: str) -> Normalised:
    pieces = list(_pieces(text))
    starts, found = [0], []
    for spelled, _, _ in pieces:
        found.append(spelled)
        starts.append(starts[-1] + len(spelled))
    whole = _as_latin("".join(found))
    return Normalised(whole, text, starts, [(begin, end) for _, begin, end in pieces])


_remembered = lru_cache(maxsize=256)(_normalised)
"""Several checks read the same text, and conversations repeat theirs; two megabytes at most."""


def _pieces(text: str) -> Iterator[tuple[str, int, int]]:
    """What each part of the text is spelled as, and where it is; without what is invisible."""
    for match in _CLUSTERS.finditer(text):
        spelled = match[0] if match.lastgroup == "plain" else _spelled(match[0])
        if spelled:
            yield spelled, match.start(), match.end()


@lru_cache(maxsize=4096)
def _spelled(cluster: str) -> str:
    seen = "".join(map(_seen, unicodedata.normalize("NFKC", cluster)))
    return unicodedata.normalize("NFKC", seen)


def _seen(character: str) -> str:
    if character in "\t\n\r":
        return character
    if character in _LINE_ENDS:
        return "\n"
    if character in _UNSEEN or 0xFE00 <= ord(character) <= 0xFE0F:
        return ""
    category = unicodedata.category(character)
    if category in ("Cf", "Cc", "Cn", "Cs") or 0xE0000 <= ord(character) <= 0xE01EF:
        return ""
    if category == "Zs":
        return " "
    return str(unicodedata.decimal(character)) if category == "Nd" else character


def _as_latin(text: str) -> str:
    """With look-alikes folded; as long as it was."""
    if text.isascii():
        return text
    latin = len(_LATIN.findall(text)) > len(_OTHER_LETTER.findall(text))

    def fold(match: regex.Match[str]) -> str:
        word: str = match[0]
        others = _OTHER_LETTER.findall(word)
        alike = all(letter in LOOKALIKES for letter in others)
        mixed = _DIGIT_OR_LATIN.search(word) is not None
        return word.translate(_FOLDED) if (alike and latin) or mixed else word

    return str(_WORD.sub(fold, text))


_FOLDED: Final = {ord(letter): plain for letter, plain in LOOKALIKES.items()}
