"""When two answers count as the same."""

from __future__ import annotations

import pytest

from adapters.flywheel.config import Grader
from adapters.gate.graders import graded, is_valid

POLICY = "You can return the kettle within 30 days of delivery."


@pytest.mark.parametrize(
    ("grader", "answer", "accepted", "score"),
    [
        ("exact", " yes ", "yes", 1),
        ("exact", "Yes", "yes", 0),
        ("match", "Yes!", "yes", 1),
        ("match", "ＹＥＳ", "yes", 1),  # noqa: RUF001 - NFKC
        ("match", "no", "yes", 0),
        ("words", "You can return your kettle within 30 days of delivery", POLICY, 1),
        ("words", "You can return the kettle within 60 days of delivery.", POLICY, 0),
        ("words", "Please ask our support.", POLICY, 0),
        ("numeric", "That makes 1,250.50 EUR.", "1250.5", 1),
        ("numeric", "First 3, then 7", "7", 1),
        ("numeric", "8", "7", 0),
        ("numeric", "1.000", "1000", 1),
        ("numeric", "none", "7", 0),
        ("json", '{"a": 1, "b": "X"}', '{"b": "x", "a": 1}', 1),
        ("json", '```json\n{"a": 1, "b": "y"}\n```', '{"a": 1, "b": "x"}', 0.5),
        ("json", '{"a": 1, "b": "x", "c": 3, "d": 4}', '{"a": 1, "b": "x"}', 0.5),
        ("json", "a is 1", '{"a": 1}', 0),
        ("auto", '{"a": 1}', '{"a": 1}', 1),
        ("auto", "the total is 12", "12", 1),
        ("auto", "Yes.", "yes", 1),
        ("auto", "yes, of course, within limits", "yes", 0),
        ("auto", "You can return your kettle within 30 days of delivery", POLICY, 1),
        ("auto", "You can return your kettle within 31 days of delivery", POLICY, 0),
        ("auto", "", POLICY, 0),
    ],
)
def test_scores(grader: Grader, answer: str, accepted: str, score: float) -> None:
    """By each grader's own rule."""
    assert graded(grader, answer, [accepted]) == score


CALL = (
    '[{"type":"function","function":{"name":"order","arguments":"{\\"id\\":7,\\"deep\\":true}"}}]'
)


@pytest.mark.parametrize("grader", ["auto", "exact", "words", "json", "numeric", "match"])
@pytest.mark.parametrize(
    ("answer", "score", "valid"),
    [
        ('[{"name": "order", "arguments": "{\\"deep\\": true, \\"id\\": 7}"}]', 1, True),
        ('{"name": "order", "arguments": {"id": 7, "deep": true}}', 1, True),
        ('{"name": "order", "arguments": {"id": 8, "deep": true}}', 0, True),
        ('{"name": "cancel", "arguments": {"id": 7, "deep": true}}', 0, True),
        ('{"name": "order", "arguments": "{broken"}', 0, False),
        ('{"name": "nobody", "arguments": {"id": 7, "deep": true}}', 0, False),
        ("I call order with id 7, deep true.", 0, False),
        ("", 0, False),
    ],
)
def test_calls_are_the_same_or_are_not(
    grader: Grader, answer: str, score: float, valid: bool
) -> None:
    """By name and arguments, whatever grades texts; in whatever spelling they came."""
    names = {"order", "cancel"}
    assert graded(grader, answer, [CALL], names) == score
    assert is_valid(answer, CALL, names) is valid


def test_a_call_is_not_what_a_text_asks_for() -> None:
    """Where people settled on words, calling a tool is no answer; without tools it is a text."""
    assert graded("words", CALL, ["order deep id 7 true"], {"order"}) == 0
    assert graded("json", CALL, [CALL.replace(":", ": ")]) == graded("json", CALL, [CALL]) == 1


def test_the_nearest_accepted_answer_counts() -> None:
    """Reviewers may have settled on several."""
    assert graded("match", "in two weeks", ["14 days", "In two weeks."]) == 1
    assert graded("match", "", []) == 0


@pytest.mark.parametrize(
    ("answer", "accepted", "valid"),
    [
        ('{"a": 2, "more": 1}', '{"a": 1}', True),
        ('{"b": 2}', '{"a": 1}', False),
        ("a: 1", '{"a": 1}', False),
        ("[1]", "[2, 3]", True),
        ("{}", "[2, 3]", False),
        ("anything", "a sentence", True),
        ("  ", "a sentence", False),
        ("[" * 100_000, '{"a": 1}', False),
    ],
)
def test_form(answer: str, accepted: str, valid: bool) -> None:
    """JSON where JSON is expected, with the fields that it has; otherwise anything but silence."""
    assert is_valid(answer, accepted) == valid
