"""When an answer is not good enough, and whom that is a reason to ask instead.

With a threshold T: below it, whoever is expected to be right more often than this answer is. With a
worth V of a good answer: whoever is expected to gain more than it costs,
(quality - P(good)) V > cost; what the answer itself cost is spent either way. In both, usually at
least as good as who answered: a weaker target is no remedy for a hard question. Nor is another
version of the same adapter.

Pure: a replay and the benchmark decide by it as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router.config.routing import DEFAULT_ROUTE, ConfidenceConfig, RouteConfig
from router.request import Option


@dataclass(frozen=True, slots=True)
class Standard:
    """What one route demands of an answer: by a threshold, by its worth, or nothing."""

    threshold: float | None = None
    worth_usd: float | None = None
    """Not used where there is a threshold."""

    @property
    def by(self) -> str:
        """``threshold``, ``worth``, or ``nothing``: it is only measured."""
        if self.threshold is not None:
            return "threshold"
        return "nothing" if self.worth_usd is None else "worth"

    def bar(self, other: Option) -> float:
        """P(good) of an answer below which ``other`` is worth asking; never if it is 0 or less."""
        quality = other.quality or 0.0
        if self.threshold is not None:
            return min(self.threshold, quality)
        if self.worth_usd is None:
            return 0.0
        return quality - (other.cost_usd or 0.0) / self.worth_usd

    def remedies(
        self, asked: Option, probability: float, options: Iterable[Option]
    ) -> list[Option]:
        """Who of the options may be asked in place of so uncertain an answer, in their order."""
        return [
            other for other in options if _better(other, asked) and probability < self.bar(other)
        ]

    def highest_bar(self, asked: Option, options: Iterable[Option]) -> float | None:
        """What an answer of ``asked`` has to reach to go out; None: nobody could be asked."""
        bars = [self.bar(other) for other in options if _better(other, asked)]
        found = max(bars, default=0.0)
        return found if found > 0.0 else None


@dataclass(frozen=True, slots=True)
class Judging:
    """How a decision's local answers will be judged, for its record."""

    standard: Standard
    config: ConfidenceConfig

    def record(self, options: Sequence[Option]) -> dict[str, Any]:
        """``below``: by local target, P(good) under which somebody else is asked."""
        allowed = [option for option in options if option.allowed]
        bars = {o.target: self.standard.highest_bar(o, allowed) for o in allowed if o.is_local}
        return {
            "by": self.standard.by,
            "threshold": self.standard.threshold,
            "worth_usd": self.standard.worth_usd,
            "stream": self.config.stream,
            "first_tokens": self.config.first_tokens,
            "below": {name: round(bar, 6) for name, bar in bars.items() if bar is not None},
        }


def judging(routes: Mapping[str, RouteConfig], route: str) -> Judging | None:
    """Of a route by its name, empty for the default one; None: its answers are not judged."""
    found = routes.get(route or DEFAULT_ROUTE)
    if found is None or found.confidence is None:
        return None
    threshold = found.confidence.threshold
    standard = Standard(threshold, found.worth_usd if threshold is None else None)
    return Judging(standard, found.confidence)


def _better(other: Option, asked: Option) -> bool:
    return (other.quality or 0.0) >= (asked.quality or 0.0) and _kin(other) != _kin(asked)


def _kin(option: Option) -> str:
    """The target, for all versions of an adapter the same."""
    return option.target.partition("@")[0] if option.is_local else option.target
