"""How good a target's answers to an intent are: a Beta belief per pair.

A judgement is a share of success, 0 to 1. With prior Beta(m s, (1 - m) s) and judgements x_1 … x_n
the belief is Beta(a, b) with a = m s + sum w_i x_i and b = (1 - m) s + sum w_i (1 - x_i), its mean
a / (a + b). Older judgements weigh less, w_i = exp(-(n - i) / memory), so that a target that
changed is not judged for ever by what it was (discounted Beta-Bernoulli; Kaufmann et al. 2012 use
the same belief for bandits, Raj and Kalyani 2017 the discount).

The prior is the configured one, else what a gate counted when it tested this very version, else the
share in imported outcomes, else a convention. How hard the single request is comes on top, where
that was learned (``router.hardness``). For a request whose intent is uncertain the expected quality
is the mean over its posterior.
"""

from __future__ import annotations

import fnmatch
import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from adapters.evaluation import GateResult, Tally
from router.choose.cards import Card
from router.config.routing import QualityConfig
from router.hardness import NOT_JUDGED, Hardness
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


_NOTHING = _Cell()


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
        self._estimates: dict[tuple[str, str, bool, bool], tuple[GateResult | None, float]] = {}
        self._of: Hardness = NOT_JUDGED
        self._decay = math.exp(-1.0 / config.memory)

    def __len__(self) -> int:
        return len(self._cells)

    def expected(
        self,
        card: Card,
        posterior: Mapping[str, float],
        claimed: frozenset[str],
        hardness: Hardness = NOT_JUDGED,
    ) -> float:
        """Probability of a good answer, less the configured caution, over the intent's posterior.

        ``claimed``: intents that some live adapter was made for. ``hardness``: of this request.
        What the posterior leaves out counts as no intent.
        """
        if hardness.levels is not self._of.levels:
            self._of = hardness
            self._estimates.clear()
        total, rest = 0.0, 1.0
        for intent, probability in posterior.items():
            rest -= probability
            total += probability * self.estimate(card, intent, claimed)
        if rest > 1e-9:
            total += rest * self.estimate(card, NO_INTENT, claimed)
        usual = min(1.0, max(0.0, total))
        return hardness.applied(card.target, usual) if self._config.per_request else usual

    def estimate(self, card: Card, intent: str, claimed: frozenset[str]) -> float:
        """The belief's mean less ``caution`` standard deviations."""
        # What the table claims is part of the prior, so it is part of the key.
        key = (intent, card.target, intent in claimed, intent in card.intents)
        known = self._estimates.get(key)
        if known is not None and known[0] is card.gate:
            return known[1]
        belief = self.belief(card, intent, claimed, self._of)
        found = max(0.0, belief.mean - self._config.caution * belief.deviation)
        if len(self._estimates) >= self._config.cells_kept:
            self._estimates.clear()
        self._estimates[key] = card.gate, found
        return found

    def belief(
        self,
        card: Card,
        intent: str,
        claimed: frozenset[str],
        hardness: Hardness = NOT_JUDGED,
    ) -> Belief:
        """Prior and judgements of one pair."""
        prior = self.prior(card, intent, claimed, hardness)
        cell = self._cells.get((intent, card.target), _NOTHING)
        good, bad = prior.mean * prior.strength, (1 - prior.mean) * prior.strength
        return Belief(good + cell.good, bad + cell.bad)

    def prior(
        self,
        card: Card,
        intent: str,
        claimed: frozenset[str],
        hardness: Hardness = NOT_JUDGED,
    ) -> Prior:
        """Before judgements: as configured, as a gate found, as imported, or by convention."""
        for prior in self._config.priors:
            if fnmatch.fnmatchcase(card.target, prior.targets) and fnmatch.fnmatchcase(
                intent, prior.intents
            ):
                return Prior(prior.mean, prior.strength, "configured")
        convention = _convention(card, intent, claimed)
        tally = _tally(card, intent)
        weight = 0.0 if tally is None else min(tally.judged, self._config.gate_strength)
        if tally is None or not weight:
            return self._imported(card, intent, convention, hardness)
        # Three good answers of three prove little: what is missing to a belief is the convention's.
        rest = max(0.0, DEFAULT_STRENGTH - weight)
        good = weight * (tally.good / tally.judged) + rest * convention
        return Prior(min(1.0, good / (weight + rest)), weight + rest, f"gate, {tally}")

    def _imported(self, card: Card, intent: str, convention: float, hardness: Hardness) -> Prior:
        """The shares of imported outcomes: in general, then of the intent, each as far as it goes.

        An adapter was tried with what it is for: in general, that says nothing of other intents.
        """
        found = Prior(convention, DEFAULT_STRENGTH, "convention")
        general = card.alias is None or intent in card.intents
        for tally in hardness.known(card.target, intent, general=general):
            weight = min(tally.judged, self._config.outcome_strength)
            rest = max(0.0, DEFAULT_STRENGTH - weight)
            if weight:
                good = weight * (tally.good / tally.judged) + rest * found.mean
                mean = min(1.0, good / (weight + rest))
                found = Prior(mean, weight + rest, f"outcomes, {tally}")
        return found

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
