"""Numbers in words: English, German, French and Spanish, as far as prices and terms need them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Final


def _listed(words: str) -> list[str]:
    return words.split()


_ENGLISH: Final = {
    word: value
    for value, word in enumerate(
        _listed(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
            "fifteen sixteen seventeen eighteen nineteen"
        )
    )
} | {
    word: 20 + 10 * place
    for place, word in enumerate(_listed("twenty thirty forty fifty sixty seventy eighty ninety"))
}
_ENGLISH_MORE: Final = {"a": 1, "an": 1, "fourty": 40, "couple": 2, "dozen": 12}
_SCALES: Final = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
_GERMAN_ONES: Final = _listed(
    "null ein zwei drei vier funf sechs sieben acht neun zehn elf zwolf dreizehn vierzehn funfzehn "
    "sechzehn siebzehn achtzehn neunzehn"
)
_GERMAN_TENS: Final = _listed("zwanzig dreissig vierzig funfzig sechzig siebzig achtzig neunzig")
_FRENCH_ONES: Final = _listed(
    "zero un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize "
    "dix-sept dix-huit dix-neuf"
)
_FRENCH_TENS: Final = _listed("vingt trente quarante cinquante soixante")
_SPANISH_ONES: Final = _listed(
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince "
    "dieciseis diecisiete dieciocho diecinueve"
)
_SPANISH_TWENTIES: Final = _listed(
    "veinte veintiuno veintidos veintitres veinticuatro veinticinco veintiseis veintisiete "
    "veintiocho veintinueve"
)
_SPANISH_TENS: Final = _listed("treinta cuarenta cincuenta sesenta setenta ochenta noventa")

FRACTIONS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("half", "halves", "halbe", "halber", "halben", "halfte", "moitie"), 1 / 2),
    **dict.fromkeys(("mitad", "medio", "media", "demi"), 1 / 2),
    **dict.fromkeys(("third", "thirds", "drittel", "tiers", "tercio", "tercios"), 1 / 3),
    **dict.fromkeys(("quarter", "quarters", "fourth", "fourths", "viertel"), 1 / 4),
    **dict.fromkeys(("quart", "quarts", "cuarto", "cuartos"), 1 / 4),
    **dict.fromkeys(("fifth", "fifths", "funftel", "cinquieme", "quinto"), 1 / 5),
    **dict.fromkeys(("sixth", "sixths", "sechstel", "sixieme"), 1 / 6),
    **dict.fromkeys(("eighth", "eighths", "achtel", "huitieme"), 1 / 8),
    **dict.fromkeys(("tenth", "tenths", "zehntel", "dixieme", "decimo"), 1 / 10),
}
"""Parts of a whole, each as a share of 1."""
LONGEST: Final = 7
"""Words of the longest number that is read."""
_JOINTS: Final = frozenset({"and", "und", "et", "y"})
_ARTICLES: Final = frozenset({"a", "an", "one", "ein", "eine", "einen", "un", "une", "uno", "una"})
_WORD = re.compile(r"[^\W\d_]+")


def folded(text: str) -> str:
    """Lower case, without accents; ß is ss."""
    bare = unicodedata.normalize("NFKD", text.lower().replace("ß", "ss"))
    return "".join(each for each in bare if not unicodedata.combining(each))


def words(text: str) -> list[str]:
    """The words of a text, folded."""
    return _WORD.findall(folded(text))


def number(said: list[str]) -> float | None:
    """What these words count; None where they are no number. ``["twenty", "five"]`` is 25."""
    if not said or len(said) > LONGEST or said[0] in _JOINTS or said[-1] in _JOINTS:
        return None
    if said in (["a"], ["an"]):
        return None  # an article, where nothing follows that it counts
    known = _others().get(" ".join(said))
    return float(known) if known is not None else _english(said)


def fraction(said: list[str]) -> float | None:
    """The share of a whole that these words say: ``["three", "quarters"]`` is 0.75."""
    if not said or said[-1] not in FRACTIONS:
        return None
    part, before = FRACTIONS[said[-1]], said[:-1]
    if not before or (len(before) == 1 and before[0] in _ARTICLES) or before in (["la"], ["die"]):
        return part
    many = number(before)
    return None if many is None or not 1 <= many <= 20 else many * part


def could_begin(word: str) -> bool:
    """Whether a number or a fraction may begin with this word, or with a word that begins so."""
    return any(each.startswith(word) for each in beginnings())


@cache
def beginnings() -> frozenset[str]:
    """All words that numbers and fractions are made of."""
    made = {*_ENGLISH, *_ENGLISH_MORE, *_SCALES, *FRACTIONS} | _ARTICLES
    return frozenset(made | {word for phrase in _others() for word in phrase.split()})


def _english(said: list[str]) -> float | None:
    total, group, last = 0, 0, ""
    for word in said:
        if word == "and":
            if last not in _SCALES:
                return None
        elif word in _SCALES:
            scale = _SCALES[word]
            if last == "and" or (scale == 100 and group >= 100):
                return None
            if scale == 100:
                group = max(group, 1) * 100
            else:
                total, group = total + max(group, 1) * scale, 0
        else:
            value = _ENGLISH.get(word, _ENGLISH_MORE.get(word))
            if value is None or not _follows(value, group, last):
                return None
            group += value
        last = word
    return float(total + group)


def _follows(value: int, group: int, last: str) -> bool:
    """Whether a word may stand after the one before it: "twenty five", not "two five"."""
    if not last or last in _SCALES or last == "and":
        return True
    return value < 10 and group % 100 >= 20 and group % 10 == 0


@cache
def _others() -> dict[str, int]:
    """German, French and Spanish, 0 to 100, folded, with blanks for hyphens."""
    found = {word: value for value, word in enumerate(_GERMAN_ONES)}
    found |= {"eins": 1, "eine": 1, "einen": 1, "hundert": 100, "einhundert": 100}
    for place, ten in enumerate(_GERMAN_TENS):
        found[ten] = 20 + 10 * place
        for value in range(1, 10):
            found[f"{_GERMAN_ONES[value]}und{ten}"] = 20 + 10 * place + value
    found |= _french() | _spanish()
    return {phrase.replace("-", " "): value for phrase, value in found.items()}


def _french() -> dict[str, int]:
    found = {word: value for value, word in enumerate(_FRENCH_ONES)}
    found |= {"cent": 100, "quatre-vingts": 80, "soixante-et-onze": 71}
    for place, ten in enumerate(_FRENCH_TENS):
        found[ten] = 20 + 10 * place
        found[f"{ten}-et-un"] = 21 + 10 * place
        for value in range(2, 10):
            found[f"{ten}-{_FRENCH_ONES[value]}"] = 20 + 10 * place + value
    for value in range(10, 20):
        found[f"soixante-{_FRENCH_ONES[value]}"] = 60 + value
    for value in range(1, 20):
        found[f"quatre-vingt-{_FRENCH_ONES[value]}"] = 80 + value
    return found


def _spanish() -> dict[str, int]:
    found = {word: value for value, word in enumerate(_SPANISH_ONES)}
    found |= {word: 20 + value for value, word in enumerate(_SPANISH_TWENTIES)}
    found |= {"cien": 100}
    for place, ten in enumerate(_SPANISH_TENS):
        found[ten] = 30 + 10 * place
        for value in range(1, 10):
            found[f"{ten}-y-{_SPANISH_ONES[value]}"] = 30 + 10 * place + value
    return found
