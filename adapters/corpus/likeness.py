"""Which questions are nearly equal: the same matter with other courtesies, contractions or slips.

"How do I return these shoes?" and "Hi, how can I retrun these shoes please" are one; the same of
boots, or of another order's number, is not. Every word that says something has to be there in its
place; what may differ are words that say nothing, a plural, and slips of the pen in longer words
in lower case: numbers, products and names differ as soon as one letter does.

Exact keys lead to what may be nearly equal, so that nothing has to be compared with everything.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from adapters.corpus.folding import seen

MAX_CHARS: Final = 8000
"""Longer texts are only equal or not."""
_HOLES: Final = 8
"""Words of a text that may be the one with a slip, as far as keys go."""
_LEAST: Final = 3
"""Words that say something; with fewer, those that say nothing say it all."""
_SWAPPED: Final = 6
_MISSING: Final = 7
"""Letters from which on two in wrong order, or one that is missing, make no other word, mostly."""
_SLIPS_EACH: Final = 8
"""One slip may be in so many words."""
_TOKEN: Final = re.compile(
    r"\[[A-Z][A-Z_]*_\d+\]|[^\W_]+(?:['\u2019.,:/@&+_-][^\W_]+)*(?:\#(?!\w))?|[^\w\s]"
)
_SYMBOLS: Final = frozenset({"Sc", "Sm"})
"""Of Unicode: signs of currencies and of mathematics make another amount or product: $5, C++."""
_RULERS: Final = "|~"
"""Symbols that set texts apart and say nothing."""
_COURTESIES: Final = re.compile(
    r"\b(?:(?:could|can|would|will) you (?:please )?(?:kindly )?(?:tell|explain to|inform) me|"
    r"(?:i would|i'd|i\u2019d) (?:like|love) to know|i (?:want|need) to know|"
    r"i was wondering|i am wondering|good (?:morning|afternoon|evening|day)|"
    r"thank you(?: very much| so much)?|thanks(?: a lot| in advance)?|many thanks|"
    r"por favor|s'il vous pla[iî]t|(?:vielen |herzlichen )?dank(?:e)?)\b",
    re.IGNORECASE,
)
_SAYS_NOTHING: Final = re.compile(
    r"an?|the|please|pl[sz]|kindly|hi|hello|hey|dear|so|just|actually|ok|okay|well|"
    r"do|does|can|could|may|is|are|am|"
    r"bitte|hallo|danke|bonjour|merci|svp|hola|gracias"
)
_SHORT: Final = {"n't": " not", "'re": " are", "'m": " am", "'ll": " will", "'ve": " have"}
_IS: Final = re.compile(
    r"\b(what|where|when|who|how|why|it|that|there|here|he|she)'s\b", re.IGNORECASE
)
_SHORTENED: Final = re.compile(r"(?<=\w)(n't|'re|'m|'ll|'ve)\b", re.IGNORECASE)
_CANNOT: Final = re.compile(r"\b(?:can't|cannot)\b", re.IGNORECASE)
_WONT: Final = re.compile(r"\bwon't\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Word:
    """One word that says something."""

    text: str
    exact: bool
    """A number, a placeholder, or what may be a name or a product: no letter of it may differ."""


def words(text: str) -> tuple[Word, ...]:
    """What a text says, without what says nothing."""
    plain = seen(text).replace("\u2019", "'")
    plain = _WONT.sub("will not", _CANNOT.sub("can not", plain))
    plain = _SHORTENED.sub(lambda found: _SHORT[found[0].lower()], _IS.sub(r"\1 is", plain))
    plain = _COURTESIES.sub(" ", plain)
    shouts = plain.isupper()
    return tuple(_words(plain, shouts=shouts))


def _words(text: str, *, shouts: bool) -> Iterator[Word]:
    starts = True
    last = 0
    for found in _TOKEN.finditer(text):
        token = found[0]
        if len(token) == 1 and not token.isalnum() and not _is_symbol(token):
            continue
        starts = starts or any(mark in text[last : found.start()] for mark in ".!?\n:")
        last = found.end()
        folded = token.casefold()
        if _SAYS_NOTHING.fullmatch(folded):
            continue
        yield Word(folded, _is_exact(token, starts=starts, shouts=shouts))
        starts = False


def _is_symbol(token: str) -> bool:
    return token not in _RULERS and unicodedata.category(token) in _SYMBOLS


def _is_exact(token: str, *, starts: bool, shouts: bool) -> bool:
    if not token.isalpha():
        return True
    if shouts or token.islower() or token == "I":  # noqa: S105 - a pronoun
        return False
    return not (starts and token[1:].islower())


def near(one: tuple[Word, ...], other: tuple[Word, ...]) -> bool:
    """Whether two texts ask the same."""
    if len(one) != len(other) or len(one) < _LEAST:
        return False
    slips = 0
    for a, b in zip(one, other, strict=True):
        if a.text == b.text:
            continue
        if a.exact or b.exact or not _is_slip(a.text, b.text):
            return False
        slips += 1
    return slips <= 1 + len(one) // _SLIPS_EACH


def _is_slip(one: str, other: str) -> bool:
    """A plural, two letters that changed places, or an inner one that is missing or too much."""
    short, long = sorted((one, other), key=len)
    if long == short + "s" and len(short) > 3:
        return not short.endswith("s")
    if len(long) < _SWAPPED or one[0] != other[0]:
        return False
    if len(short) == len(long):
        places = [n for n, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
        if len(places) != 2 or places[1] != places[0] + 1:
            return False
        first, second = places
        return one[first] == other[second] and one[second] == other[first]
    if len(short) != len(long) - 1 or len(long) < _MISSING:
        return False
    # Not the last letter: that makes another form of the word, which may be another word.
    return any(long[:n] + long[n + 1 :] == short for n in range(1, len(long) - 1))


def keys(head: str, said: tuple[Word, ...]) -> list[int]:
    """Under which a text is kept and looked for; nearly equal ones mostly share one.

    Args:
        head: what has to be equal beside the text.
        said: its words.
    """
    if len(said) < _LEAST:
        return []
    shapes = [word.text if word.exact else _shape(word.text) for word in said]
    found = [_key(head, shapes)]
    slips = [n for n, word in enumerate(said) if not word.exact and len(word.text) >= _MISSING - 1]
    for place in slips[:_HOLES]:
        holed = [*shapes[:place], "\0", *shapes[place + 1 :]]
        found.append(_key(head, holed))
    return list(dict.fromkeys(found))


def _shape(word: str) -> str:
    """The same for letters that changed places or are doubled, and for a plural."""
    if len(word) <= 3:
        return word
    letters = word[:-1] if word.endswith("s") and not word.endswith("ss") else word
    return letters[0] + "".join(sorted({*letters[1:]}))


def _key(head: str, shapes: list[str]) -> int:
    said = "\x1f".join([head, *shapes]).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), signed=True)
