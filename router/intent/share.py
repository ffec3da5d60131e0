"""How many messages have none of the intents, learned from the messages themselves.

The curves of a head for few examples stand under a prior: one message in five has none of the
intents. Where the messages that really come say that it is fewer, the same scores mean more. What
they say needs no labels: the share under which the posteriors of the newest messages add up to that
same share, by expectation maximisation (Saerens, Latinne, Decaestecker 2002).

Only downwards. Messages that look strange may have none of the intents, or may say in a customer's
words what the examples say in their authors': on a real bot the share came out at 0.65 where 0.42
was true, and believing it would have turned away what it is there for.
"""

from __future__ import annotations

from typing import Final

import numpy as np

ASSUMED: Final = 0.2
"""Share of messages that have none of the intents, before anything is known: one in five."""
_LEAST: Final = 0.02
_WINDOW: Final = 500
"""The newest messages that count."""
_PRIOR_MESSAGES: Final = 50
"""The assumption weighs as much as so many messages."""
_EVERY: Final = 10
_STEPS: Final = 20


class Outsiders:
    """The share of messages with none of the intents; belongs to one head and one event loop."""

    def __init__(self) -> None:
        self._odds = np.zeros(_WINDOW)
        self._seen = 0
        self.share = ASSUMED

    @property
    def factor(self) -> float:
        """What the odds of having none of the intents have to be multiplied by; at most 1."""
        return self.share / (1 - self.share) / (ASSUMED / (1 - ASSUMED))

    def saw(self, odds: float) -> None:
        """One more message came.

        Args:
            odds: that it has none of the intents, against one, under the share that is assumed.
        """
        self._odds[self._seen % _WINDOW] = odds
        self._seen += 1
        if self._seen % _EVERY == 0:
            self._learn()

    def _learn(self) -> None:
        odds = self._odds[: min(self._seen, _WINDOW)]
        for _ in range(_STEPS):
            likely = self.factor * odds
            none = float((likely / (1 + likely)).sum()) + _PRIOR_MESSAGES * ASSUMED
            share = none / (len(odds) + _PRIOR_MESSAGES)
            self.share = min(ASSUMED, max(_LEAST, share))
