"""Is a live version as good as it was when it passed its gate? Pure.

It is looked at again and again, after every few judgements; a test for one look would sooner or
later cry wolf. This one may be looked at whenever one likes. Against "its share of good answers is
at least m", bets on every smaller share p are held at once: after judgements x_1 … x_n from 0 to 1
with sum s the bet on p is worth (p/m)^s ((1-p)/(1-m))^(n-s), in the mean never more than 1 while
the share is m or more, since p^x (1-p)^(1-x) is convex in x. So is the mean over all p, and the
chance that it ever reaches 1/alpha is at most alpha (Ville's inequality; Robbins 1970 for the
mixture, Waudby-Smith and Ramdas 2024 for values between 0 and 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from adapters.traffic import VersionTraffic

ALPHA: Final = 0.01
"""Chance that a version that is as good as it may be at least is ever taken back."""
FEWEST: Final = 10
"""Judgements before anything is taken back: who is content says so less often than who is not."""
_BETS: Final = 64
_EDGE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Baseline:
    """How good a version was when it was tested: a share of good answers."""

    share: float
    drop: float
    """How far below that it may be."""

    @property
    def least(self) -> float:
        """The share that it must not fall below."""
        return self.share - self.drop


def fallen(traffic: VersionTraffic, baseline: Baseline) -> str | None:
    """Why the version is worse than it may be, beyond doubt; None while it may be well.

    By what people said of its answers, and by how often its own confidence let an answer go out.
    """
    sure = float(traffic.requests - traffic.unsure)
    for good, n, what in (
        (traffic.good, traffic.judged, "of the answers that were judged are good"),
        (sure, traffic.requests, "of its answers were sure enough to go out"),
    ):
        # Two tests: each may have half of alpha.
        if n >= FEWEST and is_below(good, n, baseline.least, ALPHA / 2):
            return (
                f"{good / n:.1%} {what}, of {n}; when it was tested {baseline.share:.1%} were "
                f"good, and {baseline.least:.1%} is the least"
            )
    return None


def is_below(good: float, n: int, least: float, alpha: float) -> bool:
    """Whether a share of good answers is below ``least``, at whatever moment one looks.

    Args:
        good: sum of the judgements, 0 to ``n``.
        n: how many there are.
        least: the share that is held to be true at least.
        alpha: chance to say so wrongly, ever.
    """
    if not _EDGE < least < 1 or good >= least * n:
        return False
    bad = n - good
    log_null = good * math.log(least) + bad * math.log1p(-least)
    worth = 0.0
    for number in range(_BETS):
        p = least * (number + 0.5) / _BETS
        gained = good * math.log(p) + bad * math.log1p(-p) - log_null
        worth += math.exp(min(gained, 700.0)) / _BETS
    return worth >= 1 / alpha
