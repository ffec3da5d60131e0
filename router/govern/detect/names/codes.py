"""What stands in shops' and banks' sentences where addresses and years might: codes, sums, sizes.

The model tells numbers by their length and their neighbours, and takes the number of an order for
one of a house. What a number hangs on is certain, and says more.
"""

from __future__ import annotations

import re
from typing import Final

from router.govern.detect.names.features import LISTS, lists

_CODE: Final = re.compile(
    r"(?<![^\W_])(?:#\s?\d{4,}|[A-Za-z]{1,3}\d{4,}|\d{9,}|\d{4,}[A-Za-z])(?![^\W_])"
)
"""Of an order, a bill, a ticket. Letters of postcodes stand apart: ``D-10115``, ``1234 AB``."""
_POSTCODE: Final = re.compile(r"(?<![^\W_])(?<![$€£¥₹#])\d{4,8}(?![^\W_])")
_WORD: Final = re.compile(r"[^\W\d_]{3,}|[^\x00-\x7f]")
_MONEY_BEFORE: Final = re.compile(r"[#$€£¥₹]\s?$")
_MONEY_AFTER: Final = re.compile(
    r"\s?(?:[$€£¥₹%]|(?:dollars?|euros?|pounds?|rupees?|usd|eur|gbp|inr|rs|bucks)\b)", re.IGNORECASE
)
_PLACES: Final = sum(
    1 << LISTS.index(name) for name in ("cities", "countries", "roads", "provinces", "units")
)
_LOOK: Final = 12


def is_code(text: str, start: int, end: int, entity: str) -> bool:
    """Whether ``text[start:end]``, found as this entity, is a code, a sum of money or a size."""
    if entity in {"DATE_TIME", "AGE"}:
        return _hangs(text, start) or _is_money(text, start, end)
    if entity == "ADDRESS":
        return not _is_place(text, start, end)
    return entity == "PERSON" and end - start == 1 and text[end : end + 1].isdigit()


def _hangs(text: str, start: int) -> bool:
    """Whether it is the rest of a word that began before it, ``5245`` of ``F5245``."""
    return start > 0 and text[start].isdigit() and text[start - 1].isalnum()


def _is_money(text: str, start: int, end: int) -> bool:
    if not text[start:end].isdigit():
        return False
    before = _MONEY_BEFORE.search(text, max(0, start - _LOOK), start)
    return before is not None or _MONEY_AFTER.match(text, end) is not None


def _is_place(text: str, start: int, end: int) -> bool:
    """An address has a word or a postcode; with a code in it, a word that places have."""
    found = text[start:end]
    has_code = _CODE.search(found) is not None or text[max(0, start - 1) : start] == "#"
    if not has_code and not _hangs(text, start):
        return bool(_WORD.search(found) or _POSTCODE.search(found))
    known = lists()
    return any(known.get(word.lower(), 0) & _PLACES for word in _WORD.findall(found))
