"""The verdict on a candidate, and on a version that just went live: promote, roll back, or wait.

Pure. Error rates are compared by the lower bound of the difference of two proportions (Newcombe
1998, method 10, from Wilson intervals), so that a handful of unlucky requests rolls nothing back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from adapters.config import LadderSettings
from adapters.traffic import VersionTraffic


class LadderVerdict(StrEnum):
    """What the evidence says."""

    PROMOTE = "promote"
    ROLL_BACK = "roll-back"
    WAIT = "wait"


@dataclass(frozen=True)
class Judgement:
    """A verdict with the reason, in figures."""

    verdict: LadderVerdict
    reason: str


def judge_shadow(candidate: VersionTraffic, settings: LadderSettings) -> Judgement:
    """A candidate that answers in secret: does it answer, and like the live version?"""
    if candidate.shadowed < settings.min_shadowed:
        return _wait(f"{candidate.shadowed} of {settings.min_shadowed} shadowed calls")
    failed = candidate.errors / candidate.shadowed
    low, _ = wilson(candidate.errors, candidate.shadowed)
    if low > settings.max_error_increase:
        return Judgement(LadderVerdict.ROLL_BACK, f"{failed:.1%} of its secret answers failed")
    answered = candidate.shadowed - candidate.errors
    agreement = candidate.agreement / answered if answered else 0.0
    if agreement < settings.min_agreement:
        return Judgement(
            LadderVerdict.ROLL_BACK,
            f"agrees with the live version by {agreement:.2f}, below {settings.min_agreement:.2f}",
        )
    return Judgement(LadderVerdict.PROMOTE, f"agreement {agreement:.2f}, {failed:.1%} failed")


def judge_canary(
    candidate: VersionTraffic, live: VersionTraffic | None, settings: LadderSettings
) -> Judgement:
    """A candidate that answers a share: fewer errors and as fast as the live version?

    Without a live version (None), whether it fails at all.
    """
    worse = is_worse(candidate, live or VersionTraffic(), settings)
    if worse is not None:
        return Judgement(LadderVerdict.ROLL_BACK, worse)
    if candidate.requests < settings.min_requests:
        return _wait(f"{candidate.requests} of {settings.min_requests} requests")
    if live is None:
        return Judgement(
            LadderVerdict.PROMOTE,
            f"{candidate.error_rate:.1%} errors over {candidate.requests} requests",
        )
    if live.requests < settings.min_requests:
        return _wait(f"the live version has {live.requests} of {settings.min_requests} requests")
    return Judgement(
        LadderVerdict.PROMOTE,
        f"{candidate.error_rate:.1%} errors against {live.error_rate:.1%} "
        f"over {candidate.requests} requests",
    )


def is_worse(new: VersionTraffic, old: VersionTraffic, settings: LadderSettings) -> str | None:
    """Why ``new`` is worse than ``old`` beyond doubt, or None."""
    if new.requests >= settings.min_requests_to_roll_back:
        low = difference_low(new.errors, new.requests, old.errors, old.requests)
        if low > settings.max_error_increase:
            return (
                f"{new.error_rate:.1%} errors over {new.requests} requests against "
                f"{old.error_rate:.1%} over {old.requests}"
            )
    if min(sum(new.latency), sum(old.latency)) < settings.min_requests:
        return None
    ours, theirs = (
        new.latency_s(settings.latency_quantile),
        old.latency_s(settings.latency_quantile),
    )
    if ours is not None and theirs is not None and ours > theirs * settings.max_latency_ratio:
        return (
            f"p{settings.latency_quantile * 100:.0f} up to {ours:g} s against {theirs:g} s, "
            f"more than {settings.max_latency_ratio:g} times"
        )
    return None


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927); (0, 1) without observations."""
    if n == 0:
        return 0.0, 1.0
    p = hits / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def difference_low(hits_a: int, n_a: int, hits_b: int, n_b: int) -> float:
    """Lower 95 % bound of rate a minus rate b; without b, of rate a alone."""
    low_a, _ = wilson(hits_a, n_a)
    if n_b == 0:
        return low_a
    _, high_b = wilson(hits_b, n_b)
    p_a, p_b = hits_a / n_a, hits_b / n_b
    return p_a - p_b - math.sqrt((p_a - low_a) ** 2 + (high_b - p_b) ** 2)


def _wait(reason: str) -> Judgement:
    return Judgement(LadderVerdict.WAIT, reason)
