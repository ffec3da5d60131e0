"""Quantities in a text, in whatever spelling: percentages, money, lengths of time, discounts.

"25 %", "25,5 percent", "twenty-five percent", "20 to 30 %", "a quarter off", "half price", "2500
basis points", "$30 off $100", "was $100, now $70", "2.500,00 €", digits of any script. All
are found by what marks them (a sign, a unit); the number is read from there, whichever way.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

from router.policy import spelled


class Quantity(NamedTuple):
    """One quantity.

    Attributes:
        value: percent, units of the currency, or days.
        start: where it begins in the text, as ``plain`` has it.
        end: where it ends.
        text: as it is written there.
        currency: a currency's sign or code; empty for all else.
    """

    value: float
    start: int
    end: int
    text: str
    currency: str = ""


_FORMATTING = re.compile(r"[*`\\]|</?[a-zA-Z][a-zA-Z0-9]{0,10}>")
_DIGITS: Final = (
    r"(?:\d{1,3}(?:[ '\u2019\u00a0\u202f]\d{3})+(?:[.,]\d{1,2})?(?!\d)"
    r"|\d{1,15}(?:[.,]\d{1,15}){0,6})"
)
_SCALES: Final = {
    "k": 1e3, "hundred": 1e2, "thousand": 1e3, "tausend": 1e3, "mille": 1e3, "mil": 1e3,
    "million": 1e6,
}  # fmt: skip
_SCALE: Final = rf"(?:\s?({'|'.join(_SCALES)})\b)?"
_DIGITS_AT_END = re.compile(rf"(?<![\w.,])({_DIGITS}){_SCALE}\s*-?\s*$", re.IGNORECASE)
_DIGITS_AT_START = re.compile(rf"\s*-?\s*({_DIGITS}){_SCALE}", re.IGNORECASE)
_UP_TO = re.compile(rf"\s?[-\u2013\u2014]\s?[$€£¥₹]?({_DIGITS}){_SCALE}(?!\s*[%\d])", re.IGNORECASE)
"""The other end of a range that a currency's sign begins."""
_AND_A_HALF = re.compile(r"(?:[\s-]+and[\s-]+a[\s-]+half|\s?½)\s*-?\s*$", re.IGNORECASE)
_A_HALF_MORE = re.compile(r"\s+and\s+a\s+half\b", re.IGNORECASE)
_BRACKET = re.compile(r"\(([^()]{1,40})\)\s*$")
_WORDS_AT_END = re.compile(r"(?:[^\W\d_]+(?:[\s\-\u2010-\u2015\u2212]+|$)){1,7}$")
_WORDS_AT_START = re.compile(r"\s*((?:[^\W\d_]+[\s-]+){0,6}[^\W\d_]+)")
_LETTERS = re.compile(r"[^\W\d_]+")
_RANGE_AT_END = re.compile(
    r"(?:%|percent|per cent)?\s*(?:-|\u2013|—|…|\.\.\.?|to|and|or|bis|und|oder|a|à|et|ou|y|o)\s*$",
    re.IGNORECASE,
)
_PERCENT = re.compile(
    r"%|٪|(?<![^\W\d_])(?:per[\s-]?cents?|pct|prozent(?:punkte?)?)\b|\bpercentage points?\b"
    r"|(?<![^\W\d_])[vp]\.\s?[hc]\."
    r"|\bpour\s?cent\b|\bpor\s?ciento\b|\bper\s?cento\b|\bprocento?\b",
    re.IGNORECASE,
)
_BASIS_POINTS = re.compile(r"\b(?:bps|basis points?|basispunkte?)\b", re.IGNORECASE)
_CURRENCY = re.compile(
    r"[$€£¥₹]|(?<![^\W\d_])(?:usd|eur|gbp|chf|jpy|inr|(?:u\.?\s?s\.?[\s-])?dollars?|euros?"
    r"|pounds? sterling|quid|bucks|grand|francs?|franken|pesos?)(?![^\W_])"
    r"|(?<![^\W_])(?:usd|eur|gbp|chf|jpy|inr)(?=\d)",
    re.IGNORECASE,
)
_SIGNS: Final = frozenset("$€£¥₹")
_CODES: Final = {
    "$": "USD", "dollar": "USD", "dollars": "USD", "bucks": "USD", "€": "EUR", "euro": "EUR",
    "euros": "EUR", "£": "GBP", "quid": "GBP", "pound sterling": "GBP", "pounds sterling": "GBP",
    "¥": "JPY", "₹": "INR", "franc": "CHF", "francs": "CHF", "franken": "CHF", "peso": "MXN",
    "pesos": "MXN",
}  # fmt: skip
_TIME = re.compile(
    r"(?<![^\W\d_])(?:(?P<hour>hours?|hrs?|stunden?|heures?|horas?)"
    r"|(?P<business>(?:business|working) days?)"
    r"|(?P<day>(?:(?:calendar|consecutive|full|more|extra|additional)\s)?days?|nights?|tagen?|tage"
    r"|jours?|dias?|(?<=\d)(?-i:d))"
    r"|(?P<week>weeks?|wks?|wochen?|semaines?|semanas?)|(?P<fortnight>fortnights?)"
    r"|(?P<month>months?|mths?|mos?|monaten?|monate|mois|mes(?:es)?)"
    r"|(?P<year>years?|yrs?|jahren?|jahre|ans?)|(?P<decade>decades?))(?![^\W_])",
    re.IGNORECASE,
)
_DAYS: Final = {
    "hour": 1 / 24,
    "business": 7 / 5,
    "day": 1.0,
    "week": 7.0,
    "fortnight": 14.0,
    "month": 30.0,
    "year": 365.0,
    "decade": 3650.0,
}
_SHARE = re.compile(
    r"(?<!\d)[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]|(?<![\d/])(\d{1,2})\s?[/\u2044]\s?(\d{1,3})(?![\d/])"
)
_READ_BACK: Final = 64


