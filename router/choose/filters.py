"""What may be asked at all: one reason for each candidate that may not, before anything is ranked.

Order matters for the reason only: what the operator forbids is said before what does not fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from router.choose.cards import Card, CardSet
from router.choose.codes import Code
from router.request import Needs, Request
from router.wire.endpoint import Endpoint

CONTEXT_MARGIN = 1.1
"""The token count is an estimate: a prompt must fit with so much to spare."""
MIN_ANSWER_TOKENS = 16
"""Room for an answer when the client sets no bound."""
_FEATURES = {
    "tools": (Code.TOOLS, "has no tools"),
    "json_schema": (Code.JSON_SCHEMA, "does not answer by a schema"),
    "vision": (Code.VISION, "does not read pictures"),
    "logprobs": (Code.LOGPROBS, "gives no logprobs"),
    "stored": (Code.STORED, "keeps no responses"),
}

Refusal = tuple[Code, str]


class HealthView(Protocol):
    """Who is down, as the part that calls targets has seen it."""

    def why_not(self, target: str) -> str | None:
        """Why a target should not be asked now; None when it may."""
        ...


class AllWell:
    """Nobody is known to be down."""

    def why_not(self, _target: str) -> str | None:
        """Nothing speaks against anybody."""
        return None


class Funds(Protocol):
    """What the caller may still spend, as far as is known without asking anybody."""

    def left_usd(self, request: Request) -> float | None:
        """US dollars; None: no budget limits them."""
        ...


class Unlimited:
    """Nobody has a budget."""

    def left_usd(self, _request: Request) -> float | None:
        """No limit."""
        return None


@dataclass(frozen=True, slots=True)
class Bounds:
    """Hard limits of one request: the client's own and the route's."""

    max_cost_usd: float | None = None
    max_first_byte_s: float | None = None
    max_total_s: float | None = None
    left_usd: float | None = None
    """Of the caller's budgets. Only a forecast: the reservation before each attempt decides."""


def unfit(card: Card, endpoint: Endpoint, needs: Needs) -> Refusal | None:
    """Why the target cannot answer this kind of request."""
    if endpoint not in card.endpoints:
        return Code.ENDPOINT, f"does not answer {endpoint.value}"
    if not needs.features <= card.features:
        missing = next(name for name in _FEATURES if name in needs.features - card.features)
        return _FEATURES[missing]
    return _too_long(card, needs)


def _too_long(card: Card, needs: Needs) -> Refusal | None:
    window = card.context_window
    if window is None:
        return None
    answer = min(needs.max_output_tokens or MIN_ANSWER_TOKENS, window)
    wanted = int(needs.input_tokens * CONTEXT_MARGIN) + answer
    if wanted <= window:
        return None
    return Code.CONTEXT, f"about {wanted} tokens do not fit into its window of {window}"


def cold(card: Card, card_set: CardSet) -> Refusal | None:
    """Why no engine could answer for it now."""
    if card_set.is_held(card):
        return None
    return Code.NOT_RESIDENT, "no ready engine holds it"


def too_dear(cost_usd: float, bounds: Bounds) -> Refusal | None:
    """Why its expected cost is too high."""
    for bound, code, what in (
        (bounds.max_cost_usd, Code.MAX_COST, "the limit of"),
        (bounds.left_usd, Code.BUDGET, "what the budget has left,"),
    ):
        if bound is not None and cost_usd > bound:
            return code, f"expected cost {cost_usd:.6f} USD is above {what} {bound:.6f} USD"
    return None


def too_slow(first_byte_s: float | None, total_s: float | None, bounds: Bounds) -> Refusal | None:
    """Why its measured latency is too high; nothing speaks against what was not measured."""
    for seconds, bound, what in (
        (first_byte_s, bounds.max_first_byte_s, "to the first byte"),
        (total_s, bounds.max_total_s, "for an answer"),
    ):
        if seconds is not None and bound is not None and seconds > bound:
            return Code.TOO_SLOW, f"needs {seconds:.3f} s {what}, the limit is {bound:.3f} s"
    return None
