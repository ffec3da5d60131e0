"""Cards, accounts and wallets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from router.govern.detect import Span
from router.govern.detect.checksums import base58, bech32, luhn, mod97
from router.govern.detect.rules import BEFORE, Rule, digits_of

_COUNTRIES: Final = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24
DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27
GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20
LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24
PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25
SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30
"""
_IBAN_LENGTHS: Final = {word[:2]: int(word[2:]) for word in _COUNTRIES.split()}
"""Of an IBAN without spaces, by its country."""
_IBAN_BEGIN: Final = re.compile(r"\b[A-Za-z]{2}\d{2}(?=[ -]?[A-Za-z0-9])")
_DIGIT_RUN: Final = re.compile(r"(?<![\w,])(?<![\d][.])\d+(?:[ -]\d+)*(?!\w)(?!\.\d)")
_ODDLY_GROUPED: Final = re.compile(
    r"(?<![\w.,])(?:\d{4}([._/·])\d{4}\1\d{4}\1\d{4}|3[47]\d\d([._/·])\d{6}\2\d{5})(?!\w)(?!\.\d)"
)
"""Between the groups stands what people hardly write there: only of a card that was issued."""
_DIGITS: Final = re.compile(r"\d+")
_MOST_GROUPS: Final = 32
"""Of a row of numbers, how many are looked at: a table is no card."""
_CARD_WORDS: Final = re.compile(
    r"\b(?:cards?|credit|debit|visa|master ?card|maestro|amex|american express|diners|discover"
    r"|jcb|unionpay|cc|cvv|cvc|kreditkarte|karte|carte|tarjeta|carta|cart[aã]o)\b",
    re.IGNORECASE,
)
_ISSUED: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11,16}"
    r"|(?:5[06-8]|6[0-9]|35)\d{14,17}|(?:5[06-8]|6[0-9]|06)\d{10,13}|(?:1800|2131)\d{11}"
)
"""First digits and lengths of cards that are issued: Visa, Mastercard, Amex, Diners, ..."""


def ibans(text: str) -> Iterator[Span]:
    """Account numbers by ISO 13616, in groups or not."""
    for match in _IBAN_BEGIN.finditer(text):
        start, end = match.start(), _iban_end(text, match.start())
        letters = re.sub(r"[ -]", "", text[start:end]).upper()
        if letters and letters.isascii() and mod97(letters):
            yield Span(start, end, "IBAN")


def _iban_end(text: str, start: int) -> int:
    """Where an IBAN that starts here ends, by its country's length; ``start``: there is none."""
    length, end, size = _IBAN_LENGTHS.get(text[start : start + 2].upper(), 0), start, 0
    while size < length and end < len(text) and (text[end].isalnum() or text[end] in " -"):
        size += text[end] not in " -"
        end += 1
    whole = length and size == length and not text[end : end + 1].isalnum()
    return end if whole else start


def cards(text: str) -> Iterator[Span]:
    """Card numbers, in groups or not, also with other numbers beside them."""
    for run in _DIGIT_RUN.finditer(text):
        if run.end() - run.start() < 12:
            continue
        groups = list(_DIGITS.finditer(text, run.start(), run.end()))[:_MOST_GROUPS]
        for first, group in enumerate(groups):
            size = 0
            for last in groups[first:]:
                size += last.end() - last.start()
                score = _card(text, group.start(), last.end()) if 12 <= size <= 19 else 0
                if score:
                    yield Span(group.start(), last.end(), "CREDIT_CARD", score)


def oddly_written_cards(text: str) -> Iterator[Span]:
    """Card numbers with dots, slashes or underscores between their groups."""
    for match in _ODDLY_GROUPED.finditer(text):
        digits = digits_of(match[0])
        if luhn(digits) and _ISSUED.fullmatch(digits):
            yield Span(match.start(), match.end(), "CREDIT_CARD", 0.9)


def _card(text: str, start: int, end: int) -> float:
    digits = digits_of(text[start:end])
    if len(set(digits)) < 2:
        return 0
    meant = _CARD_WORDS.search(text, max(0, start - BEFORE), end + BEFORE // 2) is not None
    known = _ISSUED.fullmatch(digits) is not None
    if luhn(digits):
        return 0.99 if meant and known else 0.9 if known and len(digits) > 12 else 0.8 * meant
    return 0.6 if meant and known and len(digits) > 12 else 0  # mistyped, and still a card


def _wallet(match: re.Match[str]) -> float:
    address = match[0]
    body = base58(address)
    return float(body is not None and len(body) == 21)


RULES: Final = (
    Rule(
        "BANK_ACCOUNT",
        re.compile(
            r"\b(?:account|acct|routing|sort[ -]code|kontonummer|konto|cuenta|compte)"
            r"[ \t]*(?:number|num|no|nr|nº|n°|#)?\.?[ \t]*(?:is|was|:|=|#|-)?[ \t]*"
            r"(?P<value>\d{2,6}(?:[ -]?\d{2,6}){1,5})(?![\w-])(?!\.\d)",
            re.IGNORECASE,
        ),
        lambda match: 0.7 * (6 <= len(digits_of(match["value"])) <= 20),
    ),
    Rule("CRYPTO", re.compile(r"\b[13LMDTXr][1-9A-HJ-NP-Za-km-z]{25,34}\b"), _wallet),
    Rule(
        "CRYPTO",
        re.compile(r"\b(?:bc1|tb1|ltc1|BC1|TB1|LTC1)[02-9A-HJ-NP-Zac-hj-np-z]{11,87}\b"),
        lambda match: float(bech32(match[0])),
        needs=("c1", "b1", "C1", "B1"),
    ),
    Rule("CRYPTO", re.compile(r"\b0x[0-9a-fA-F]{40}\b"), lambda _match: 0.9, needs=("0x",)),
)
