"""What routers count per version, and what the promotion ladder and the residency read from it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

LATENCY_BOUNDS_S = (
    0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5,
    10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0,
)  # fmt: skip
"""Upper bounds of the latency buckets, seconds; one more bucket takes the rest."""
_BUCKETS = len(LATENCY_BOUNDS_S) + 1


class VersionTraffic(BaseModel):
    """Counts of one version since some beginning; counts of several sources add up."""

    model_config = ConfigDict(frozen=True)

    requests: int = 0
    """Calls that the version was asked to answer."""
    errors: int = 0
    """Of those, how many it failed: no answer, a broken stream, a status of 500 or more."""
    latency: tuple[int, ...] = (0,) * _BUCKETS
    """Answered calls by time to the last byte; see ``LATENCY_BOUNDS_S``."""
    shadowed: int = 0
    """Calls that it answered in secret, beside the live version."""
    agreement: float = 0.0
    """Sum over those of the overlap with the live answer, each 0 to 1."""
    wanted: int = 0
    """Calls that named it while no replica held it."""
    unsure: int = 0
    """Of ``requests``, answers that were not good enough to go out: a better target was asked."""
    judged: int = 0
    """Answers that somebody judged afterwards."""
    good: float = 0.0
    """Sum of those judgements, each 0 to 1."""

    def plus(self, other: VersionTraffic) -> VersionTraffic:
        """Both together."""
        return VersionTraffic(
            requests=self.requests + other.requests,
            errors=self.errors + other.errors,
            latency=tuple(a + b for a, b in zip(self.latency, other.latency, strict=True)),
            shadowed=self.shadowed + other.shadowed,
            agreement=self.agreement + other.agreement,
            wanted=self.wanted + other.wanted,
            unsure=self.unsure + other.unsure,
            judged=self.judged + other.judged,
            good=self.good + other.good,
        )

    def since(self, before: VersionTraffic) -> VersionTraffic:
        """What came after ``before``; all of it when the source began anew in between."""
        if self.requests < before.requests or self.shadowed < before.shadowed:
            return self
        if self.wanted < before.wanted or self.errors < before.errors:
            return self
        if self.judged < before.judged:
            return self
        return VersionTraffic(
            requests=self.requests - before.requests,
            errors=self.errors - before.errors,
            latency=tuple(max(0, a - b) for a, b in zip(self.latency, before.latency, strict=True)),
            shadowed=self.shadowed - before.shadowed,
            agreement=max(0.0, self.agreement - before.agreement),
            wanted=self.wanted - before.wanted,
            unsure=max(0, self.unsure - before.unsure),
            judged=self.judged - before.judged,
            good=max(0.0, self.good - before.good),
        )

    @property
    def error_rate(self) -> float:
        """Share of calls that failed; 0 without calls."""
        return self.errors / self.requests if self.requests else 0.0

    @property
    def mean_agreement(self) -> float | None:
        """Mean overlap with the live answers; None without shadowed calls."""
        return self.agreement / self.shadowed if self.shadowed else None

    def latency_s(self, quantile: float) -> float | None:
        """Upper bound of the bucket that holds the quantile, seconds; None without answers."""
        total = sum(self.latency)
        if not total:
            return None
        seen = 0
        for count, bound in zip(self.latency, (*LATENCY_BOUNDS_S, float("inf")), strict=True):
            seen += count
            if seen >= quantile * total:
                return bound
        return float("inf")

    def slower_than(self, seconds: float) -> int:
        """Answers that certainly took longer: those of buckets that begin there or later."""
        floors = (0.0, *LATENCY_BOUNDS_S)
        return sum(n for n, floor in zip(self.latency, floors, strict=True) if floor >= seconds)

    @property
    def used(self) -> int:
        """Everything that shows that somebody wants the version."""
        return self.requests + self.shadowed + self.wanted


def bucket(seconds: float) -> int:
    """Index of the latency bucket."""
    return bisect_left(LATENCY_BOUNDS_S, seconds)


def total(parts: Iterable[VersionTraffic]) -> VersionTraffic:
    """All of them together."""
    result = VersionTraffic()
    for part in parts:
        result = result.plus(part)
    return result
