"""What choosing learns: how good a target's answers are, how long they are and how long they take.

It learns from finished exchanges, from what people say of them afterwards, and from the feedback
that other routers took.

How good a target's answers to an intent are is a Beta belief per pair. A judgement is a share of
success, 0 to 1. With prior Beta(m s, (1 - m) s) and judgements x_1 … x_n the belief is Beta(a, b)
with a = m s + sum w_i x_i and b = (1 - m) s + sum w_i (1 - x_i), its mean a / (a + b). Older
judgements weigh less, w_i = exp(-(n - i) / memory), so that a target that changed is not judged for
ever by what it was (discounted Beta-Bernoulli; Kaufmann et al. 2012 use the same belief for
bandits, Raj and Kalyani 2017 the discount).

The prior is the configured one, else what a gate counted when it tested this very version, else the
share in imported outcomes, else a convention. How hard the single request is comes on top, where
that was learned (``router.hardness``). For a request whose intent is uncertain the expected quality
is the mean over its posterior.
"""

from __future__ import annotations

import fnmatch
import math
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from adapters.evaluation import Tally
from router.choose.cards import Card
from router.config.routing import QualityConfig, RoutingConfig, SessionConfig
from router.exchange import Exchange
from router.hardness import NOT_JUDGED, Hardness
from router.judge.calibration import Calibration
from router.judge.logprobs import Features
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
        found = self._estimates.get(key)
        if found is None:
            belief = self.belief(card, intent, claimed, self._of)
            found = max(0.0, belief.mean - self._config.caution * belief.deviation)
            if len(self._estimates) >= self._config.cells_kept:
                self._estimates.clear()
            self._estimates[key] = found
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


_NOTHING = _Cell()


_HEARD_KEPT = 20_000
EXPECTED_OUTPUT_TOKENS = 256.0
"""Before anything was answered."""
_PRIOR_ANSWERS = 8
"""How many answers the expectation is worth."""
_FORGET = 0.02
"""Weight of the newest answer in the mean, once there are enough."""
WINDOW_S = 60.0
"""Latencies older than this are forgotten, so that who was slow is tried again."""
_SAMPLES = 64
MIN_SAMPLES = 8
"""Fewer say nothing about a percentile."""
_QUANTILE = 0.9
_TARGETS_KEPT = 10_000


class Learning:
    """The memories that a decision reads, and what feeds them."""

    def __init__(
        self, config: RoutingConfig, known: Callable[[str], bool] = lambda _: True
    ) -> None:
        self._known = known
        self.quality = Quality(config.quality)
        self.measured = Measured()
        self.calibration = Calibration()
        self.sessions = Sessions(config.sessions)
        self._heard: OrderedDict[str, None] = OrderedDict()

    def observe(self, exchange: Exchange) -> None:
        """After the last byte: lengths, latencies, who answered the session."""
        if exchange.chosen is not None and self._known(exchange.chosen.target):
            self.measured.observe(exchange)
        self.sessions.observe(exchange)

    def judged(self, said: Mapping[str, Any]) -> None:
        """Learn from one feedback; hearing the same again changes nothing."""
        identity, judged = str(said["id"]), said.get("judged") or {}
        success, target = success_of(said["kind"], said["value"]), judged.get("target")
        if success is None or target is None or identity in self._heard:
            return
        if not self._known(str(target)):
            return
        self._heard[identity] = None
        if len(self._heard) > _HEARD_KEPT:
            self._heard.popitem(last=False)
        intent = judged.get("intent")
        first = self.quality.judge(str(said["decision_id"]), intent, str(target), success)
        assurance = judged.get("assurance") or {}
        features = _features(assurance, str(target))
        if features is not None and first:
            expected = assurance.get("expected")
            self.calibration.judge(intent or NO_INTENT, str(target), features, success, expected)

    def forget(self, target: str) -> None:
        """A target is gone: so is what was learned of it."""
        self.quality.forget(target)
        self.measured.forget(target)
        self.calibration.forget(target)


def _features(assurance: Any, target: str) -> Features | None:
    """The probabilities of the answer that went out, where it was judged by them."""
    if not isinstance(assurance, Mapping) or assurance.get("target") != target:
        return None
    names = ("tokens", "mean_logprob", "min_logprob", "entropy")
    return Features(*(assurance[name] for name in names))


def success_of(kind: str, value: Any) -> float | None:
    """How good the answer was, 0 to 1; None when the feedback does not say."""
    if kind == "boolean":
        return float(value)
    if kind == "float" and 0.0 <= value <= 1.0:
        return float(value)
    return None


@dataclass(slots=True)
class _Seen:
    answers: int = 0
    output_tokens: float = EXPECTED_OUTPUT_TOKENS
    latencies: deque[tuple[float, float, float]] = field(
        default_factory=lambda: deque(maxlen=_SAMPLES)
    )
    """(when, seconds to the first byte, seconds in all)"""


