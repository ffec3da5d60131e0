"""How much less than the price a text offers: percentages, parts, pairs of prices, bundles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from router.policy.numbers import Field, Quantity, fields, figure, money, percentages, shares

_CONTEXT_BEFORE: Final = 160
_CONTEXT_AFTER: Final = 80
_I: Final = re.IGNORECASE
_OFFERING = re.compile(
    r"\b(?:off|discount\w*|reduc\w+|rebat\w*|mark(?:ed)?[ -]?downs?|cheaper|less|sav(?:es?|ings?)"
    r"|coupons?|vouchers?|promo\w*|deals?|offer\w*|credit|goodwill|knock\w*|give you|grant\w*|take"
    r"|i can do|we can do|how about|loyalty|price cut|price"
    r"|rabatt\w*|nachlass\w*|nachlaß|preisnachlass\w*|erm(?:ä|ae)(?:ß|ss)ig\w*|g(?:ü|ue)nstiger|reduzier\w*"
    r"|spar\w*|gutschein\w*|angebot\w*|prozente"
    r"|remises?|r(?:é|e)duction\w*|rabais|promotion|offr\w+|moins cher"
    r"|descuentos?|rebaja\w*|ofert\w+|sconto|korting|indirim)\b",
    _I,
)
_LESS_AFTER = re.compile(
    r"^\W{0,3}(?:of (?:the|your|its) (?:\w+ )?(?:price|cost|total|order|bill)\W+)?"
    r"(?:(?:more|flat|full|whole|extra|in)\W+){0,2}(?:off|discount|less|cheaper|reduction|rebate"
    r"|savings?|price cut|rabatt|nachlass|g(?:ü|ue)nstiger|erm(?:ä|ae)(?:ß|ss)igung|reduziert"
    r"|de remise|de r(?:é|e)duction|de rabais|de descuento|de rebaja|di sconto)\b",
    _I,
)
_LESS_BEFORE = re.compile(
    r"\b(?:discount(?:ed)?(?: you)?(?: of| by)?|reduc\w+(?: \w+){0,3} (?:by|of)|rebate of"
    r"|sav(?:e|ings?)(?: of| you)?|lower(?:ed)?(?: \w+){0,3} by|(?:knock|take|shave)(?: off)?"
    r"|(?:pric|cost|fe|bill|total)\w*(?: \w+){0,2} (?:drops?|falls?|comes down|shrinks?)(?: by)?"
    r"|(?:cut|slash|drop)\w*(?: \w+){0,3} (?:price|cost|total|bill|fee)s? (?:by|in)"
    r"|rabatt von|nachlass von|um"
    r"|remise de|r(?:é|e)duction de|rabais de|descuento de|rebaja de)\W{0,3}"
    r"(?:about |up to |roughly |etwa |bis zu )?$",
    _I,
)
_PRICE_AFTER = re.compile(
    r"^\W{0,3}(?:(?:the|its|their|your|of|off|full|regular|usual|normal|original|list|retail|de|del?|le|du"
    r"|der|den|des)\W+){0,4}(?:prices?|preis\w*|prix|precio|cost)\b",
    _I,
)
_PART_OF_PRICE = re.compile(
    r"^\W{0,3}of (?:(?:the|its|their|your|our|full|regular|usual|normal|original|list|retail"
    r"|sticker)\s+){0,3}"
    r"(?:price|cost|total|rrp|msrp)\b",
    _I,
)
_MORE_BEFORE = re.compile(
    r"\b(?:increas\w*|rais\w*|rose|rises?|went up|grew|grows?|gain\w*|more than|tax(?:es)?|vat)\W+"
    r"(?:\w+\W+){0,3}$",
    _I,
)
_MORE_AFTER = re.compile(
    r"^\W{0,3}(?:more|increase\w*|higher|surcharge|mark-?up|interest|tax|vat|tip|aufschlag|mehr)\b",
    _I,
)
_PAYING = re.compile(
    r"\b(?:pay(?:ing|s)?|charged?|costs?|for(?: only| just)?|at(?: only| just)?)\W+"
    r"(?:(?:only|just|you|about|a mere)\W+){0,2}$",
    _I,
)
_GIVING: Final = (
    r"\W+(?:(?:currently|possibly|just|even|really|simply|yet|also|ever|be able to)\W+){0,2}"
    r"(?:offer|give|grant|provide|do|apply|go|get|allow|promise|make|match|accept|approve|authori[sz]e"
    r"|honou?r|extend|exceed|reduce|discount|lower|sell|take|knock|cut|say|confirm|guarantee|add"
    r"|combine|beat|be (?:discounted|reduced|given|offered|granted|applied|lowered))\b"
)
_REFUSING = re.compile(
    r"\b(?:(?:can(?:no|')t|can ?not|can\u2019t|unable to|not able to|won['\u2019]t"
    r"|will not|not allowed to|not authori[sz]ed to|not permitted to|isn['\u2019]t possible to"
    rf"|not possible to|(?:don['\u2019]t|do not|never)(?=\W+(?:offer|give|grant)\b)){_GIVING}"
    r"|kein(?:e|en|er)?|ne (?:peux|pouvons) pas|no puedo|no podemos)\b"
    r"(?:(?!\b(?:only|just|but|instead|sondern|mais|sino)\b)[^.,;:!?\n]){0,60}$",
    _I,
)
_LESS_BETWEEN = re.compile(
    r"^\W{0,3}(?:off|discount|less|rebate|reduction|back|rabatt|nachlass|de remise"
    r"|de r(?:é|e)duction|de descuento|credit)\b[^.!?\n]{0,40}$",
    _I,
)
_MINUS = re.compile(r"(?:^|[\s(])[-\u2212]\s?$")
_LETTER = re.compile(r"\w")
_SAVING = re.compile(r"\bsav(?:e|es|ing)\b[^.!?\n]{0,12}$", _I)
_ON_BETWEEN = re.compile(r"^[^.!?\n]{0,20}\b(?:on|off|of|from|auf|sur|en)\b[^.!?\n]{0,30}$", _I)
_DOWN_BEFORE = re.compile(
    r"\b(?:from|was|were|originally|instead of|regularly|normally|von|statt|de|antes)\W{0,10}$", _I
)
_DOWN_BETWEEN = re.compile(
    r"^[^.!?\n]{0,12}(?:\b(?:to|now|for(?: only| just)?|down to|auf|jetzt|nur|[aà]|ahora)\b|→|->)"
    r"[^.!?\n]{0,12}$",
    _I,
)
_NOW_BETWEEN = re.compile(
    r"^(?:[^.!?\n]{0,24}\b(?:now|jetzt|ahora)\b[^.!?\n]{0,12}|\s{0,3}(?:→|➜|⇒|[-=]>)\s{0,3})$", _I
)
_INSTEAD = re.compile(
    r"^[^.!?\n]{0,20}\b(?:instead of|rather than|down from|reduced from|was"
    r"|were|regularly|originally|normally|usually|statt|vorher|au lieu de"
    r"|en vez de)\b"
    r"[^.!?\n]{0,12}$",
    _I,
)
_BUNDLE = re.compile(
    r"\bbuy (?P<buy>one|two|three|\d)\W+get (?P<get>one|two|another|\d)\W+(?:for )?free\b|\bbogo\b"
    r"|\b(?P<many>two|2|three|3|four|4) for (?:the price of )?(?P<paid>one|1|two|2|three|3)\b",
    _I,
)
_BARE_PAIR = re.compile(
    r"(?<![\d.,])(\d{1,6}(?:[.,]\d{1,2})?)\s?(?:[$€£]|usd|eur|dollars?|euros?|bucks|pounds?)?\s+off"
    r"(?: of)?(?: (?:a|an|your|every|each|the))?(?: (?:order|purchase)s?)?(?: (?:of|over|above))?"
    r"\s+[$€£]?(\d{1,6}(?:[.,]\d{1,2})?(?![\d%])|hundred|thousand)\b",
    _I,
)
_DECIMAL_SHARE = re.compile(
    r"(?<![\d.,$€£])(0?[.,]\d{1,3})\s*(?:off|discount|rabatt|reduction)\b", _I
)
_FREE = re.compile(
    r"\b(?:free of charge|for free|completely free|entirely free|totally free)\b", _I
)
_COUNTS: Final = {"another": 1, "one": 1, "two": 2, "three": 3, "four": 4}
_NESTED = re.compile(r"""["']([^"'\n]{1,60})["']\s{0,9}:\s{0,9}\{([^{}]{1,300})""")
_OF_A_DISCOUNT = re.compile(r"discount|rabatt|remise|descuento|percent|pct|markdown|reduction", _I)
_PLAIN_KEYS: Final = frozenset({"value", "rate", "off", "amount", "number", "size"})
_SAYS_PERCENT = re.compile(r"percent|\bpct\b|%|prozent", _I)
_AN_AMOUNT = re.compile(r"amount|(?<!per)cents?\b|_usd|_eur|currency|price|total|code|id\b", _I)
_HALVED = re.compile(
    r"\bhalv(?:e|es|ed|ing)\b[^.!?\n]{0,30}\b(?:price|cost|total|bill|fee)s?\b"
    r"|\b(?:price|cost|total|bill|fee)s?\b[^.!?\n]{0,20}\bhalved\b",
    _I,
)
_BARE_DISCOUNT = re.compile(
    r"\b(?:discount|reduction|rabatt|remise|descuento)(?:\s?(?:of|by|is|von|de|:)){1,2}\s{0,3}"
    r"(?:up to |about )?(\d{1,3}(?:[.,]\d{1,9})?)(?![\w.,%$€£₹]|\s?(?:[%$€£₹]|per|pct|prozent|pour"
    r"|por|usd|eur|gbp|chf|dollars?|euros?|bucks|items?|days?|hours?|weeks?|months?|codes?)\b)"
    r"(?!\s?[%$€£₹])",
    _I,
)
_STACKED = re.compile(
    r"^[^\d.!?\n]{0,20}\b(?:plus|then|followed by|on top of|and (?:an(?:other)?|an? (?:extra"
    r"|additional|further))|zus(?:ä|ae)tzlich|plus)\b[^\d.!?\n]{0,24}$"
    r"|^\s?(?:off\s?)?\+\s?$",
    _I,
)


def discounts(text: str, *, strict: bool = False) -> Iterator[Quantity]:
    """Everything that a ``plain`` text takes off a price, in percent of it.

    Args:
        text: what was said.
        strict: every percentage counts, also where nothing tells that it is a discount.
    """
    found_off = [
        off for found in percentages(text) for off in _percent_off(text, found, strict=strict)
    ]
    yield from found_off
    yield from _stacked(text, found_off)
    for found in shares(text):
        before, after = text[: found.start][-60:], text[found.end :][:60]
        if _PART_OF_PRICE.match(after) and _PAYING.search(before):
            yield found._replace(value=100 - found.value)
        elif _takes_off(found, before, after) and not _REFUSING.search(before):
            yield found
    yield from _decimal_shares(text)
    yield from _bare_discounts(text)
    for halved in _HALVED.finditer(text):
        if not _REFUSING.search(text[: halved.start()][-60:]):
            yield Quantity(50, halved.start(), halved.end(), halved[0])
    yield from _pairs(text)
    yield from _bare_pairs(text)
    yield from _bundles(text)


def _percent_off(text: str, found: Quantity, *, strict: bool) -> Iterator[Quantity]:
    before, after = text[: found.start][-_CONTEXT_BEFORE:], text[found.end :][:_CONTEXT_AFTER]
    if _PART_OF_PRICE.match(after) and _PAYING.search(before):
        yield found._replace(value=100 - found.value)
    elif _REFUSING.search(before):
        return
    elif _LESS_AFTER.match(after):  # also of "more than 25 % off"
        yield found
    elif _MORE_AFTER.match(after) or _MORE_BEFORE.search(before[-40:]):
        return
    elif strict or _is_all(text, found) or _speaks_of_it(before, after):
        yield found


def _speaks_of_it(before: str, after: str) -> bool:
    """Whether the words around a percentage are about price or offer."""
    if _MINUS.search(before) or _OFFERING.search(before):
        return True
    return _OFFERING.search(_sentence_end(after)) is not None


def _is_all(text: str, found: Quantity) -> bool:
    """Whether nothing else is said: to a question for a discount that is an answer."""
    return not _LETTER.search(text[: found.start]) and not _LETTER.search(text[found.end :])


def _takes_off(found: Quantity, before: str, after: str) -> bool:
    """Off the price, or half the price."""
    if _LESS_AFTER.match(after) or _LESS_BEFORE.search(before):
        return True
    return 49.9 < found.value < 50.1 and _PRICE_AFTER.match(after) is not None


def _sentence_end(after: str) -> str:
    return re.split(r"[!?;\n]|\.(?:\s|$)", after, maxsplit=1)[0]


def _pairs(text: str) -> Iterator[Quantity]:
    """Two amounts that belong together: $30 off $100; from $100 to $70; $70 instead of $100."""
    amounts = sorted(money(text), key=lambda each: each.start)
    for one, two in pairwise(amounts):
        between, before = text[one.end : two.start], text[: one.start][-40:]
        if len(between) > 80 or not max(one.value, two.value):
            continue
        share = _share_off(one, two, between, before)
        if share is not None and not _REFUSING.search(text[: one.start][-_CONTEXT_BEFORE:]):
            yield Quantity(share * 100, one.start, two.end, text[one.start : two.end])


def _share_off(one: Quantity, two: Quantity, between: str, before: str) -> float | None:
    """What of the larger amount is taken off; None where the two do not belong together."""
    if one.value > two.value:
        falls = _DOWN_BEFORE.search(before) and _DOWN_BETWEEN.match(between)
        return 1 - two.value / one.value if falls or _NOW_BETWEEN.match(between) else None
    if one.value < two.value:
        saved = _SAVING.search(before) and _ON_BETWEEN.match(between)
        if saved or _LESS_BETWEEN.match(between):
            return one.value / two.value
        if _INSTEAD.match(between):
            return 1 - one.value / two.value
    return None


def _bundles(text: str) -> Iterator[Quantity]:
    for found in _BUNDLE.finditer(text):
        if found["buy"]:
            given = _count(found["buy"])
            got = given + _count(found["get"])
        else:
            got, given = _count(found["many"] or "2"), _count(found["paid"] or "1")
        if given < got and not _REFUSING.search(text[: found.start()][-_CONTEXT_BEFORE:]):
            yield Quantity((1 - given / got) * 100, found.start(), found.end(), found[0])


def _count(word: str) -> int:
    return _COUNTS.get(word.lower()) or int(word)


def _decimal_shares(text: str) -> Iterator[Quantity]:
    """0.25 off."""
    for found in _DECIMAL_SHARE.finditer(text):
        if not _REFUSING.search(text[: found.start()][-60:]):
            yield Quantity(figure(found[1]) * 100, found.start(), found.end(), found[0])


def _bare_discounts(text: str) -> Iterator[Quantity]:
    """A discount of 25, of which nobody says what."""
    for found in _BARE_DISCOUNT.finditer(text):
        if not _REFUSING.search(text[: found.start()][-60:]):
            value = figure(found[1])
            share = value <= 1 and not found[1].isdigit()
            percent = value * 100 if share else value
            yield Quantity(percent, found.start(), found.end(), found[0])


def _stacked(text: str, found: list[Quantity]) -> Iterator[Quantity]:
    """Two of them, the one on what the other leaves."""
    for one, two in pairwise(sorted(found, key=lambda each: each.start)):
        if one.end <= two.start and _STACKED.match(text[one.end : two.start]):
            both = 100 - (100 - one.value) * (100 - two.value) / 100
            yield Quantity(both, one.start, two.end, text[one.start : two.end])


def _bare_pairs(text: str) -> Iterator[Quantity]:
    """30 off 100, whichever of them has a currency."""
    for found in _BARE_PAIR.finditer(text):
        above = figure(found[1])
        below = {"hundred": 100.0, "thousand": 1000.0}.get(found[2].lower()) or figure(found[2])
        if 0 < above < below and not _REFUSING.search(text[: found.start()][-_CONTEXT_BEFORE:]):
            yield Quantity(above / below * 100, found.start(), found.end(), found[0])


def amounts_off(text: str) -> Iterator[Quantity]:
    """Amounts of money that a ``plain`` text takes off a price."""
    for found in money(text):
        before, after = text[: found.start][-60:], text[found.end :][:60]
        if (_LESS_AFTER.match(after) or _LESS_BEFORE.search(before)) and not _REFUSING.search(
            before
        ):
            yield found


def given_away(text: str) -> Iterator[Quantity]:
    """Where a ``plain`` text gives something for nothing."""
    for found in _FREE.finditer(text):
        if not _REFUSING.search(text[: found.start()][-_CONTEXT_BEFORE:]):
            yield Quantity(100, found.start(), found.end(), found[0])


def in_arguments(text: str) -> Iterator[Quantity]:
    """Discounts in a tool call's arguments, where keys say what a number is."""
    says_percent = _SAYS_PERCENT.search(text) is not None
    for found in fields(text):
        if _names_it(found.key) or (says_percent and found.key.lower() in _PLAIN_KEYS):
            yield _field(text, found, 0)
    for block in _NESTED.finditer(text):
        if _names_it(block[1]) and not _AN_AMOUNT.search(block[2]):
            for found in fields(block[2]):
                if found.key.lower() in _PLAIN_KEYS:
                    yield _field(text, found, block.start(2))


def _names_it(key: str) -> bool:
    return _OF_A_DISCOUNT.search(key) is not None and _AN_AMOUNT.search(key) is None


def _field(text: str, found: Field, place: int) -> Quantity:
    start, end = found.start + place, found.end + place
    value = found.value * 100 if found.is_share else found.value
    return Quantity(value, start, end, text[start:end])
