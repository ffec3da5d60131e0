"""Telephone numbers, by the numbering plans that ``phonenumbers`` knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

import phonenumbers

from router.govern.detect import Span
from router.govern.detect.rules import Finder, digits_of

REGIONS: Final = ("US", "GB", "DE", "FR", "ES", "IT", "NL", "AU", "IN", "BR")
"""Whose national numbers are known without a country code."""
_FORM: Final = re.compile(
    r"(?<![\w.,/+-])(?<![$€£¥#]\s)(?<![$€£¥#])(?:\+\s?|00\s?)?\(?\d(?:[\s().\u2013/-]{0,3}\d){5,18}"
    r"(?:\s?(?:x|ext\.?|#)\s?\d{1,6})?(?![\w%€$£]|[.,:]\d|-\w)"
)
_WORDS: Final = re.compile(
    r"\b(?:tele?(?:ph?one?|fon|f)?|phones?|mobile?|mobiel|m[oó]vil|cell(?:ular|phone)?|handy|fax"
    r"|whats ?app|sms|text|call(?:s|ed|ing)?|dial|ring|reach(?:ed)?|contact|hotline|landline"
    r"|n[uú]mero|nummer|portable|celular|rufnummer)\b|☎|📞|📱",
    re.IGNORECASE,
)
_OTHERS: Final = re.compile(
    r"\b(?:order|invoice|ticket|case|ref(?:erence)?|tracking|parcel|booking|confirmation|part"
    r"|serial|model|sku|item|isbn|issn|ean|upc|imei|vin|version|account|acct|iban|card|transaction"
    r"|customer|member|policy|claim|id|code|pin|otp|page|row|line|port|article)"
    r"(?:\s?(?:number|num|no|nr|id|code))?[\s.:#=-]{0,3}(?:is|was)?\s{0,2}$",
    re.IGNORECASE,
)
_DATE: Final = re.compile(
    r"(?:19|20)\d\d[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:19|20)\d\d"
)
_REACH: Final = 40


def phones(regions: tuple[str, ...] = REGIONS) -> Finder:
    """Looks for numbers of these countries, and for international ones of all."""

    def find(text: str) -> Iterator[Span]:
        for match in _FORM.finditer(text):
            score = _score(match, regions)
            if score:
                yield Span(match.start(), match.end(), "PHONE", score)

    return find


def _score(match: re.Match[str], regions: tuple[str, ...]) -> float:
    written, start, text = match[0], match.start(), match.string
    count = len(digits_of(written))
    if "\n" in written or not 7 <= count <= 19 or _DATE.match(written):
        return 0
    international = written[0] == "+" or written[:2] == "00"
    if international and _is(phonenumbers.is_valid_number, written):
        return 0.95
    if _OTHERS.search(text, max(0, start - _REACH), start):
        return 0
    meant = _WORDS.search(text, max(0, start - _REACH), start) is not None
    if not meant and not _like_a_phone(written):
        return 0.6 * (written[0] == "+")
    if any(_is(phonenumbers.is_valid_number, written, region) for region in regions):
        return 0.9 if meant else 0.5
    return 0.75 if meant and count <= 15 else 0


def _like_a_phone(written: str) -> bool:
    """In two to five groups, written one way: not a row of figures."""
    groups = re.split(r"\D+", written.strip("( "))
    return 2 <= len(groups) <= 5 and (written[0] in "(0" or len(groups[-1]) == 4)


def _is(
    check: Callable[[phonenumbers.PhoneNumber], bool], text: str, region: str | None = None
) -> bool:
    try:
        return check(phonenumbers.parse(text, region))
    except phonenumbers.NumberParseException:
        return False
