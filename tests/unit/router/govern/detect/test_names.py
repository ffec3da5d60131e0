"""The small model finds what a sentence gives away, in bounded time, also in long texts."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.govern.detect import Span, merged
from router.govern.detect.names.features import LISTS, lists, words_of
from router.govern.detect.names.tagger import Tagger

TAGGER = Tagger()


@pytest.mark.parametrize(
    ("entity", "text", "value"),
    [
        ("PERSON", "Please tell Margarethe Hübner that I will be late.", "Margarethe Hübner"),
        ("PERSON", "Dear Mr. Okonkwo, thank you for your letter.", "Okonkwo"),
        ("ADDRESS", "Send it to 12 Harbour Street, Apt. 4, Leeds LS1 4AB.", "12 Harbour Street"),
        ("ADDRESS", "Ich wohne: Lindenstraße 27, 10969 Berlin", "Lindenstraße 27"),
        ("LOCATION", "She moved from Nairobi to Oslo.", "Nairobi"),
        ("LOCATION", "Customs in Uruguay are slow.", "Uruguay"),
        ("ORGANIZATION", "I have worked for Lindqvist Logistics Ltd since then.", "Lindqvist"),
        ("NRP", "The Norwegian ferry was late.", "Norwegian"),
    ],
)
def test_it_finds_what_only_the_sentence_gives_away(entity: str, text: str, value: str) -> None:
    """The finding holds the value."""
    found = [text[span.start : span.end] for span in TAGGER.find(text) if span.entity == entity]
    assert any(value in one for one in found), TAGGER.find(text)


@pytest.mark.parametrize(
    "text",
    [
        "How do I change the password of my account?",
        "The transfer has not arrived yet, although three days have passed.",
        "Water boils at 100 degrees, and nobody asked why.",
        "def total(items): return sum(item.price for item in items)",
        "The order F5245 must be stopped.",
        "Order F5245 must arrive before Friday.",
        "i have to find my bil #00108 i need assistance",
        "remove some products from purchase 113542617735902",
        "I am waiting for a reimbursement of 1499 dollars",
        "refunding $1200",
        "put the volume to 4",
        "please set the temperature to 70 f",
        "i want to rollover my 401k",
        "edit details on my account",
        "help me unsubscribe from your newsletter",
        "As a Gold member I ask for a refund.",
        "Which tyres are good for gravel paths?",
        "",
        " \n\t ",
    ],
)
def test_it_leaves_ordinary_sentences_alone(text: str) -> None:
    """Nothing is found where nothing is."""
    assert TAGGER.find(text) == []


@pytest.mark.parametrize(
    "address",
    [
        "N5245 County Road, Poynette, WI 53955",
        "12 Hauptstrasse, D-54321 Kleinkleckersdorf",
        "Kerkstraat 12, 1234 AB Utrecht",
        "Apt #1204, 5 Elm Street, Springfield, IL 62704",
        "P.O. Box 1234, Kleindorf",
    ],
)
def test_addresses_with_numbers_that_look_like_codes_are_addresses(address: str) -> None:
    """What hangs on a letter or a sign is a code only where no place is named beside it."""
    text = f"Please send it to {address}."
    found = "".join(text[s.start : s.end] for s in TAGGER.find(text) if s.entity == "ADDRESS")
    assert len(found) >= len(address) - 2, TAGGER.find(text)


@pytest.mark.parametrize("word", ["gravel", "gold", "edit", "joke", "server", "near", "wanna"])
def test_everyday_words_are_known_as_such_although_somebody_is_called_so(word: str) -> None:
    """A name of some country, or a part of a town's, is still a word of English."""
    ordinary = sum(1 << LISTS.index(n) for n in LISTS[LISTS.index("common") :])
    assert lists()[word] & ordinary


def test_names_of_programs_are_no_persons() -> None:
    """They would come back after the answer, but the model would have to read around them."""
    code = "raise GuardUnavailable\ncall = Iterable[str] or Mapping(items) or TextTooLong"
    found = {code[s.start : s.end] for s in TAGGER.find(code) if s.entity in {"PERSON", "ADDRESS"}}
    assert not found & {"GuardUnavailable", "Iterable", "Mapping", "TextTooLong"}
    for name in ("Fiona MacKenzie", "Anna Schmidt", "Kevin McDonald"):
        text = f"Please tell {name} that I will be late."
        assert [text[s.start : s.end] for s in TAGGER.find(text)] == [name]


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_findings_are_sorted_apart_and_inside_any_text(text: str) -> None:
    """Whatever the text is."""
    found = TAGGER.find(text)
    ends = [0, *(span.end for span in found)]
    assert all(end <= span.start < span.end for end, span in zip(ends, found, strict=False))
    assert not found or found[-1].end <= len(text)


def test_a_long_text_is_read_in_parts_with_the_same_result() -> None:
    """Each word sees as far as in one piece."""
    text = "Then Anna Schmidt of Leipzig called. " * 400
    words = words_of(text)
    whole = TAGGER._part(words.ids, words.marks)
    assert len(words.spans) > 2048
    assert np.allclose(whole, TAGGER.logits(words), atol=1e-4)


def test_time_grows_with_the_text() -> None:
    """Some hundred thousand words a second; a hostile text is no slower than another."""
    for text in ("Anna " * 20_000, "9" * 100_000, "!" * 20_000):
        began = time.process_time()
        TAGGER.find(text)
        assert time.process_time() - began < 20


def test_what_the_patterns_found_wins_and_nothing_else_is_lost() -> None:
    """The parts beside it stay found."""
    sure = [Span(5, 10, "EMAIL")]
    assert merged(sure, [Span(0, 14, "ADDRESS", 0.8), Span(6, 9, "PERSON", 0.8)]) == [
        Span(0, 5, "ADDRESS", 0.8),
        Span(5, 10, "EMAIL"),
        Span(10, 14, "ADDRESS", 0.8),
    ]
    assert merged([], [Span(3, 4, "A")]) == [Span(3, 4, "A")]
    assert merged(sure, []) == sure
