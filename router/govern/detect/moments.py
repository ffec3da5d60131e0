"""Days, ages, and numbers that the word before them names."""

from __future__ import annotations

import re
from typing import Final

from router.govern.detect.rules import Rule, before

_MONTH: Final = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DAY: Final = r"(?:0?[1-9]|[12]\d|3[01])"
_YEAR: Final = r"(?:1[89]|20)\d{2}"
_NOT_A_DATE: Final = re.compile(r"\b(?:version|v|section|ip|ratio|score)[ .:]{0,2}$", re.IGNORECASE)
_BORN: Final = re.compile(r"\b(?:born|birth(?:day|date)?|dob|d\.o\.b)\b", re.IGNORECASE)


def _date(match: re.Match[str]) -> float:
    if before(match, _NOT_A_DATE, 12):
        return 0
    return 0.95 if before(match, _BORN, 30) else 0.8


def _age(match: re.Match[str]) -> float:
    return 0.85 if 0 < int(match["value"]) <= 120 else 0


_LICENCE: Final = r"(?:driv(?:er|ing)(?:['\u2019]?s)?[ -]?li[cs]en[cs]e|\bd\.?l\.?)"
_NAMED: Final = (
    r"[ \t]{0,2}(?:number|num|no|nr|id|#)?\.?[ \t]{0,2}(?:is|was|:|=|#|-)?[ \t]{0,2}"
    r"(?P<value>(?=[A-Z0-9-]{0,24}\d)[A-Z0-9](?:-?[A-Z0-9]){4,18}|\d{1,5}(?: \d{1,5}){1,4})"
    r"(?![\w-])"
)
RULES: Final = (
    Rule(
        "DATE_TIME",
        re.compile(
            rf"(?<![\w./-])(?:{_YEAR}([-/.])(?:0?[1-9]|1[0-2])\1{_DAY}"
            rf"|{_DAY}([-/.])(?:0?[1-9]|1[0-2])\2(?:{_YEAR}|\d{{2}})"
            rf"|(?:0?[1-9]|1[0-2])([-/.]){_DAY}\3(?:{_YEAR}|\d{{2}}))"
            r"(?:[T ][012]?\d:[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?)?"
            r"(?![\w/-])(?!\.\d)"
        ),
        _date,
    ),
    Rule(
        "DATE_TIME",
        re.compile(
            rf"\b(?=[\djfmasond])(?:{_DAY}(?:st|nd|rd|th)?[ .-]{{1,2}}(?:of )?{_MONTH}\.?"
            rf"(?:,?[ .-]{{1,2}}{_YEAR})?"
            rf"|{_MONTH}\.? {_DAY}(?:st|nd|rd|th)?(?:,? {_YEAR})?|{_MONTH},? {_YEAR})\b",
            re.IGNORECASE,
        ),
        _date,
    ),
    Rule(
        "DATE_TIME",
        re.compile(r"\b(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?\b"),
        lambda _match: 0.5,
        needs=("day",),
    ),
    Rule(
        "AGE",
        re.compile(
            r"(?<![\w.-])(?P<value>\d{1,3})(?:[ -]?(?:years?|yrs?)[ -](?:old|of[ -]age)|[ -]?y/?o\b"
            r"|[ -]?year[ -]olds?)",
            re.IGNORECASE,
        ),
        _age,
    ),
    Rule(
        "AGE",
        re.compile(
            r"\b(?:aged?|turn(?:s|ed|ing)?|age(?: is| of|:)) (?P<value>\d{1,3})\b(?![.,:/%-]?\d)",
            re.IGNORECASE,
        ),
        _age,
    ),
    Rule(
        "DRIVER_LICENSE",
        re.compile(_LICENCE + _NAMED, re.IGNORECASE),
        lambda _match: 0.8,
    ),
    Rule(
        "PASSPORT",
        re.compile(r"\bpass(?:port|eport|aporte|aporto|ep)" + _NAMED, re.IGNORECASE),
        lambda _match: 0.8,
    ),
)
