"""How long each target's answers are, and how long they take."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from router.exchange import Exchange

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