def plain(text: str) -> str:
    """Without marks of formatting; digits and signs of all scripts as ASCII has them."""
    if "&" in text:
        text = html.unescape(text)
    text = _FORMATTING.sub("", text)
    return text if text.isascii() else "".join(map(_plain, text))


def _plain(letter: str) -> str:
    if letter < "\x80":
        return letter
    if (digit := unicodedata.digit(letter, None)) is not None and letter not in "²³¹":
        return str(digit)
    category = unicodedata.category(letter)
    if category == "Cf":
        return ""
    if category in ("Nd", "Lu", "Ll", "Lo", "Po", "Sc", "Ps", "Pe", "Sm"):
        folded = unicodedata.normalize("NFKC", letter)
        return folded if len(folded) == 1 else letter
    return letter


def figure(text: str) -> float:
    """A number in figures, whichever way its thousands and its fraction are marked."""
    text = re.sub(r"[ '\u2019\u00a0\u202f]", "", text)
    last = max(text.rfind("."), text.rfind(","))
    if last < 0:
        return float(text)
    marks = {mark for mark in ".," if mark in text}
    tail, many = len(text) - last - 1, text.count(text[last])
    grouped = tail == 3 and (many > 1 or (len(marks) == 1 and text[:last].strip("0") != ""))
    whole = re.sub(r"[.,]", "", text[:last])
    if grouped:
        return float(re.sub(r"[.,]", "", text))
    return float(f"{whole or '0'}.{text[last + 1 :] or '0'}")


def percentages(text: str) -> Iterator[Quantity]:
    """All percentages of a ``plain`` text."""
    for marks, scale in ((_PERCENT, 1.0), (_BASIS_POINTS, 0.01)):
        for mark in marks.finditer(text):
            found = list(_before(text, mark.start(), mark.end()))
            if not found and mark[0] in "%٪":  # as Turkish writes it
                found = list(_after(text, mark))
            for each in found:
                yield each._replace(value=_percent(each) if scale == 1 else each.value * scale)


