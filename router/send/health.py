"""Whom a call may go to, and what is known of each target and replica.

A breaker, a retry budget, a pause that was asked for, latencies; and what one call adds to them.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from adapters.aliases import Replica
from router.config.delivery import BreakerConfig, DeliveryConfig, RetryConfig
from router.request import Option
from router.send.remedy import Blame
from router.targets.base import Target

_BUCKETS = 10
_JITTER = 0.2


class State(IntEnum):
    """The number is the metric's value."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """Counts the calls of one target or replica: who keeps failing is left alone, then tried.

        CLOSED --failures--> OPEN --time--> HALF_OPEN --good probes--> CLOSED
                               ^-----------------|  a bad probe, and for longer

    Times are seconds on one monotonic clock that the caller passes in.
    Each call that went out ends with exactly one of ``success``, ``failure`` and ``release``, which
    take what ``enter`` returned.
    """

    __slots__ = ("_bad", "_bucket", "_config", "_good", "_openings", "_probes", "_rng", "_row",
                 "_until", "_width", "state")  # fmt: skip

    def __init__(self, config: BreakerConfig, rng: random.Random) -> None:
        self._config = config
        self._rng = rng
        self._width = config.window_s / _BUCKETS
        self._bucket = 0
        self._good = [0] * _BUCKETS
        self._bad = [0] * _BUCKETS
        self._row = 0
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
        self._row = self._openings = 0
        self._good = [0] * _BUCKETS
        self._bad = [0] * _BUCKETS


_MAX_KNOWN = 2048
_MAX_PAUSE_S = 300.0
_TIMES_KEPT = 128
_REFRESH = 16
"""Calls after which a percentile is taken anew."""


class RetryBudget:
    """A token bucket per target: each request saves up a part of a retry, time saves up a few more.

    Args:
        config: ratio, rate and burst.
        now: seconds on the clock that the other methods are called with.
    """

    __slots__ = ("_at", "_burst", "_per_s", "_ratio", "tokens")

    def __init__(self, config: RetryConfig, now: float) -> None:
        self._ratio = config.budget_ratio
        self._per_s = config.budget_per_s
        self._burst = config.budget_burst
        self._at = now
        self.tokens = config.budget_burst

    def deposit(self) -> None:
        """A request went to the target in its own right."""
        tokens = self.tokens + self._ratio
        self.tokens = min(self._burst, tokens)

    def withdraw(self, now: float) -> bool:
        """Whether one more retry or hedge may go to the target; if so, it is taken off."""
        saved = (now - self._at) * self._per_s
        self._at = now
        self.tokens = min(self._burst, self.tokens + saved)
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


class Latencies:
    """The newest times to first content of one target, seconds; bounded (law 9)."""

    __slots__ = ("_next", "_seen", "_times", "_usual", "_valid")

    def __init__(self) -> None:
        self._times: list[float] = []
        self._next = 0
        self._seen = 0
        self._usual = 0.0
        self._valid = False

    def add(self, seconds: float) -> None:
        """One more call was answered."""
        if len(self._times) < _TIMES_KEPT:
            self._times.append(seconds)
        else:
            self._times[self._next] = seconds
            self._next = (self._next + 1) % _TIMES_KEPT
        self._seen += 1
        if self._seen % _REFRESH == 0:
            self._valid = False

    def percentile(self, share: float, min_samples: int) -> float | None:
        """The time within which that share was answered; None while too little is known.

        Nearest rank; taken anew every sixteenth call.
        """
        count = len(self._times)
        if count < min_samples:
            return None
        if not self._valid:
            self._usual = sorted(self._times)[min(count - 1, int(share * count))]
            self._valid = True
        return self._usual


class Health:
    """One target's, or one replica's."""

    __slots__ = ("breaker", "paused_until", "retries", "streams", "wholes")

    def __init__(self, config: DeliveryConfig, now: float, rng: random.Random) -> None:
        self.breaker = Breaker(config.breaker, rng)
        self.retries = RetryBudget(config.retry, now)
        self.paused_until = 0.0
        self.streams = Latencies()
        self.wholes = Latencies()

    def why_not(self, now: float) -> str | None:
        """What speaks against a call now, for the decision record."""
        if self.paused_until > now:
            return f"it asked for patience, {self.paused_until - now:.1f} s more"
        if self.breaker.lets_in(now):
            return None
        opens_in = self.breaker.opens_in(now)
        if opens_in:
            return f"its breaker is open for {opens_in:.1f} s"
        return "its breaker is half open and being probed"

    def pause(self, now: float, seconds: float) -> None:
        """The target asked for so much patience: nobody calls it before."""
        self.paused_until = max(self.paused_until, now + min(seconds, _MAX_PAUSE_S))


class HealthBook:
    """Everybody's health; bounded (law 9): the longest known is forgotten first.

    Targets go by their name, replicas by ``replica:<id>``: neither can be taken for the other.
    """

    def __init__(
        self,
        config: DeliveryConfig,
        rng: random.Random | None = None,
        remembered: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._config = config
        self._remembered = remembered
        self.rng = rng or random.Random()  # noqa: S311 - jitter, no secret
        self._known: dict[str, Health] = {}

    def of(self, name: str, now: float) -> Health:
        """The health of a target or replica; a new one is well."""
        found = self._known.get(name)
        if found is None and not self._remembered(name):
            return Health(self._config, now, self.rng)  # of a version that was retired meanwhile
        if found is None:
            while len(self._known) >= _MAX_KNOWN:
                del self._known[next(iter(self._known))]
            found = self._known[name] = Health(self._config, now, self.rng)
        return found

    def why_not(self, target: str) -> str | None:
        """Why a target should not be asked now; None when it may."""
        found = self._known.get(target)
        return None if found is None else found.why_not(time.monotonic())

    def forget(self, name: str) -> None:
        """A target or replica that is gone."""
        self._known.pop(name, None)

    def keep_replicas(self, alive: set[str]) -> None:
        """Forget replicas that left."""
        gone = [n for n in self._known if n.startswith("replica:") and n[8:] not in alive]
        for name in gone:
            del self._known[name]

    def __iter__(self) -> Iterator[tuple[str, Health]]:
        return iter(list(self._known.items()))


@dataclass(slots=True)
class Upstream:
    """A permitted option at one place: a provider's model, or a local model on one replica.

    Attributes:
        option: what the choice said; always an allowed one (law 5).
        target: what is called.
        health: the record of the model, wherever it runs.
        replica: where it runs, for a local one.
        place: the replica's record.
    """

    option: Option
    target: Target
    health: Health
    replica: Replica | None = None
    place: Health | None = None

    @property
    def key(self) -> tuple[str, str | None]:
        """Distinguishes the upstreams of one request."""
        return self.option.target, self.replica.id if self.replica else None

    def lets_in(self, now: float) -> bool:
        """Whether neither breaker nor pause speaks against a call now."""
        if not self.health.breaker.lets_in(now) or self.health.paused_until > now:
            return False
        place = self.place
        return place is None or (place.breaker.lets_in(now) and place.paused_until <= now)

    def paused_for(self, now: float) -> float:
        """Seconds for which it asked to be left alone; 0: it did not."""
        until = self.health.paused_until
        if self.place is not None:
            until = max(until, self.place.paused_until)
        return max(0.0, until - now)

    def opens_in(self, now: float) -> float:
        """Seconds until its breakers are half open."""
        here = self.place.breaker.opens_in(now) if self.place is not None else 0.0
        return max(here, self.health.breaker.opens_in(now))

    def why_not(self, now: float) -> str:
        """Why it is passed over now, for the decision record."""
        there = self.health.why_not(now)
        here = self.place.why_not(now) if self.place is not None else None
        return there or here or "it may be asked"


class Ticket:
    """One call's entry in the records; closed exactly once, whatever happens."""

    __slots__ = ("_candidate", "_here", "_open", "_there")

    def __init__(self, upstream: Upstream) -> None:
        self._candidate = upstream
        self._open = True
        self._there = upstream.health.breaker.enter()
        self._here = upstream.place is not None and upstream.place.breaker.enter()

    def alive(self, now: float) -> None:
        """The answer has begun: enough for a probe, which must not wait for a long stream."""
        if self._there:
            self._candidate.health.breaker.success(now, probe=True)
            self._there = False
        if self._here and self._candidate.place is not None:
            self._candidate.place.breaker.success(now, probe=True)
            self._here = False

    def good(self, now: float) -> None:
        """Answered to the end."""
        if not self._close():
            return
        self._candidate.health.breaker.success(now, probe=self._there)
        if self._candidate.place is not None:
            self._candidate.place.breaker.success(now, probe=self._here)

    def bad(self, now: float, blame: Blame, retry_after_s: float | None = None) -> None:
        """Failed; whose fault it was."""
        if blame is Blame.NOBODY:
            self.release()
            return
        if not self._close():
            return
        health, place = self._candidate.health, self._candidate.place
        if blame is Blame.LIMIT:
            (place or health).pause(now, retry_after_s or 0.0)
        at_place = place is not None and blame is not Blame.TARGET
        if place is not None and at_place:
            health.breaker.release(probe=self._there)
            self._fail(place, now, blame, retry_after_s, probe=self._here)
        else:
            self._fail(health, now, blame, retry_after_s, probe=self._there)
            if place is not None:
                place.breaker.release(probe=self._here)

    def _fail(
        self, health: Health, now: float, blame: Blame, retry_after_s: float | None, *, probe: bool
    ) -> None:
        if blame is Blame.LIMIT and retry_after_s is not None:
            health.breaker.release(probe=probe)  # it said when to come back: that is enough
        else:
            health.breaker.failure(now, probe=probe)

    def release(self) -> None:
        """It says nothing about the target."""
        if not self._close():
            return
        self._candidate.health.breaker.release(probe=self._there)
        if self._candidate.place is not None:
            self._candidate.place.breaker.release(probe=self._here)

    def _close(self) -> bool:
        was, self._open = self._open, False
        return was
