"""Signs of a poor answer, each from what a finished exchange holds."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from adapters.corpus.signals import Signal, struggles
from router.capture.signals import SignalCounts, of_feedback, of_shadow, signs, speaks
from router.delivery import ESCALATED, OK, VIOLATED, Attempt
from router.request import Intent, Option
from router.wire.answered import Answered, ToolCall
from tests.fakes.exchanges import exchange, put

FRONTIER = "frontier:cloud/big"
FINE = Answered("Your parcel arrives on Tuesday.")


def _attempt(outcome: str) -> Attempt:
    return Attempt(Option("base", engine_name="tiny"), outcome=outcome)


def test_a_plain_good_answer_has_no_sign() -> None:
    """Nothing is found where nothing is."""
    found = put(exchange(), intent=Intent("returns", 0.9), attempts=[_attempt(OK)])
    assert signs(found, FINE) == {}
    assert signs(found, None) == {}


@pytest.mark.parametrize(
    ("facts", "signal"),
    [
        ({"intent": Intent(None, 0.9, out_of_scope=True)}, Signal.OUT_OF_SCOPE),
        ({"intent": Intent("returns", 0.3)}, Signal.LOW_CONFIDENCE),
        ({"intent": Intent("returns", 0.0)}, Signal.LOW_CONFIDENCE),
        ({"review": "P(correct) of base is 0.2"}, Signal.LOW_CONFIDENCE),
        (
            {"attempts": [_attempt(ESCALATED), _attempt(OK)], "review": "P(correct) is 0.2"},
            Signal.ESCALATED,
        ),
        ({"attempts": [_attempt(VIOLATED), _attempt(OK)]}, Signal.VIOLATED),
    ],
)
def test_what_happened_on_the_way(facts: dict[str, Any], signal: Signal) -> None:
    """One sign each, also where the answer itself was not kept."""
    found = signs(put(exchange("base"), **facts), None)
    assert list(found) == [signal]
    assert found[signal]


@pytest.mark.parametrize(
    ("body", "answer", "signal"),
    [
        ({}, Answered("I'm sorry, but I can't help with that."), Signal.REFUSED),
        ({}, Answered(refusal="No."), Signal.REFUSED),
        ({}, Answered("Das weiß ich leider nicht."), Signal.HEDGED),
        ({"response_format": {"type": "json_object"}}, FINE, Signal.BROKEN_JSON),
        (
            {"tools": [{"name": "refund", "input_schema": {"required": ["id"]}}]},
            Answered(calls=(ToolCall("refund", "{}"),)),
            Signal.BROKEN_CALL,
        ),
    ],
)
def test_what_the_answer_says(body: dict[str, Any], answer: Answered, signal: Signal) -> None:
    """Its tone and its form."""
    assert list(signs(put(exchange("base"), body=body), answer)) == [signal]


def test_what_no_rule_recognised_is_a_sign_and_no_reason_to_keep_it() -> None:
    """Without a trained model nearly everything is; what the model says is a reason."""
    unread = exchange("auto")
    found = signs(unread, FINE)
    assert list(found) == [Signal.OUT_OF_SCOPE]
    assert not speaks(unread, found)
    assert speaks(unread, signs(unread, Answered("I don't know.")))
    read = put(exchange("auto"), intent=Intent(None, 0.9, out_of_scope=True))
    assert speaks(read, signs(read, FINE))
    assert signs(exchange("cloud/big"), FINE) == {}


def test_what_a_call_says_beside_it_is_no_refusal() -> None:
    """An assistant that says what it cannot see, and looks it up, does not hedge."""
    answer = Answered(
        "I don't have access to the date; I look it up.", calls=(ToolCall("now", ""),)
    )
    assert signs(exchange("base"), answer) == {}


@pytest.mark.parametrize(
    ("kind", "value", "is_bad"),
    [
        ("boolean", False, True),
        ("boolean", True, False),
        ("float", 0.1, True),
        ("float", 0, True),
        ("float", 0.8, False),
        ("comment", "terrible", False),
        ("demonstration", "Better.", False),
    ],
)
def test_feedback(kind: str, value: Any, is_bad: bool) -> None:
    """Negative is false, or below a half."""
    assert (of_feedback(kind, value) is Signal.NEGATIVE_FEEDBACK) is is_bad


def test_the_shadow() -> None:
    """Another answer is a sign; none is not."""
    assert of_shadow(0.1) is Signal.SHADOW_DIFFERS
    assert of_shadow(0.9) is None
    assert of_shadow(None) is None


def test_when_a_frontier_struggles() -> None:
    """A poor answer of a frontier; not what merely says why it was asked."""
    assert struggles(FRONTIER, [Signal.REFUSED])
    assert struggles(FRONTIER, ["negative_feedback"])
    assert not struggles(FRONTIER, [Signal.OUT_OF_SCOPE, Signal.ESCALATED])
    assert not struggles("base", [Signal.REFUSED])


def test_every_sign_is_counted() -> None:
    """Each has its own count, from the start on."""
    registry = CollectorRegistry()
    counts = SignalCounts(registry)
    counts.saw(Signal.HEDGED)
    read = registry.get_sample_value
    assert read("graftwork_signals_total", {"signal": "hedged"}) == 1
    assert read("graftwork_signals_total", {"signal": "refused"}) == 0
