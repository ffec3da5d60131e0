"""What in a finished exchange says that its answer was poor, or may have been: pure functions.

Some signs are there when the answer is (``signs``), others come later: feedback, the same question
in other words (``repeats``), what the candidate in the shadow said.
"""

from __future__ import annotations

from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter

from adapters.corpus.signals import Signal
from router.capture.forms import broken_calls, broken_json
from router.capture.tone import Tone, tone
from router.delivery import ESCALATED, VIOLATED
from router.exchange import Exchange
from router.request import AUTO
from router.wire.answered import Answered

UNSURE: Final = 0.5
"""An answer that is more likely wrong than right, or an intent that is."""
_DIFFERENT: Final = 0.5
"""Share of words in common below which two answers do not say the same."""

Signs = dict[Signal, str]
"""Each with its reason, in words that repeat nothing of what was asked or answered."""


def signs(exchange: Exchange, answer: Answered | None) -> Signs:
    """What there is to say when the last byte has left. Takes up to milliseconds: off the loop.

    Args:
        exchange: settled.
        answer: what was said; None where it was not kept.
    """
    return {**_on_the_way(exchange), **({} if answer is None else _in_the_answer(exchange, answer))}


def speaks(exchange: Exchange, found: Signs) -> bool:
    """Whether signs are reason enough to keep an exchange that nobody sampled.

    That no rule recognised what the router was asked to decide is none: without a trained model it
    is true of nearly everything.
    """
    weak = Signal.OUT_OF_SCOPE if _is_unrecognised(exchange) else None
    return any(sign is not weak for sign in found)


def _is_unrecognised(exchange: Exchange) -> bool:
    """The router was to decide, and nothing told it what is asked."""
    intent = exchange.decision.intent
    return exchange.request.model == AUTO and intent.name is None and not intent.out_of_scope


def _on_the_way(exchange: Exchange) -> Signs:
    """What choosing, judging and checking had to say."""
    found: Signs = {}
    delivery, intent = exchange.delivery, exchange.decision.intent
    if intent.out_of_scope:
        found[Signal.OUT_OF_SCOPE] = "none of the declared intents"
    elif _is_unrecognised(exchange):
        found[Signal.OUT_OF_SCOPE] = "no intent was recognised"
    outcomes = {attempt.outcome for attempt in delivery.attempts}
    if ESCALATED in outcomes:
        found[Signal.ESCALATED] = delivery.review or "a local answer was not good enough"
    elif delivery.review is not None and exchange.decision.ruling.review is None:
        found[Signal.LOW_CONFIDENCE] = delivery.review  # else a rule wants it, however sure it is
    elif not intent.out_of_scope and (sure := exchange.confidence) is not None and sure < UNSURE:
        found[Signal.LOW_CONFIDENCE] = f"confidence {sure:.3f}"
    if VIOLATED in outcomes:
        found[Signal.VIOLATED] = "an answer broke a rule"
    return found


def _in_the_answer(exchange: Exchange, answer: Answered) -> Signs:
    """What the answer's form and tone say."""
    found: Signs = {}
    body = exchange.request.body
    heard = Tone.REFUSES if answer.is_refused else None if answer.calls else tone(answer.text)
    if heard is Tone.REFUSES:
        found[Signal.REFUSED] = "the API says so" if answer.is_refused else "by its words"
    elif heard is Tone.HEDGES:
        found[Signal.HEDGED] = "by its words"
    calls = broken_calls(body, answer)
    if calls:
        found[Signal.BROKEN_CALL] = "; ".join(calls)
    json = broken_json(body, answer)
    if json is not None:
        found[Signal.BROKEN_JSON] = json
    return found


def of_feedback(kind: str, value: Any) -> Signal | None:
    """What a judgement says of the answer; None: it was good, or nobody can tell."""
    if kind == "boolean" and value is False:
        return Signal.NEGATIVE_FEEDBACK
    is_number = kind == "float" and isinstance(value, int | float) and not isinstance(value, bool)
    return Signal.NEGATIVE_FEEDBACK if is_number and value < UNSURE else None


def of_shadow(agreement: float | None) -> Signal | None:
    """What a comparison with the candidate says; None: alike, or it did not answer."""
    if agreement is None or agreement >= _DIFFERENT:
        return None
    return Signal.SHADOW_DIFFERS


class SignalCounts:
    """How often each sign was seen, for metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seen = Counter(
            "graftwork_signals",
            "Signs that an answer was poor or may have been, by kind.",
            ["signal"],
            registry=registry,
        )
        for signal in Signal:
            self._seen.labels(signal.value)

    def saw(self, signal: Signal) -> None:
        """One more."""
        self._seen.labels(signal.value).inc()
