"""What tokens take on each kind of card: replicas of one kind tell of one prompt token's time."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Final

from router.prices import Work
from serving.registry.token_times import LEAST, MOST, TokenTimes

_MOST_CARDS: Final = 16
"""Kinds that are told apart; what comes beyond counts as one of no name."""
_MOST_OF_IT: Final = 0.5
"""K of all is known when so much of the busy time was on cards of which a prompt token is."""


class CardTimes:
    """``TokenTimes`` by card. Belongs to the registry's event loop.

    Args:
        window_busy_s: busy seconds, of all replicas of a card, after which what was done counts
            for 1/e.
    """

    def __init__(self, window_busy_s: float) -> None:
        self._window_s = window_busy_s
        self._of: dict[str, TokenTimes] = {}

    def of(self, card: str) -> TokenTimes:
        """Those of one card, by its name; replicas without one have the empty name."""
        if card not in self._of and len(self._of) >= _MOST_CARDS:
            card = ""
        return self._of.setdefault(card, TokenTimes(self._window_s))

    def keep(self, alive: Container[str]) -> None:
        """Forget the unfinished blocks of replicas that are gone."""
        for times in self._of.values():
            times.keep(alive)

    def forget(self) -> None:
        """Begin anew: another base is served."""
        self._of.clear()

    def known(self) -> dict[str, float]:
        """Seconds of a prompt token, by card, where they are known. Thread-safe."""
        found = {card: times.prompt_token_s for card, times in dict(self._of).items()}
        return {card: seconds for card, seconds in found.items() if seconds is not None}

    def remember(self, known: Mapping[str, float]) -> None:
        """Take what was known before, where nothing is known yet."""
        for card, seconds in known.items():
            times = self.of(card)
            if times.prompt_token_s is None:
                times.prompt_token_s = seconds

    def by_load(self) -> dict[tuple[str, int], float]:
        """K by card and by the load at which it was found, of those that were seen lately."""
        return {
            (card, load): ratio
            for card, times in self._of.items()
            for load, ratio in times.by_load().items()
        }

    def ratio(self, works: Mapping[str, Work]) -> float | None:
        """K of what all cards did together: what their prompt tokens leave of their time is that
        of the generated ones, and a prompt token takes what it takes on average. None: not known.
        """
        known = self.known()
        told = [(work, known[card]) for card, work in works.items() if card in known]
        read = sum(work.input_tokens for work, _ in told)
        written = sum(work.output_tokens for work, _ in told)
        busy_s = sum(work.busy_s for work, _ in told)
        if not told or written <= 0:
            return None
        if busy_s < _MOST_OF_IT * sum(work.busy_s for work in works.values()):
            return None
        prompts_s = sum(seconds * work.input_tokens for work, seconds in told)
        if read > 0:
            mean_s = prompts_s / read
        else:
            mean_s = sum(seconds * work.busy_s for work, seconds in told) / busy_s
        return min(max((busy_s - prompts_s) / (mean_s * written), LEAST), MOST)
