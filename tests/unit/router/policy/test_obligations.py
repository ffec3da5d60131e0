"""Obligations: found in streams however they are cut, before a character of them leaves."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.policy.obligations import kind_of
from router.policy.reading import Reading, violations
from router.ruling import Obligation
from tests.unit.router.policy.test_numbers import OFFERS, SPELLINGS

CAP = [Obligation("cap", "max_discount", {"percent": 20})]
BEFORE = "Hello there, and welcome to our shop. We are glad that you asked. "
AFTER = " That is what I can do, and now we wish you a very nice day with lots of sun and rest."


def streamed(
    obligations: list[Obligation], text: str, sizes: list[int]
) -> tuple[str, list[dict[str, Any]]]:
    """What left before something was found, and what was found."""
    reading = Reading(obligations)
    seen, left, place = "", "", 0
    while place < len(text):
        size = sizes[len(seen) % len(sizes)]
        piece = text[place : place + size]
        place += size
        seen += piece
        found, waiting = reading.read(piece, ended=place >= len(text))
        if found:
            return left, [{"rule": each.rule, "detail": each.detail} for each in found]
        left = seen[: max(len(left), len(seen) - waiting)]  # what left cannot be called back
    return left, []


@given(
    st.sampled_from([text for text, percent in OFFERS.items() if percent > 20]),
    st.lists(st.integers(1, 30), min_size=1, max_size=5),
)
def test_a_stream_is_stopped_before_the_offer_leaves(offer: str, sizes: list[int]) -> None:
    """However its bytes are cut."""
    left, found = streamed(CAP, BEFORE + offer + AFTER, sizes)
    assert found
    assert not any(letter.isdigit() for letter in left)
    for telling in ("quarter", "half", "twenty", "fünf", "vingt", "veint", "Hälf", "free"):
        assert telling not in left


@given(
    st.integers(0, 100),
    st.sampled_from(SPELLINGS),
    st.lists(st.integers(1, 30), min_size=1, max_size=5),
)
def test_streams_are_judged_as_whole_answers_are(
    value: int, spelling: Any, sizes: list[int]
) -> None:
    """And what is fine leaves whole."""
    text = f"{BEFORE}You get {spelling(value)} off.{AFTER}"
    left, found = streamed(CAP, text, sizes)
    assert bool(found) == (value > 20) == bool(violations(CAP, text))
    if not found:
        assert left == text


def test_text_without_numbers_does_not_wait() -> None:
    """Nothing is held back without need, but for a word that may become a number."""
    reading = Reading(CAP)
    for word in ("We ", "wish ", "you ", "all ", "good ", "days"):
        assert reading.read(word, ended=False) == ([], 0)


@pytest.mark.parametrize(
    ("arguments", "breaks"),
    [
        ('{"discount_percent": 25}', True),
        ('{"discount": 0.25}', True),
        ('{"type": "percent", "value": 25}', True),
        ('{"note": "a quarter off"}', True),
        ('{"discount_percent": 20}', False),
        ('{"order_id": 2500, "percent": 0.1}', False),
        ('{"discount_code": 99}', False),
        ('{"discount": 2.5e1}', True),
        ('{"discount": 0.30000000000000004}', True),
        ('{"discount": "a quarter"}', True),
        ('{"discount": "twenty-five"}', True),
        ('{"discount": "up to 25"}', True),
        ('{"discount": ".25"}', True),
        ('{"discount": [25]}', True),
        ('{"discount": {"value": 25}}', True),
        ('{"discount": "25', True),
        ('{"discount": {"value": 25, "currency": "USD"}}', False),
        ('{"discount": 1e1}', False),
        ('{"discount": "SAVE25"}', False),
    ],
)
def test_the_arguments_of_a_tool_call_count(arguments: str, breaks: bool) -> None:
    """By what their keys say."""
    assert bool(violations(CAP, arguments, arguments=True)) is breaks


@pytest.mark.parametrize(
    ("arguments", "breaks"),
    [
        ('{"amount": 1.5e2}', True),
        ('{"amount": "1,500.00"}', True),
        ('{"amount": "1.500,00"}', True),
        ('{"amount": 1500000000000000}', True),
        ('{"amount": -150}', True),
        ('{"amount_cents": 15000}', True),
        ('{"amount_cents": 9900}', False),
        ('{"amount": "99.99"}', False),
        ('{"amount": 15, "count": 200}', False),
    ],
)
def test_amounts_in_arguments_are_read_as_json_has_them(arguments: str, breaks: bool) -> None:
    """And as people write them in strings."""
    most = [Obligation("cap", "max_amount", {"amount": 100})]
    assert bool(violations(most, arguments, arguments=True)) is breaks


@pytest.mark.parametrize(
    ("text", "percent"),
    [
        ("15 % off plus another 10 % off", 23.5),
        ("20 %, then 10 % off", 28),
        ("15 % + 15 % off", 27.75),
    ],
)
def test_discounts_upon_discounts_count_together(text: str, percent: float) -> None:
    """Each alone would be fine."""
    assert not violations([Obligation("cap", "max_discount", {"percent": percent + 0.1})], text)
    assert violations([Obligation("cap", "max_discount", {"percent": percent - 0.1})], text)


@pytest.mark.parametrize(
    "text", ["Guarant\u00e9ed returns", "GUARANTEED-RETURNS", "gu\u0430ranteed returns"]
)
def test_a_phrase_is_one_in_any_letters(text: str) -> None:
    """Accents, case, signs between, and letters that only look alike."""
    rule = [Obligation("r", "must_not_say", {"phrases": ["guaranteed returns"]})]
    assert violations(rule, f"These are {text}.")
    assert streamed(rule, f"These are {text}.{AFTER}", [1])[1]


def test_lengths_of_time_in_arguments_have_their_unit() -> None:
    """In the key."""
    most = [Obligation("r", "max_duration", {"days": 30})]
    assert violations(most, '{"return_window_weeks": 6}', arguments=True)
    assert violations(most, '{"days": "45"}', arguments=True)
    assert not violations(most, '{"hours": 48, "weeks": 4}', arguments=True)


@pytest.mark.parametrize(
    ("settings", "breaking", "fine"),
    [
        (
            {"kind": "max_amount", "amount": 100, "currency": "EUR", "about": ["refund"]},
            "Your refund of one hundred and fifty euros is on its way.",
            "The new one costs 2.500,00 €.",
        ),
        (
            {"kind": "max_duration", "days": 30},
            "You may return it within six weeks.",
            "You may return it within thirty days.",
        ),
        (
            {"kind": "max_percent", "percent": 5, "about": ["interest"]},
            "The interest is seven percent.",
            "It is 100 % cotton.",
        ),
        (
            {"kind": "must_not_say", "phrases": ["guaranteed returns"]},
            "These are Guaranteed   RETURNS!",
            "Returns are guaranteed to be easy.",
        ),
        (
            {"kind": "must_not_match", "pattern": "(?i)sk-[a-z0-9]{8}"},
            "Use sk-abcd1234 for that.",
            "Use your own key.",
        ),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_every_kind_has_what_breaks_it(settings: dict[str, Any], breaking: str, fine: str) -> None:
    """And says so to the model."""
    rest = {name: value for name, value in settings.items() if name != "kind"}
    obligations = [Obligation("r", settings["kind"], rest)]
    assert violations(obligations, breaking)
    assert not violations(obligations, fine)
    for size in (1, 7):
        assert streamed(obligations, breaking + AFTER, [size])[1]
    assert isinstance(kind_of(settings).instruction(), str)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"kind": "nope"},
        {"kind": "max_discount"},
        {"kind": "max_discount", "percent": "x"},
        {"kind": "max_discount", "percent": 20, "more": 1},
        {"kind": "must_not_say", "phrases": []},
        {"kind": "must_not_say", "phrases": ["!"]},
        {"kind": "must_not_match", "pattern": "("},
    ],
)
def test_bad_settings_are_refused_in_one_line(settings: dict[str, Any]) -> None:
    """When rules are loaded."""
    with pytest.raises(ValueError, match=r".") as refused:
        kind_of(settings)
    assert "\n" not in str(refused.value)


def test_ten_thousand_characters_are_read_in_time() -> None:
    """Bounded, whatever is in them."""
    for piece in (
        "1",
        "$1 off $2 ",
        "a ",
        "half ",
        "%",
        "a quarter off ",
        "five days ",
        '{"a": 1,',
        "25 % plus ",
        "and a half ",
        "can't get ",
    ):
        text = piece * (10_000 // len(piece))
        for arguments in (False, True):
            began = time.thread_time()
            violations(CAP, text, arguments=arguments)
            assert time.thread_time() - began < 2, (piece, arguments)