def _percent(found: Quantity) -> float:
    """Nobody means 12500 by ``12.500 %``."""
    if found.value > 1000 and re.fullmatch(r"\D*\d{1,2}[.,]\d{3}\D*", found.text):
        return found.value / 1000
    return found.value


def money(text: str) -> Iterator[Quantity]:
    """All amounts of money of a ``plain`` text."""
    for mark in _CURRENCY.finditer(text):
        sign = mark[0].lower()
        found = list(_after(text, mark)) if sign in _SIGNS or len(sign) == 3 else []
        found = found or list(_before(text, mark.start(), mark.end()))
        if not found and sign in _SIGNS:
            found = list(_words_after(text, mark))
        scale = 1000 if sign == "grand" else 1
        code = "USD" if "dollar" in sign or scale > 1 else _CODES.get(sign, sign.upper())
        for each in found:
            yield each._replace(value=each.value * scale, currency=code)


def durations(text: str) -> Iterator[Quantity]:
    """All lengths of time of a ``plain`` text, in days."""
    for mark in _TIME.finditer(text):
        scale = _DAYS[mark.lastgroup or "day"]
        for found in _before(text, mark.start(), mark.end()):
            yield found._replace(value=found.value * scale)
        words = _words_before(text, mark.start())
        if words and words[-1][0] in ("a", "an", "one", "eine", "une", "una"):
            start, more = words[-1][1], _A_HALF_MORE.match(text, mark.end())
            end = more.end() if more else mark.end()
            yield Quantity(scale * (1.5 if more else 1), start, end, text[start:end])


def shares(text: str) -> Iterator[Quantity]:
    """All parts of a whole: "a quarter", "3/4", "½"; in percent."""
    for mark in _SHARE.finditer(text):
        above, below = mark[1], mark[2]
        if above is None:
            value = unicodedata.numeric(mark[0])
        elif int(below):
            value = int(above) / int(below)
        else:
            continue
        if 0 < value <= 1:
            yield Quantity(value * 100, mark.start(), mark.end(), mark[0])
    folded = [
        (spelled.folded(word[0]), word.start(), word.end()) for word in _LETTERS.finditer(text)
    ]
    for place, (word, _, end) in enumerate(folded):
        if word not in spelled.FRACTIONS:
            continue
        for many in range(min(3, place), -1, -1):
            said = [each[0] for each in folded[place - many : place + 1]]
            part = spelled.fraction(said)
            if part is not None:
                first = folded[place - many][1]
                yield Quantity(part * 100, first, end, text[first:end])
                break


def _before(text: str, place: int, end: int) -> Iterator[Quantity]:
    """The number that ends at a place, and the other end of a range that it closes."""
    found = _number_ending(text, place)
    if found is None:
        return
    yield found._replace(end=end, text=text[found.start : end])
    joint = _RANGE_AT_END.search(text, max(0, found.start - 20), found.start)
    if joint is None:
        return
    first = _number_ending(text, joint.start())
    if first is not None:
        yield first._replace(end=end, text=text[first.start : end])


def _number_ending(text: str, place: int) -> Quantity | None:
    begin = max(0, place - _READ_BACK)
    half = _AND_A_HALF.search(text[begin:place])
    if half is not None:
        whole = _number_ending(text, begin + half.start())
        if whole is not None:
            return Quantity(whole.value + 0.5, whole.start, place, text[whole.start : place])
    bracket = _BRACKET.search(text[begin:place])
    if bracket is not None:  # "twenty-five (25) percent"
        inner = _number_ending(text, begin + bracket.end(1))
        if inner is not None:
            return Quantity(inner.value, inner.start, place, text[inner.start : place])
        return _number_ending(text, begin + bracket.start())
    figures = _DIGITS_AT_END.search(text[begin:place])
    if figures is not None:
        start = begin + figures.start()
        return Quantity(_scaled(figures), start, place, text[start:place])
    words = _words_before(text, place)
    for many in range(min(len(words), spelled.LONGEST), 0, -1):
        said = words[-many:]
        value = spelled.number([word for word, _ in said])
        if value is not None:
            return Quantity(value, said[0][1], place, text[said[0][1] : place])
    return None


