"""How good a target's answers to an intent are: a Beta belief per pair, refitted by judgements.

A judgement is a share of success, 0 to 1. With prior Beta(m s, (1 - m) s) and judgements x_1 … x_n
the belief is Beta(a, b) with a = m s + sum w_i x_i and b = (1 - m) s + sum w_i (1 - x_i), its mean
a / (a + b). Older judgements weigh less, w_i = exp(-(n - i) / memory), so that a target that
changed is not judged for ever by what it was (discounted Beta-Bernoulli; Kaufmann et al. 2012 use
the same belief for bandits, Raj and Kalyani 2017 the discount).

The prior is the configured one, else what a gate counted when it tested this very version, else a
convention.

For a request whose intent is uncertain the expected quality is the mean over its posterior.
"""

from __future__ import annotations

import fnmatch
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adapters.evaluation import Tally
from router.choose.cards import Card
from router.config.routing import QualityConfig
from router.request import NO_INTENT

ADAPTER_FOR_ITS_INTENT = 0.9
FRONTIER = 0.9
FRONTIER_FOR_ITS_INTENT = 0.95
BASE = 0.8
BASE_FOR_A_CLAIMED_INTENT = 0.7
"""Somebody trained an adapter for it, so the base was not good enough."""
ADAPTER_FOR_ANOTHER_INTENT = 0.5
DEFAULT_STRENGTH = 20.0
_JUDGED_KEPT = 10_000


@dataclass(slots=True)
class _Cell:
    good: float = 0.0
    bad: float = 0.0


@dataclass(frozen=True, slots=True)
class Belief:
    """Beta(a, b) over the share of good answers."""

    a: float
    b: float

    @property
    def mean(self) -> float:
        """Expected share of good answers."""
        return self.a / (self.a + self.b)

    @property
    def deviation(self) -> float:
        """Standard deviation of the belief."""
        total = self.a + self.b
        return math.sqrt(self.a * self.b / (total * total * (total + 1)))


@dataclass(frozen=True, slots=True)
class Prior:
    """A belief before any judgement: a share of good answers, and how many answers it is worth."""

    mean: float
    strength: float
    basis: str
    """Where it comes from."""

    def record(self) -> str:
        """For people."""
        return f"{self.mean:.3f} ({self.basis})"


