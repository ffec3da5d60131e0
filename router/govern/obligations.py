"""Obligations on the way out: what rules oblige an answer to, held against all that it says."""

from __future__ import annotations

import asyncio
from typing import Final

from router.exchange import Exchange
from router.govern.window import OutputCheck, Violation
from router.policy.reading import Breach, Reading
from router.wire.formats import FORMATS
from router.wire.kinds import Kind
from router.wire.spoken import Place

_IN_A_THREAD: Final = 2_000
"""A longer piece is read beside the event loop."""


def obligation_checks(exchange: Exchange) -> list[OutputCheck]:
    """What an answer has to keep; nothing where no rule obliges it to anything."""
    wire = FORMATS[exchange.request.endpoint]
    if not wire.generates or not exchange.decision.ruling.obligations:
        return []
    return [KeptObligations(exchange)]


class KeptObligations:
    """Reads one answer. What a model thinks aloud is no answer; the arguments of its calls are."""

    lets_pass: Final = 0

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._obligations = exchange.decision.ruling.obligations
        self._readings: dict[Place, Reading] = {}

    async def see(self, place: Place, text: str, *, ended: bool) -> int:
        """The next text at a place, and how much of it must wait. Raises ``Violation``."""
        if place.kind is Kind.REASONING:
            return 0
        reading = self._readings.get(place)
        if reading is None:
            arguments = place.kind is Kind.ARGUMENTS
            reading = self._readings[place] = Reading(self._obligations, arguments=arguments)
        if len(text) < _IN_A_THREAD:
            found, waiting = reading.read(text, ended=ended)
        else:
            found, waiting = await asyncio.to_thread(reading.read, text, ended=ended)
        if found:
            raise self._violation(found)
        return waiting

    def _violation(self, found: list[Breach]) -> Violation:
        rules = sorted({each.rule for each in found})
        chosen = self._exchange.chosen
        self._exchange.delivery.note(
            violated=rules,
            target=chosen.target if chosen else None,
            details=sorted({each.detail for each in found})[:10],
        )
        details = "; ".join(dict.fromkeys(each.detail for each in found))
        return Violation(
            f"The answer was stopped: it breaks the rule {', '.join(map(repr, rules))}.",
            code="policy_denied",
            reason=f"Your last answer was not acceptable: {details}. Answer again without that.",
            retryable=True,
        )
