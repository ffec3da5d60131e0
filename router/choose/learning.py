"""What deciding learns from finished exchanges and from what people say of them afterwards."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from router.choose.quality import Quality
from router.config.routing import RoutingConfig, SessionConfig
from router.exchange import Exchange
from router.judge.calibration import Calibration
from router.judge.logprobs import Features
from router.request import NO_INTENT

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
        features = _features(judged.get("assurance"), str(target))
        if features is not None and first:
            self.calibration.judge(intent or NO_INTENT, str(target), features, success)

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
