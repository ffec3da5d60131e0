"""A circuit breaker: who keeps failing is left alone, then tried with care.

    CLOSED --failures--> OPEN --time--> HALF_OPEN --good probes--> CLOSED
                           ^-----------------|  a bad probe, and for longer

Times are seconds on one monotonic clock that the caller passes in.
"""

from __future__ import annotations

import random
from enum import IntEnum

from router.config.delivery import BreakerConfig

_BUCKETS = 10
_JITTER = 0.2


class State(IntEnum):
    """The number is the metric's value."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """Counts the calls of one target, or of one replica.

    Each call that went out ends with exactly one of ``success``, ``failure`` and ``release``, which
    take what ``enter`` returned.
    """

    __slots__ = ("_bad", "_bucket", "_config", "_failed", "_good", "_openings", "_probes",
                 "_rng", "_row", "_until", "_width", "state")  # fmt: skip

    def __init__(self, config: BreakerConfig, rng: random.Random) -> None:
        self._config = config
        self._rng = rng
        self._width = config.window_s / _BUCKETS
        self._bucket = 0
        self._good = [0] * _BUCKETS
        self._bad = [0] * _BUCKETS
        self._row = 0
        self._failed = 0  # failures in the window: nobody sums the window while this is 0
        self._openings = 0
        self._probes = 0
        self._until = 0.0
        self.state = State.CLOSED

    def lets_in(self, now: float) -> bool:
        """Whether a call may go to the target now."""
        if self.state is State.CLOSED:
            return True
        if self.state is State.OPEN:
            return now >= self._until
        return self._probes < self._config.probes

    def opens_in(self, now: float) -> float:
        """Seconds until it is half open; 0 when it is not open."""
        return max(0.0, self._until - now) if self.state is State.OPEN else 0.0

    def enter(self) -> bool:
        """A call goes out, let in or for want of anything else; returns whether it is a probe."""
        if self.state is State.CLOSED:
            return False
        if self.state is State.OPEN:
            self.state = State.HALF_OPEN
            self._row = 0
        self._probes += 1
        return True

    def success(self, now: float, *, probe: bool) -> None:
        """The call was answered, be it with a refusal that is the client's fault."""
        self._leave(probe=probe)
        if self.state is State.CLOSED:
            self._row = 0
            self._good[self._slot(now)] += 1
        elif self.state is State.HALF_OPEN and probe:
            self._row += 1
            if self._row >= self._config.close_after:
                self._close()

    def failure(self, now: float, *, probe: bool) -> None:
        """The call failed, and it was the target's fault."""
        self._leave(probe=probe)
        if self.state is State.HALF_OPEN:
            if probe:
                self._open(now)
        elif self.state is State.CLOSED:
            self._bad[self._slot(now)] += 1
            self._failed += 1
            self._row += 1
            if self._row >= self._config.consecutive or self._rate_is_high():
                self._open(now)

    def release(self, *, probe: bool) -> None:
        """The call says nothing about the target: the client left, or we had no room for it."""
        self._leave(probe=probe)

    def _leave(self, *, probe: bool) -> None:
        if probe and self._probes > 0:
            self._probes -= 1

    def _rate_is_high(self) -> bool:
        bad = sum(self._bad)
        total = bad + sum(self._good)
        return total >= self._config.min_calls and bad >= self._config.error_rate * total

    def _slot(self, now: float) -> int:
        """The bucket of this moment; those in between are emptied."""
        bucket = int(now / self._width)
        passed = bucket - self._bucket
        if passed:
            for step in range(min(passed, _BUCKETS)):
                slot = (bucket - step) % _BUCKETS
                self._failed -= self._bad[slot]
                self._good[slot] = self._bad[slot] = 0
            self._bucket = bucket
        return bucket % _BUCKETS

    def _open(self, now: float) -> None:
        bound = min(self._config.open_max_s, self._config.open_s * 2.0**self._openings)
        self._openings = min(self._openings + 1, 16)
        self.state = State.OPEN
        self._row = 0
        self._until = now + bound * (1 + _JITTER * (2 * self._rng.random() - 1))

    def _close(self) -> None:
        self.state = State.CLOSED
        self._row = self._openings = self._failed = 0
        self._good = [0] * _BUCKETS
        self._bad = [0] * _BUCKETS
