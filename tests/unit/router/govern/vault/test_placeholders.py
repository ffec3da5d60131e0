"""What placeholders look like, and what is taken for one."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.govern.vault.conversations import MAX_VALUES, Conversations
from router.govern.vault.nesting import Nesting, escaped
from router.govern.vault.placeholders import MAX_CHARS, Name, Written, word_of
from router.govern.vault.vault import Vault

WORDS = Written(["EMAIL", "CREDIT_CARD", "IBAN"])
WAYS = (
    "[CREDIT_CARD_12]",
    "[credit_card_12]",
    "[Credit Card 12]",
    "[ CREDIT-CARD-12 ]",
    "<CREDIT_CARD_12>",
    "【credit card12】",
    "[CREDITCARD_12]",
    r"\[CREDIT\_CARD\_12\]",
    r"[CREDIT\_CARD\_12]",
    "[CREDIT_CARD\n_12]",
    "CREDIT_CARD_12",
    "[CREDIT_CARD_012]",
    "%5BCREDIT_CARD_12%5D",
    "%5bcredit-card-12%5d",
)
NEVER = (
    "credit card 12",
    "credit_card_12",
    "[12]",
    "[CREDIT_CARD]",
    "XCREDIT_CARD_12",
    "(credit card 12)",
    "[SSN_1]",
    "[EMAIL_1234567890]",
)


@pytest.mark.parametrize("text", WAYS)
def test_models_write_a_placeholder_in_many_ways(text: str) -> None:
    """Case, spaces, brackets, the escapes of Markdown."""
    found = list(WORDS.find(f"a {text} b"))
    assert [name for _, _, name in found if name.number == 12] == [Name("CREDIT_CARD", 12)]
    start, end, _ = found[0]
    if not text.endswith("12"):
        assert (start, end) == (2, 2 + len(text))


@pytest.mark.parametrize("text", NEVER)
def test_what_people_write_is_none(text: str) -> None:
    """Neither plain words nor a part of another."""
    assert list(WORDS.find(text)) == []


def test_a_backslash_of_the_clients_own_stays() -> None:
    """A path is no Markdown."""
    assert next(WORDS.find(r"C:\[EMAIL_1]\x"))[:2] == (3, 12)


@pytest.mark.parametrize("text", [*WAYS, *NEVER])
def test_no_beginning_is_let_go_and_only_beginnings_are_held(text: str) -> None:
    """Whatever comes in however many pieces, a placeholder is seen whole."""
    for size in range(1, len(text) + 1):
        beginning = f"so: {text[:size]}"
        settled = WORDS.settled(beginning)
        for start, end, _ in WORDS.find(f"so: {text}"):
            assert settled <= start or settled >= end
    assert WORDS.settled("no more than this. ") == 19


@given(st.text(alphabet="[]<>\\ _-EMAILCRDTBNeximal0123é\n", max_size=300))
def test_never_more_than_a_placeholder_is_held(text: str) -> None:
    """Whatever a model says."""
    assert len(text) - WORDS.settled(text) <= MAX_CHARS


@given(st.text(alphabet="[]<>\\ _-EMAILBNeximal012é\n", max_size=60), st.integers(0, 60))
def test_a_text_in_two_pieces_has_the_placeholders_of_the_whole(text: str, size: int) -> None:
    """Those of the settled part are the whole's."""
    settled = WORDS.settled(text[:size])
    whole = [found for found in WORDS.find(text) if found[1] <= settled]
    assert [found for found in WORDS.find(text[:size]) if found[1] <= settled] == whole
    assert all(not (start < settled < end) for start, end, _ in WORDS.find(text))


def test_what_a_text_could_be_taken_to_say_stands_for_nothing() -> None:
    """In any spelling, with brackets or without."""
    vault = Vault(["the second e-mail, email 1, <EMAIL 3>, [Email_2]"])
    assert str(vault.placeholder("EMAIL", "a@x.org")) == "[EMAIL_4]"
    assert str(vault.placeholder("EMAIL", "b@x.org")) == "[EMAIL_5]"
    assert str(vault.placeholder("EMAIL", "a@x.org")) == "[EMAIL_4]"
    assert vault.restored("[EMAIL_1] [email 3] [EMAIL_4]") == "[EMAIL_1] [email 3] a@x.org"


