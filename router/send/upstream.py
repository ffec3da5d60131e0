"""Somebody who could be asked now, and what his record says."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.aliases import Replica
from router.request import Option
from router.send.health import Health
from router.send.remedy import Blame
from router.targets.base import Target


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