class Measured:
    """Means and percentiles by target; bounded in targets and samples (law 9)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def observe(self, exchange: Exchange) -> None:
        """Learn from a finished exchange."""
        chosen, account = exchange.chosen, exchange.account
        if chosen is None or account.status != 200:
            return
        answered = next(
            (each for each in reversed(exchange.delivery.attempts) if each.target == chosen.target),
            None,
        )
        if answered is None or exchange.delivery.rescued:
            return  # from the cache, or only the rest of an answer that another one began
        # What was tried before took others' time, not this target's.
        before_s = max(0.0, account.seconds - answered.seconds)
        first_s = account.seconds if account.first_byte_s is None else account.first_byte_s
        self.add(
            answered.target,
            answered.usage.output_tokens,
            max(0.0, first_s - before_s),
            answered.seconds,
        )

    def add(
        self, target: str, output_tokens: int | None, first_byte_s: float, total_s: float
    ) -> None:
        """One answer of a target."""
        seen = self._seen.get(target)
        if seen is None:
            seen = self._seen[target] = _Seen()
            if len(self._seen) > _TARGETS_KEPT:
                self._seen.popitem(last=False)
        if output_tokens is not None:
            seen.answers += 1
            weight = max(_FORGET, 1.0 / (seen.answers + _PRIOR_ANSWERS))
            seen.output_tokens += weight * (output_tokens - seen.output_tokens)
        seen.latencies.append((self._clock(), first_byte_s, total_s))

    def output_tokens(self, target: str) -> float:
        """How long an answer is to be expected: the mean so far, at first mostly the prior."""
        seen = self._seen.get(target)
        return EXPECTED_OUTPUT_TOKENS if seen is None else seen.output_tokens

    def latency(self, target: str) -> tuple[float | None, float | None]:
        """90th percentiles of the last minute, seconds: first byte, all of it; None: too few."""
        seen = self._seen.get(target)
        if seen is None:
            return None, None
        since = self._clock() - WINDOW_S
        recent = [sample for sample in seen.latencies if sample[0] >= since]
        if len(recent) < MIN_SAMPLES:
            return None, None
        return _percentile([s[1] for s in recent]), _percentile([s[2] for s in recent])

    def forget(self, target: str) -> None:
        """Drop a target that is gone."""
        self._seen.pop(target, None)


def _percentile(values: list[float]) -> float:
    """Nearest rank."""
    values.sort()
    return values[min(len(values) - 1, int(_QUANTILE * len(values)))]


@dataclass(frozen=True, slots=True)
class SessionTarget:
    """Where a session was answered."""

    target: str
    input_tokens: int
    """Length of its newest prompt: about what the target has cached of the next one."""
    until: float


class Sessions:
    """The sessions of one router, the least recently used forgotten first (law 9)."""

    def __init__(self, config: SessionConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._last: OrderedDict[tuple[str, str], SessionTarget] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last)

    def of(self, exchange: Exchange) -> SessionTarget | None:
        """Where the exchange's session was answered last; None without one, or after its time."""
        session = exchange.request.hints.session
        if session is None:
            return None
        key = (exchange.request.tenant, session)
        last = self._last.get(key)
        if last is None:
            return None
        if last.until <= self._clock():
            del self._last[key]
            return None
        return last

    def observe(self, exchange: Exchange) -> None:
        """Remember who answered."""
        session, chosen = exchange.request.hints.session, exchange.chosen
        if session is None or chosen is None or exchange.account.status != 200:
            return
        key = (exchange.request.tenant, session)
        self._last.pop(key, None)
        tokens = exchange.account.usage.input_tokens or exchange.request.needs.input_tokens
        self._last[key] = SessionTarget(chosen.target, tokens, self._clock() + self._config.ttl_s)
        if len(self._last) > self._config.kept:
            self._last.popitem(last=False)


EVERY_S: Final = 30.0
"""Between two looks."""
_OVERLAP_S: Final = 120.0
"""Looked at again each time: clocks differ, and a judgement takes a moment to be readable."""

Judgements = Callable[[float], Awaitable[list[dict[str, Any]]]]
"""The newest feedback since a moment (seconds since the epoch), oldest first."""


class Refit:
    """Keeps one router's beliefs in step with what everybody was told."""

    def __init__(self, learning: Learning, judgements: Judgements) -> None:
        self._learning = learning
        self._judgements = judgements
        self._since_s = 0.0

    async def once(self) -> None:
        """Learn what is new."""
        for said in await self._judgements(self._since_s):
            self._since_s = max(self._since_s, float(said["at"]) - _OVERLAP_S)
            self._learning.judged(said)