def _words_before(text: str, place: int) -> list[tuple[str, int]]:
    begin = max(0, place - _READ_BACK)
    found = _WORDS_AT_END.search(text[begin:place].rstrip(" -\t\r\n\u00a0\u202f"))
    if found is None:
        return []
    at = begin + found.start()
    return [(spelled.folded(w[0]), at + w.start()) for w in _LETTERS.finditer(found[0])]


def _after(text: str, mark: re.Match[str]) -> Iterator[Quantity]:
    found = _DIGITS_AT_START.match(text, mark.end())
    if found is None:
        return
    yield Quantity(_scaled(found), mark.start(), found.end(), text[mark.start() : found.end()])
    more = _UP_TO.match(text, found.end())
    if more is not None:
        yield Quantity(_scaled(more), mark.start(), more.end(), text[mark.start() : more.end()])


def _words_after(text: str, mark: re.Match[str]) -> Iterator[Quantity]:
    """A number in words behind a sign: "$ one hundred"."""
    found = _WORDS_AT_START.match(text, mark.end())
    if found is None:
        return
    said = [(spelled.folded(w[0]), found.start(1) + w.end()) for w in _LETTERS.finditer(found[1])]
    for many in range(min(len(said), spelled.LONGEST), 0, -1):
        value = spelled.number([word for word, _ in said[:many]])
        if value is not None:
            end = said[many - 1][1]
            yield Quantity(value, mark.start(), end, text[mark.start() : end])
            return


def _scaled(found: re.Match[str]) -> float:
    """A number in figures, and the word behind it that multiplies it."""
    return figure(found[1]) * _SCALES.get((found[2] or "").lower(), 1.0)


class Field(NamedTuple):
    """A number under a key, in the arguments of a tool call.

    Attributes:
        key: its name there.
        value: the number.
        is_share: it may be a part of one: a fraction below 1, or said as one.
        start: where the key begins in the text.
        end: where the value ends.
    """

    key: str
    value: float
    is_share: bool
    start: int
    end: int


_FIELD = re.compile(
    r"""(?:["']([^"'\n]{1,60})["']\s{0,9}:|(?<![\w-])([A-Za-z_][\w-]{0,40})\s{0,9}[:=])"""
    r"""\s{0,9}(?:\[\s{0,9})?(?:(-?\d{1,60}(?:\.\d{1,60})?(?:e[+-]?\d{1,3})?)(?![\w.])"""
    r"""|["']([^"'\n]{1,60}))""",
    re.IGNORECASE,
)
_SAID = re.compile(
    r"\s{0,9}(?:(?:up to|about|around|maximum|max|minus|bis zu)\s{1,3})?[-+\u2212]?\s?[$€£]?\s?"
    rf"({_DIGITS}|[.,]\d{{1,15}})(?:e([+-]?\d{{1,2}}))?",
    re.IGNORECASE,
)


def fields(text: str) -> Iterator[Field]:
    """All numbers of a ``plain`` text under their keys: as JSON has them, and said in a string."""
    for found in _FIELD.finditer(text):
        value, is_share = _bare(found[3]) if found[3] else _said(found[4])
        if value is not None:
            key = (found[1] or found[2]).strip()
            yield Field(key, value, is_share, found.start(), found.end())


def _bare(figures: str) -> tuple[float, bool]:
    value = abs(float(figures))
    return value, value <= 1 and not figures.lstrip("-").isdigit()


def _said(text: str) -> tuple[float | None, bool]:
    found = _SAID.match(text)
    if found is not None:
        value = figure(found[1]) * 10.0 ** int(found[2] or 0)
        return value, value <= 1 and not found[0].strip().isdigit()
    words = spelled.words(text)
    value_of = spelled.number(words)
    return (value_of, False) if value_of is not None else (spelled.fraction(words), True)
