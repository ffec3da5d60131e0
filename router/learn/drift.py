"""Whether what comes now is unlike what came before: the population stability index.

PSI = Σ (p - q) · ln(p / q) over the buckets of two distributions. The usual reading: below 0.1 they
are alike, above 0.25 something is different. Of few requests it is large by chance: then it says
nothing, however large it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

MODERATE, MAJOR = 0.1, 0.25
"""Thresholds of the index."""
DAY_S: Final = 86_400.0
REFERENCE_S: Final = 7 * DAY_S
"""What the last day is compared with: the seven days before it."""
FEWEST: Final = 100
"""Fewer requests on either side are not compared."""
_HALF: Final = 0.5
"""Added to each bucket's count: an empty one has no logarithm."""
_RARELY: Final = 3.09
"""Standard deviations that chance exceeds once in a thousand times."""


@dataclass(frozen=True, slots=True)
class Moved:
    """One bucket then and now."""

    bucket: str
    share: float
    reference_share: float
    contribution: float
    """What it adds to the index."""
    examples: tuple[str, ...] = ()
    """Decisions of now that are in it."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One signal then and now.

    Attributes:
        signal: its name.
        requests: of the last day.
        reference_requests: of the days before.
        psi: the index; None: too few to compare.
        noise: an index that chance alone stays below, 999 times of a thousand.
        level: ``none``, ``moderate``, ``major`` or ``unknown``.
        buckets: what moved, most first.
    """

    signal: str
    requests: int
    reference_requests: int
    psi: float | None
    noise: float | None
    level: str
    buckets: tuple[Moved, ...]


def compare(
    signal: str,
    now: Mapping[str, int],
    before: Mapping[str, int],
    examples: Mapping[str, Iterable[str]],
) -> Drift:
    """Two distributions of one signal, by bucket."""
    n, m = sum(now.values()), sum(before.values())
    names = sorted(now.keys() | before.keys())
    smooth = _HALF * len(names)
    moved = []
    for name in names:
        p = (now.get(name, 0) + _HALF) / (n + smooth)
        q = (before.get(name, 0) + _HALF) / (m + smooth)
        share = now.get(name, 0) / n if n else 0.0
        reference = before.get(name, 0) / m if m else 0.0
        seen = tuple(examples.get(name, ()))
        moved.append(Moved(name, share, reference, (p - q) * math.log(p / q), seen))
    moved.sort(key=lambda each: (-each.contribution, each.bucket))
    if min(n, m) < FEWEST:
        return Drift(signal, n, m, None, None, "unknown", tuple(moved))
    psi = sum(each.contribution for each in moved)
    noise = _noise(len(names), n, m)
    return Drift(signal, n, m, psi, noise, _level(psi, noise), tuple(moved))


def _noise(buckets: int, n: int, m: int) -> float:
    """The index of equal distributions is about χ² of ``buckets - 1``, times (1/n + 1/m)."""
    free = max(buckets - 1, 1)
    # Wilson and Hilferty's approximation of its quantile.
    quantile = free * (1 - 2 / (9 * free) + _RARELY * math.sqrt(2 / (9 * free))) ** 3
    return quantile * (1 / n + 1 / m)


def _level(psi: float, noise: float) -> str:
    if psi <= noise or psi < MODERATE:
        return "none"
    return "major" if psi >= MAJOR else "moderate"
