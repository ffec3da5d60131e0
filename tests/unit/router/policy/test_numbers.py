"""Numbers in any spelling, and what they say about a price."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.policy.discounts import discounts
from router.policy.numbers import durations, figure, money, percentages, plain

_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def in_words(value: int, between: str = "-") -> str:
    """English, 0 to 100."""
    if value == 100:
        return "a hundred"
    if value < 20:
        return _ONES[value]
    ten = _TENS[value // 10 - 2]
    return ten if value % 10 == 0 else f"{ten}{between}{_ONES[value % 10]}"


SPELLINGS = [
    lambda n: f"{n}%",
    lambda n: f"{n} %",
    lambda n: f"{n}\u202f%",
    lambda n: f"**{n}** %",
    lambda n: f"{n} percent",
    lambda n: f"{n} per cent",
    lambda n: f"{n} pct",
    lambda n: f"{n},0 Prozent",
    lambda n: f"{n}.00 %",
    lambda n: f"{n * 100} basis points",
    lambda n: f"%{n}",
    lambda n: f"{in_words(n)} percent",
    lambda n: f"{in_words(n, ' ').upper()} PERCENT",
    lambda n: f"{n}".translate({ord(d): chr(0xFF10 + int(d)) for d in "0123456789"}) + "\uff05",
    lambda n: f"{n}".translate({ord(d): chr(0x660 + int(d)) for d in "0123456789"}) + "\u066a",
    lambda n: f"{n}\u200b%",
]


@given(st.integers(0, 100), st.sampled_from(SPELLINGS))
def test_a_percentage_is_found_in_every_spelling(value: int, spelling: object) -> None:
    """And is the number that was spelt."""
    assert callable(spelling)
    text = plain(f"So that is {spelling(value)}, dear customer")
    assert [each.value for each in percentages(text)] == [pytest.approx(value)]


@given(st.integers(0, 10**9), st.integers(0, 99))
def test_an_amount_is_read_whichever_way_it_is_grouped(whole: int, cents: int) -> None:
    """American, German, Swiss and French."""
    grouped = f"{whole:,}"
    for thousands, decimal in ((",", "."), (".", ","), ("'", "."), ("\u202f", ","), (" ", ",")):
        text = f"{grouped.replace(',', thousands)}{decimal}{cents:02d}"
        assert figure(text) == pytest.approx(whole + cents / 100)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("30 days", 30),
        ("six weeks", 42),
        ("a month", 30),
        ("48 hours", 2),
        ("5 business days", 7),
        ("zwei Wochen", 14),
        ("14-day returns", 14),
        ("45d", 45),
        ("6weeks", 42),
        ("5 wks", 35),
        ("2 yrs", 730),
        ("two mos", 60),
        ("60 calendar days", 60),
        ("three fortnights", 42),
        ("90 nights", 90),
        ("two and a half months", 75),
        ("a month and a half", 45),
    ],
)
def test_lengths_of_time(text: str, days: float) -> None:
    """In days."""
    assert [each.value for each in durations(plain(text))] == [days]


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("$30 off $100", [("USD", 30), ("USD", 100)]),
        ("2.500,00 €", [("EUR", 2500)]),
        ("thirty dollars", [("USD", 30)]),
        ("EUR 30", [("EUR", 30)]),
        ("$1.5k", [("USD", 1500)]),
        ("20 to 30 dollars", [("USD", 30), ("USD", 20)]),
        ("$20\u201330", [("USD", 20), ("USD", 30)]),
        ("USD150 or 150EUR", [("USD", 150), ("EUR", 150)]),
        ("150 U.S. dollars", [("USD", 150)]),
        ("$ one hundred fifty", [("USD", 150)]),
        ("$12 hundred", [("USD", 1200)]),
        ("1.5 thousand dollars", [("USD", 1500)]),
        ("two grand", [("USD", 2000)]),
    ],
)
def test_money(text: str, amounts: list[tuple[str, float]]) -> None:
    """With its currency."""
    assert [(each.currency, each.value) for each in money(plain(text))] == amounts


OFFERS = {
    "You get 25 % off.": 25,
    "I can offer you a quarter off.": 25,
    "twenty-five percent discount for you": 25,
    "Take $30 off $100!": 30,
    "$30 off your $100 order": 30,
    "was $100, now $70": 30,
    "reduced from $100 to $70": 30,
    "$70 instead of $100": 30,
    "save €30 on €100": 30,
    "30 € Rabatt auf 100 €": 30,
    "half price today": 50,
    "You can have it for half the price": 50,
    "buy one get one free": 50,
    "25,5 % Rabatt": 25.5,
    "fünfundzwanzig Prozent Nachlass": 25,
    "une remise de vingt-cinq pour cent": 25,
    "un descuento del veinticinco por ciento": 25,
    "Pay only 70% of the price": 30,
    "a discount of a quarter": 25,
    "How about 25%?": 25,
    "no problem, 30 % off": 30,
    "die Hälfte des Preises": 50,
    "a 2,500 basis point discount": 25,
    "0.25 off": 25,
    "knock off a quarter": 25,
    "30 bucks off a hundred": 30,
    "£30 off when you spend £100": 30,
    "30 € Rabatt ab 100 €": 30,
    "now $75 (was $100)": 25,
    "Your $100 order is now $70": 30,
    "buy two get one free": 100 / 3,
    "3 for 2": 100 / 3,
    "twenty-five (25) percent off": 25,
    "25 (twenty-five) percent off": 25,
    "25&nbsp;% off": 25,
    "a quarter of the price off": 25,
    "25pct off": 25,
    "-25% on everything": 25,
    "25 Prozent": 25,
    "a twenty-five-percent-off coupon": 25,
    "la mitad de precio": 50,
    "ein Viertel günstiger": 25,
    "15\u201325 % off": 25,
    "more than 25 % off": 25,
    "Tax free, and 25 % off": 25,
    "I can't wait to give you 25 % off": 25,
    "It can't be beat with 25 % off": 25,
    "25 per-cent off": 25,
    "25 percents off": 25,
    "25 p.c. off": 25,
    "twenty\u2013five percent off": 25,
    "twenty-five and a half percent off": 25.5,
    "25\u00bd % off": 25.5,
    "a discount of 25": 25,
    "Discount: 0.25": 25,
    "the price drops by a quarter": 25,
    "we cut the price in half": 50,
    "we halve the price": 50,
    "$100 \u2192 $70": 30,
    "US$30 off USD100": 30,
}


@pytest.mark.parametrize(("text", "percent"), OFFERS.items())
def test_an_offer_is_a_discount_in_any_words(text: str, percent: float) -> None:
    """Of so many percent of the price."""
    assert max(each.value for each in discounts(plain(text))) == pytest.approx(percent)


@pytest.mark.parametrize(
    "text",
    [
        "The shirt is 100 % cotton.",
        "Sorry, I can't give you 50 % off.",
        "I cannot offer a quarter off.",
        "Battery at 80%.",
        "half of our customers are happy",
        "We are open 24/7.",
        "In the third quarter we sold 500.",
        "The price has increased by 50%.",
        "That is 30% more than before, at a price of $5.",
        "It stays for a quarter of the time.",
        "We never give 25 % off.",
        "I'm not able to go to 25 %.",
        "That can't be discounted by 25 %.",
        "It has a discount of 15, and a discount of 30 dollars.",
        "Discount code: 30",
        "10 % off for members, 15 % off for students",
    ],
)
def test_what_offers_nothing_is_no_discount(text: str) -> None:
    """Numbers about something else, and refusals."""
    assert not [each for each in discounts(plain(text)) if each.value > 20]
