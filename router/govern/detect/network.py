"""Addresses of the net: mail, pages, machines."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from router.govern.detect import Span
from router.govern.detect.rules import Rule, before

_LOCAL_END: Final = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]")
_MAIL_DOMAIN: Final = re.compile(
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\\{0,2}\.){1,8}(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,24})(?![\w-])",
    re.IGNORECASE,
)
_LONGEST_LOCAL: Final = 64
_ESCAPED: Final = frozenset("\\._+-@")
_AT: Final = re.compile(
    r"@|%40|&#(?:64|x40);|&commat;|\\u0040| ?(?P<word>\[at\]|\(at\)) ?", re.IGNORECASE
)
"""As URLs, HTML and JSON write it, and people who hide from machines."""
_AT_SIGNS: Final = ("%40", "&#", "&commat;", "\\u0040", "at]", "at)", "AT]", "AT)")
_VERSION: Final = re.compile(
    r"(?:\bv|\bversions?|\brelease|\bbuild|\bsection|\bchapter|§)[ :=-]{0,3}$", re.IGNORECASE
)
_TOP: Final = re.compile(
    r"\.(?:com|org|net|edu|gov|mil|int|info|biz|io|ai|app|dev|cloud|online|site|shop|store|tech|xyz"
    r"|co|me|tv|us|uk|ca|au|nz|ie|de|fr|it|es|pt|nl|be|lu|ch|at|dk|se|no|fi|cz|sk|hu|gr|ro|bg|hr"
    r"|si|ee|lv|lt|ua|ru|tr|il|ae|sa|za|ng|ke|eg|ma|tn|in|cn|jp|kr|tw|hk|sg|th|vn|ph|id|br|mx|ar|cl"
    r"|uy|pe|eu)(?![\w@-])(?!\.\w)",
    re.IGNORECASE,
)
_SCHEME: Final = re.compile(
    r"\b((?:https?|ftps?|sftp|wss?)://)[^\s<>\"`{}|\\^]{1,2048}", re.IGNORECASE
)
_PATH: Final = re.compile(r"/[^\s<>\"'`{}|\\^.,;!?)\]]{0,512}")
_WORDS: Final = frozenset({".in", ".it", ".no", ".me", ".at", ".be", ".us", ".id", ".my", ".so"})
_NOT_BEFORE: Final = frozenset("@/_=:")
_LONGEST_NAME: Final = 253


def mails(text: str) -> Iterator[Span]:
    """E-mail addresses: what stands around an ``@``, however that is written."""
    for place, end, is_word in _ats(text):
        start = place
        while start > 0 and place - start < _LONGEST_LOCAL and _is_local(text, start - 1):
            start -= 1
        start += len(text[start:place]) - len(text[start:place].lstrip("./'`*|{=&?#!"))
        domain = _MAIL_DOMAIN.match(text, end)
        if domain and start < place and not (is_word and not _is_known(text, *domain.span())):
            yield Span(start, domain.end(), "EMAIL")


def _is_local(text: str, place: int) -> bool:
    """Whether a sign may stand before an ``@``; a stroke where Markdown or a pattern has one."""
    if text[place] == "\\":
        return text[place + 1] in _ESCAPED
    return _LOCAL_END.match(text, place) is not None


def _ats(text: str) -> Iterator[tuple[int, int, bool]]:
    """Where each begins and ends, and whether it is a word, which may mean something else."""
    if any(sign in text for sign in _AT_SIGNS):
        for match in _AT.finditer(text):
            yield *match.span(), match["word"] is not None
        return
    place = text.find("@")
    while place >= 0:
        yield place, place + 1, False
        place = text.find("@", place + 1)


def _is_known(text: str, start: int, end: int) -> bool:
    """Whether a machine's name ends as most do."""
    top = text.rfind(".", start, end)
    return _TOP.match(text, top, end) is not None


def pages(text: str) -> Iterator[Span]:
    """Addresses with a scheme, to where they end."""
    if "://" not in text:
        return
    for match in _SCHEME.finditer(text):
        address = match[0].rstrip(".,;:!?)]'")
        if len(address) > len(match[1]) + 2:
            yield Span(match.start(), match.start() + len(address), "URL", 0.8)


def domains(text: str) -> Iterator[Span]:
    """Names of machines without a scheme, by how they end."""
    for end in _TOP.finditer(text):
        start = end.start()
        floor = max(0, start - _LONGEST_NAME)
        while start > floor and (text[start - 1].isalnum() or text[start - 1] in ".-"):
            start -= 1
        name = text[start : end.start()]
        before_it = text[start - 1 : start]
        if name.strip(".-") != name or len(name) < 2 or before_it in _NOT_BEFORE or ".." in name:
            continue
        path = _PATH.match(text, end.end())
        if path is None and _may_be_prose(name, end[0]):
            continue
        yield Span(start, path.end() if path else end.end(), "URL", 0.6)


def _may_be_prose(name: str, top: str) -> bool:
    """Whether it may as well be the end of a sentence, without a space before the next one."""
    if name.lower().startswith("www."):
        return False
    return top.lower() in _WORDS or (top != top.lower() and name != name.upper())


def _v4(match: re.Match[str]) -> float:
    if any(int(part) > 255 for part in match[0].split("/")[0].split(".")):
        return 0
    return 0 if before(match, _VERSION, 12) else 0.95


def _v6(match: re.Match[str]) -> float:
    text = match["value"]
    if text.count(":") < 2 or not any(map(str.isdigit, text)) or len(text) < 6:
        return 0
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return 0
    return 0.95


RULES: Final = (
    Rule(
        "IP",
        re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?:/\d{1,2})?(?![\w-])(?!\.\d)"),
        _v4,
        needs=(".",),
    ),
    Rule(
        "IP",
        re.compile(
            r"(?<![\w:.])(?P<value>[0-9A-Fa-f:]{2,39}(?:\d{1,3}(?:\.\d{1,3}){3})?)(?![\w:])"
        ),
        _v6,
        needs=(":",),
    ),
    Rule(
        "MAC",
        re.compile(
            r"(?<![\w:-])[0-9A-Fa-f]{2}(?:([:-])[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2}){4}(?![\w:-])"
        ),
        needs=(":", "-"),
    ),
)
