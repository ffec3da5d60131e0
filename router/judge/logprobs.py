"""Token probabilities of an answer: read, summed up, and removed where nobody asked.

Where they stand in an answer is known by its format.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from router.wire.formats.base import Format

_FLOOR: Final = -30.0
"""vLLM writes -9999 for minus infinity; one such token must not decide everything."""


@dataclass(frozen=True, slots=True)
class Features:
    """An answer's probabilities, summed up."""

    tokens: int
    mean: float
    """Mean log-probability of the tokens, nats."""
    minimum: float
    entropy: float | None
    """Mean over positions, nats; None when no alternatives were told."""


class TokenLogprobs:
    """Adds up the log-probabilities of the first choice's tokens as they go by."""

    __slots__ = ("_entropies", "_entropy", "_minimum", "_sum", "_wire", "count")

    def __init__(self, wire: Format) -> None:
        self._wire = wire
        self.count = 0
        self._sum = 0.0
        self._minimum = 0.0
        self._entropy = 0.0
        self._entropies = 0

    def features(self) -> Features | None:
        """What was seen so far; None before any token."""
        if not self.count:
            return None
        entropy = self._entropy / self._entropies if self._entropies else None
        return Features(self.count, self._sum / self.count, self._minimum, entropy)

    def read(self, found: Any, *, strip: bool) -> bool:
        """Take what an answer or event says; returns whether ``found`` was changed by ``strip``."""
        if not isinstance(found, dict):
            return False
        for told in self._wire.logprobs(found):
            self._take(told)
        return strip and self._wire.strip_logprobs(found)

    def _take(self, told: dict[str, Any]) -> None:
        content = told.get("content")
        if isinstance(content, list):
            for each in content:
                if isinstance(each, dict):
                    self._add(each.get("logprob"), _of_chat(each.get("top_logprobs")))
            return
        logprobs, tops = told.get("token_logprobs"), told.get("top_logprobs")
        if isinstance(logprobs, list):
            others = tops if isinstance(tops, list) else []
            for place, logprob in enumerate(logprobs):
                top = others[place] if place < len(others) else None
                self._add(logprob, list(top.values()) if isinstance(top, dict) else [])

    def _add(self, logprob: Any, alternatives: Iterable[Any]) -> None:
        if not _is_number(logprob):
            return
        value = max(_FLOOR, min(0.0, logprob))
        self._minimum = min(self._minimum, value) if self.count else value
        self.count += 1
        self._sum += value
        known = [max(_FLOOR, min(0.0, each)) for each in alternatives if _is_number(each)]
        if known:
            self._entropy += entropy(known)
            self._entropies += 1


def entropy(logprobs: Iterable[float]) -> float:
    """Shannon entropy, nats, of the most probable tokens with all others lumped into one.

    Lumping loses what the others disagree about, so this is a lower bound.
    """
    total, mass = 0.0, 0.0
    for logprob in logprobs:
        probability = math.exp(logprob)
        mass += probability
        total -= probability * logprob
    rest = 1.0 - mass
    return total - rest * math.log(rest) if rest > 1e-9 else total


def _of_chat(tops: Any) -> list[Any]:
    if not isinstance(tops, list):
        return []
    return [top.get("logprob") for top in tops if isinstance(top, dict)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not (isinstance(value, bool) or math.isnan(value))