class Quality:
    """Beliefs by intent and target; bounded (law 9)."""

    def __init__(self, config: QualityConfig) -> None:
        self._config = config
        self._cells: OrderedDict[tuple[str, str], _Cell] = OrderedDict()
        self._judged: OrderedDict[str, tuple[str, str, float]] = OrderedDict()
        self._estimates: dict[tuple[str, str, bool, bool], float] = {}
        self._decay = math.exp(-1.0 / config.memory)

    def __len__(self) -> int:
        return len(self._cells)

    def expected(
        self, card: Card, posterior: Mapping[str, float], claimed: frozenset[str]
    ) -> float:
        """Probability of a good answer, less the configured caution, over the intent's posterior.

        ``claimed``: intents that some live adapter was made for. What the posterior leaves out
        counts as no intent.
        """
        total, rest = 0.0, 1.0
        for intent, probability in posterior.items():
            rest -= probability
            total += probability * self.estimate(card, intent, claimed)
        if rest > 1e-9:
            total += rest * self.estimate(card, NO_INTENT, claimed)
        return min(1.0, max(0.0, total))

    def estimate(self, card: Card, intent: str, claimed: frozenset[str]) -> float:
        """The belief's mean less ``caution`` standard deviations."""
        # What the table claims is part of the prior, so it is part of the key.
        key = (intent, card.target, intent in claimed, intent in card.intents)
        found = self._estimates.get(key)
        if found is None:
            belief = self.belief(card, intent, claimed)
            found = max(0.0, belief.mean - self._config.caution * belief.deviation)
            if len(self._estimates) >= self._config.cells_kept:
                self._estimates.clear()
            self._estimates[key] = found
        return found

    def belief(self, card: Card, intent: str, claimed: frozenset[str]) -> Belief:
        """Prior and judgements of one pair."""
        prior = self.prior(card, intent, claimed)
        cell = self._cells.get((intent, card.target), _NOTHING)
        good, bad = prior.mean * prior.strength, (1 - prior.mean) * prior.strength
        return Belief(good + cell.good, bad + cell.bad)

    def prior(self, card: Card, intent: str, claimed: frozenset[str]) -> Prior:
        """What is believed before judgements: as configured, as a gate found, or by convention."""
        for prior in self._config.priors:
            if fnmatch.fnmatchcase(card.target, prior.targets) and fnmatch.fnmatchcase(
                intent, prior.intents
            ):
                return Prior(prior.mean, prior.strength, "configured")
        convention = _convention(card, intent, claimed)
        tally = _tally(card, intent)
        weight = 0.0 if tally is None else min(tally.judged, self._config.gate_strength)
        if tally is None or not weight:
            return Prior(convention, DEFAULT_STRENGTH, "convention")
        # Three good answers of three prove little: what is missing to a belief is the convention's.
        rest = max(0.0, DEFAULT_STRENGTH - weight)
        good = weight * (tally.good / tally.judged) + rest * convention
        return Prior(min(1.0, good / (weight + rest)), weight + rest, f"gate, {tally}")

    def judge(self, decision_id: str, intent: str | None, target: str, success: float) -> bool:
        """Take a judgement, 0 to 1. A later one about the same decision replaces the former.

        Returns whether it is the first one about the decision.
        """
        key = (intent or NO_INTENT, target)
        first = decision_id not in self._judged
        self._take_back(decision_id)
        cell = self._cells.pop(key, None) or _Cell()
        self._cells[key] = cell  # newest last: what was not judged for longest falls out
        cell.good = cell.good * self._decay + success
        cell.bad = cell.bad * self._decay + (1.0 - success)
        self._estimates.clear()
        self._judged[decision_id] = (*key, success)
        if len(self._judged) > _JUDGED_KEPT:
            self._judged.popitem(last=False)
        if len(self._cells) > self._config.cells_kept:
            self._cells.popitem(last=False)
        return first

    def _take_back(self, decision_id: str) -> None:
        before = self._judged.pop(decision_id, None)
        if before is None:
            return
        intent, target, success = before
        cell = self._cells.get((intent, target))
        if cell is not None:
            cell.good = max(0.0, cell.good - success)
            cell.bad = max(0.0, cell.bad - (1.0 - success))

    def forget(self, target: str) -> None:
        """Drop a target that is gone."""
        for key in [key for key in self._cells if key[1] == target]:
            del self._cells[key]
        self._estimates.clear()

    def snapshot(self) -> list[dict[str, Any]]:
        """All judgements, added up, as JSON."""
        return [
            {"intent": intent, "target": target, "good": cell.good, "bad": cell.bad}
            for (intent, target), cell in self._cells.items()
        ]

    def restore(self, cells: list[dict[str, Any]]) -> None:
        """Start from a snapshot. Raises ``ValueError`` or ``KeyError`` for another shape."""
        for each in cells[-self._config.cells_kept :]:
            good, bad = float(each["good"]), float(each["bad"])
            if not (0 <= good < math.inf and 0 <= bad < math.inf):
                raise ValueError(f"judgements must be numbers from 0, got {each}")
            self._cells[str(each["intent"]), str(each["target"])] = _Cell(good, bad)
        self._estimates.clear()


def _convention(card: Card, intent: str, claimed: frozenset[str]) -> float:
    own = intent in card.intents
    if not card.is_local:
        return FRONTIER_FOR_ITS_INTENT if own else FRONTIER
    if card.alias is not None:
        return ADAPTER_FOR_ITS_INTENT if own else ADAPTER_FOR_ANOTHER_INTENT
    return BASE_FOR_A_CLAIMED_INTENT if intent in claimed else BASE


def _tally(card: Card, intent: str) -> Tally | None:
    """What a gate counted for the intent; over all that it tested only for what it was made for."""
    if card.gate is None:
        return None
    return card.gate.intents.get(intent) or (card.gate.overall if intent in card.intents else None)


_NOTHING = _Cell()
