"""Which exchanges are worth most, when there is no room for all."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Final

from adapters.corpus.exchange import ExchangeState

PROTECTED: Final = 1_000_000
"""From this worth on an exchange does not go: people have worked on it."""
_STATES: Final = {
    ExchangeState.REJECTED: 0,
    ExchangeState.CAPTURED: 1000,
    ExchangeState.IN_REVIEW: PROTECTED,
    ExchangeState.GOLD: 2 * PROTECTED,
}
_SIGNAL: Final = 100
_DEMONSTRATION: Final = 500
DEMONSTRATION: Final = "demonstration"


def worth(state: ExchangeState, signals: Collection[str], count: int) -> int:
    """More for what people settled, for every signal, and a little for what is asked often."""
    told = _SIGNAL * min(len(signals), 4) + (_DEMONSTRATION if DEMONSTRATION in signals else 0)
    return _STATES[state] + told + min(int(8 * math.log2(max(count, 1))), 99)