def test_earlier_placeholders_are_known_unless_the_client_typed_them() -> None:
    """A provider that keeps the conversation may use them again."""
    before = {Name("EMAIL", 1): "a@x.org", Name("EMAIL", 2): "b@x.org"}
    vault = Vault(["what is [email 2]?"], before)
    assert vault.restored("[EMAIL_1] [EMAIL_2]") == "a@x.org [EMAIL_2]"
    assert str(vault.placeholder("EMAIL", "a@x.org")) == "[EMAIL_1]"
    assert str(vault.placeholder("EMAIL", "c@x.org")) == "[EMAIL_3]"


def test_a_text_that_ends_inside_a_value_is_noticed() -> None:
    """Whoever goes on from it must not see the part."""
    vault = Vault([])
    vault.placeholder("PERSON", "Alice Smith")
    assert vault.is_cut("this is Alice Sm")
    assert vault.is_cut("this is Alice")
    assert not vault.is_cut("this is Alice Smith")
    assert not vault.is_cut("this is all")


def test_a_kind_of_data_is_a_word_of_capitals() -> None:
    """Whatever a configured pattern is called."""
    assert word_of("order id 2") == "ORDER_ID"
    assert word_of("42") == "DATA"


@pytest.mark.parametrize(
    ("value", "depth"),
    [
        ({"a": "@"}, 1),
        ({"a": json.dumps({"b": 'x "@'})}, 2),
        ({"a": 'he said "x@"'}, 1),
        ({"a": [{"b": "\\@"}]}, 1),
        ({"x": json.dumps({"b": "c"}), "a": "@"}, 1),
        ({"a": json.dumps({"b": "\\", "c": "@"})}, 2),
    ],
)
def test_how_deep_in_json_a_place_is(value: object, depth: int) -> None:
    """Read in pieces of any size."""
    text = json.dumps(value)
    before = text[: text.index("@")]
    for size in (1, 2, 3, len(before) or 1):
        nesting = Nesting()
        for start in range(0, len(before), size):
            nesting.read(before[start : start + size])
        assert nesting.depth == depth
    quoted = text.replace("@", escaped('"\n\\', depth))
    found = json.dumps(json.loads(quoted))
    assert found.count("\\") > text.count("\\")


class Clock:
    """Moves when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_conversations_are_forgotten_in_time_and_in_number() -> None:
    """Memory is bounded, and what expired is gone, whether it is asked for or not."""
    clock = Clock()
    known = Conversations(10.0, 3, clock)
    for number in range(5):
        known.remember(("t", str(number)), {Name("EMAIL", 1): f"{number}@x.org"})
    assert len(known) == 3
    assert known.recall(("t", "0")) == {}
    assert known.recall(("t", "4")) == {Name("EMAIL", 1): "4@x.org"}
    clock.now = 5.0
    known.remember(("t", "4"), {Name("EMAIL", 2): "new"})
    clock.now = 11.0
    assert known.recall(("t", "3")) == {}
    assert len(known) == 1
    many = {Name("EMAIL", number): "x" for number in range(1, MAX_VALUES + 50)}
    known.remember(("t", "4"), many)
    kept = known.recall(("t", "4"))
    assert len(kept) == MAX_VALUES
    assert Name("EMAIL", MAX_VALUES + 49) in kept


@pytest.mark.parametrize(
    "text", ["\\[", "[EMAIL", "[ ", "EMAIL_", "[EMAIL_1", "<CREDIT ", "\\", "CREDIT CREDIT "]
)
def test_hostile_texts_take_time_in_proportion_to_their_length(text: str) -> None:
    """Whatever a model or a client repeats."""
    began = time.thread_time()
    for size in (20_000, 200_000):
        long = text * (size // len(text))
        assert bool(list(WORDS.find(long))) is bool(list(WORDS.typed(long))) is ("1" in text)
        assert WORDS.settled(long) >= len(long) - MAX_CHARS
    assert time.thread_time() - began < 5
