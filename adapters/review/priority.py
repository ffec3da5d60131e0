"""What an expert looks at first: what is most uncertain, most frequent and dearest. Pure."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from adapters.corpus.exchange import Exchange
from adapters.corpus.signals import struggles
from adapters.corpus.worth import DEMONSTRATION


class Tier(IntEnum):
    """What goes first, whatever its weight."""

    USUAL = 0
    DEMONSTRATED = 1
    """Somebody said what the answer should have been."""
    STRUGGLED = 2
    """Not even the frontier could answer it."""
    ESCALATED = 3
    """A reviewer asked for another one."""
    DEMANDED = 4
    """A rule wants it looked at."""
    AWAITED = 5
    """A rule lets nobody answer before."""


_UNKNOWN: Final = 0.5
_SUREST: Final = 0.02
"""Being sure is no proof: what is asked a thousand times is worth a look all the same."""
_CHEAPEST_USD: Final = 1e-5
"""A local answer is not worthless, and one without a price is not free."""


def weight(confidence: float | None, count: int, cost_usd: float) -> float:
    """Uncertainty x traffic x cost: dollars a year's worth of doubt, up to a constant."""
    doubt = 1 - (_UNKNOWN if confidence is None else min(max(confidence, 0.0), 1.0))
    return max(doubt, _SUREST) * max(count, 1) * max(cost_usd, _CHEAPEST_USD)


def weight_of(exchange: Exchange) -> float:
    """The weight of a captured exchange."""
    return weight(exchange.confidence, exchange.count, exchange.cost_usd)


def tier_of(exchange: Exchange) -> Tier:
    """Where an exchange stands by what is known of it."""
    if struggles(exchange.target, exchange.signals):
        return Tier.STRUGGLED
    return Tier.DEMONSTRATED if DEMONSTRATION in exchange.signals else Tier.USUAL
