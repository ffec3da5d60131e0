"""Nearly equal questions are one exchange; another number, product or name is another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.corpus.folding import folded
from adapters.corpus.likeness import keys, near, words
from tests.fakes.corpus import corpus, exchange

ASKED = "How do I return a pair of running shoes from order A-1234?"


def same(one: str, other: str) -> bool:
    """Whether they would be found for each other, and are nearly equal."""
    a, b = words(one), words(other)
    return not {*keys("", a)}.isdisjoint(keys("", b)) and near(a, b)


@pytest.mark.parametrize(
    "again",
    [
        "Hi, how do I return a pair of running shoes from order A-1234 please?",
        "How can I return the pair of running shoes from order A-1234? Thanks in advance!",
        "Could you please tell me how I can return a pair of running shoes from order A-1234",
        "how do i retrun a pair of running shoes from order A-1234",
        "how do i return a pair of runing shoes from order A-1234",
        "How do I return a pair of running shoe from order A-1234?",
        "HOW DO I RETURN A PAIR OF RUNNING SHOES FROM ORDER A-1234?",
        "How do I re\u200bturn a pair of run\u00adning shoes | from order A-1234? \U0001f600",
    ],
)
def test_courtesy_and_slips_are_no_difference(again: str) -> None:
    """In either direction."""
    assert same(ASKED, again)
    assert same(again, ASKED)


@pytest.mark.parametrize(
    "other",
    [
        "How do I return a pair of running shoes from order A-1235?",
        "How do I return a pair of running boots from order A-1234?",
        "How do I return 2 pair of running shoes from order A-1234?",
        "How do I not return a pair of running shoes from order A-1234?",
        "How do I exchange a pair of running shoes from order A-1234?",
        "How do I return a pair of running shoes from Zappos order A-1234?",
        "How do I return a pair of running shoes to order A-1234?",
    ],
)
def test_another_matter_is_another_matter(other: str) -> None:
    """Numbers, products, names, and what is done to them."""
    assert not same(ASKED, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Does the iPhone Pro charge here?", "Does the iPhone Por charge here?"),
        ("I paid $30 for the shipping", "I paid €30 for the shipping"),
        ("Is the C++ manual in stock?", "Is the C manual in stock?"),
        ("Is the C++ manual in stock?", "Is the C# manual in stock?"),
        ("Which rooms have a < b here?", "Which rooms have a > b here?"),
        ("I booked with Martina last week", "I booked with Martian last week"),
        ("My address is [ADDRESS_1] in town", "My address is [ADDRESS_2] in town"),
        ("It costs 1.5 euros a day", "It costs 15 euros a day"),
        ("I want books sent home", "I want boots sent home"),
        ("what can you do", "what are you"),
        ("why thank you", "why hello"),
    ],
)
def test_names_products_and_numbers_differ_in_one_letter(one: str, other: str) -> None:
    """Nor does it help to be short."""
    assert not same(one, other)


def test_contractions_are_written_out() -> None:
    """With either apostrophe."""
    assert same("What's the fee for my card?", "What is the fee for my card")
    assert same("I can\u2019t open my account", "I cannot open my account")


def test_near_equal_exchanges_are_one(tmp_path: Path) -> None:
    """Only where everything else is equal."""
    with corpus(f"sqlite:///{tmp_path / 'flywheel.db'}") as (exchanges, _):
        first, _ = exchanges.take(exchange(ASKED))
        again, is_new = exchanges.take(
            exchange("Hello, " + ASKED.lower().replace("a-1234", "A-1234"))
        )
        assert (again, is_new) == (first, False)
        system = {"role": "system", "content": "Be kind."}
        user = {"role": "user", "content": "Hello, " + ASKED}
        assert exchanges.take(exchange("", messages=(system, user)))[1]
        assert exchanges.take(exchange("Hello, " + ASKED, tenant="other"))[1]
        found = exchanges.find(first)
        assert found is not None
        assert found.count == 2


def test_what_nobody_sees_makes_no_other_exchange() -> None:
    """Zero-width spaces, soft hyphens and marks of direction are there, and say nothing."""
    assert folded("Can I re\u200bturn the oven\u00ad?\u200e") == folded("can i return the oven")
    assert folded("the cafe\u0301") == folded("THE CAFÉ")
