"""The order in which permitted candidates are asked.

With a risk bound alpha: minimise the expected cost subject to expected error <= alpha, where
expected error is 1 - quality. Candidates within the bound come first, cheapest first; costs that
differ by at most ``TIE`` are as good as equal, and there the better candidate wins. Candidates
beyond the bound follow, best first: when none is within it, the best one is asked.

With a worth V of a good answer: maximise quality V - cost, which asks a dearer target where what it
is expected to do better is worth more than it costs more. A problem that neither solves stays with
the cheaper one, where a bound on the error would pay for it. With both, this is the order of those
within the bound.

Without either: local before frontier; an adapter that was made for the intent before the base; the
frontiers by cost.

In all orders a candidate that is dominated (another costs no more and is no worse, one of them
strictly) is never ahead of the one that dominates it, within the same tier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from router.choose.cards import Card
from router.choose.refusals import Code

TIE = 0.1
"""Relative difference of costs that is not worth a worse answer."""
_NOTHING_USD = 1e-9


class Tier(IntEnum):
    """Where neither a risk bound nor a worth is set, lower tiers are asked first."""

    INTENT = 0
    """Made for what is asked, or named."""
    BEFORE = 1
    """The version before such a one."""
    BASE = 2
    OTHER_INTENT = 3
    """Made for what may be asked as well."""
    FRONTIER = 4


@dataclass(slots=True, eq=False)
class Candidate:
    """One target, as it is considered for one request."""

    card: Card
    code: Code
    why: str
    tier: Tier = Tier.INTENT
    cost_usd: float = 0.0
    quality: float = 0.0
    prior: str = ""
    """What stands behind the quality, judgements of answers aside."""
    difficulty: str = ""
    """What the single request does to it, for people."""
    refusal: Code | None = None
    named: bool = False
    """The client asked for it by name."""
    place: int = 0
    """Of a virtual model's target that it stands for, in their list."""

    def refuse(self, code: Code, why: str) -> None:
        """Strike it out; the first reason stays."""
        if self.refusal is None:
            self.refusal, self.code, self.why = code, code, why


def ranked(
    candidates: Sequence[Candidate], risk: float | None, worth_usd: float | None = None
) -> list[Candidate]:
    """All candidates, best first. Order among equals is the order in which they came."""
    if risk is None:
        return _by_tier(candidates) if worth_usd is None else _worthiest(candidates, worth_usd)
    within = [c for c in candidates if 1.0 - c.quality <= risk + 1e-12]
    beyond = [c for c in candidates if 1.0 - c.quality > risk + 1e-12]
    for candidate in beyond:
        if candidate.refusal is None:
            candidate.code = Code.RISK_EXCEEDED
            error = 1.0 - candidate.quality
            candidate.why += f"; expected error {error:.3f} is above the bound of {risk:.3f}"
    beyond.sort(key=lambda c: (-c.quality, c.cost_usd))
    return (_cheapest(within) if worth_usd is None else _worthiest(within, worth_usd)) + beyond


def _worthiest(candidates: Sequence[Candidate], worth_usd: float) -> list[Candidate]:
    """By what is left of a good answer's worth; the better one where that is the same."""
    left = {id(c): c.quality * worth_usd - c.cost_usd for c in candidates}
    for candidate in candidates:
        if candidate.refusal is None:
            candidate.why += f"; worth {left[id(candidate)]:+.6f} USD after its cost"
    return sorted(candidates, key=lambda c: (-left[id(c)], -c.quality, c.cost_usd))


def _by_tier(candidates: Sequence[Candidate]) -> list[Candidate]:
    tiers: dict[int, list[Candidate]] = {}
    for candidate in candidates:
        tiers.setdefault(candidate.tier, []).append(candidate)
    found: list[Candidate] = []
    for tier in sorted(tiers):
        found += _cheapest(tiers[tier])
    return found


def _cheapest(candidates: list[Candidate]) -> list[Candidate]:
    """By cost; within a group of nearly equal costs by quality."""
    if len(candidates) < 2:
        return candidates
    left = sorted(candidates, key=lambda c: c.cost_usd)
    found: list[Candidate] = []
    while left:
        limit = left[0].cost_usd * (1.0 + TIE) + _NOTHING_USD
        size = next((i for i, c in enumerate(left) if c.cost_usd > limit), len(left))
        found += sorted(left[:size], key=lambda c: (-c.quality, c.cost_usd))
        left = left[size:]
    return found
