"""Is a version worse by a margin? The paired test for answers that are right or wrong. Pure.

Of ``n`` items both versions answer, ``wins`` are right with the candidate only, ``losses`` with the
current one only. The statistic is Tango's score (*Statistics in Medicine* 17, 1998), which unlike
Wald's does not collapse when nobody disagrees. How large it must be is not taken from a table of
the normal distribution, which passes too much where losses are rare, but computed: the smallest
value that a candidate worse by exactly the margin reaches with a chance of at most ``alpha``,
whatever the share of items is that the two disagree on (Barnard's unconditional test, as in Hsueh,
Liu and Chen, *Biometrics* 57, 2001). With a margin of zero the statistic is McNemar's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

EXACT_UP_TO: Final = 640
"""Items up to which the critical value is computed over all outcomes; beyond, by the normal
distribution and the excess that it had there."""
_NUISANCES: Final = 40
_TOP: Final = 0.25
_AT_THE_TOP: Final = 32
_FLOOR: Final = 1e-12
_CORRECTIONS: Final = 40
_NORMAL: Final = NormalDist()


def score(n: int, wins: float, losses: float, margin: float) -> float:
    """How far from worse by ``margin`` the candidate is, in standard deviations.

    These come of the likeliest share of losses under a difference of ``-margin``.
    """
    half = (wins + losses) + margin * (2 * n - wins + losses)
    root = math.sqrt(max(half * half - 8 * n * losses * margin * (1 + margin), 0.0))
    lost = (half + root) / (4 * n)
    spread = math.sqrt(max(n * (2 * lost - margin * (1 + margin)), 0.0))
    distance = wins - losses + n * margin
    if spread > _FLOOR:
        return distance / spread
    # No spread and no distance: nobody disagrees, and no margin could show it.
    return math.copysign(math.inf, distance) if distance else 0.0


def _scores(n: int, wins: Values, losses: Values, margin: float) -> Values:
    """The same for many outcomes at once."""
    half = (wins + losses) + margin * (2 * n - wins + losses)
    root = np.sqrt(np.maximum(half * half - 8 * n * losses * margin * (1 + margin), 0.0))
    lost = (half + root) / (4 * n)
    spread = np.sqrt(np.maximum(n * (2 * lost - margin * (1 + margin)), 0.0))
    distance = wins - losses + n * margin
    far = np.where(distance > 0, math.inf, np.where(distance < 0, -math.inf, 0.0))
    return np.where(spread > _FLOOR, distance / np.maximum(spread, _FLOOR), far)


@lru_cache(maxsize=4096)
def critical(n: int, margin: float, alpha: float) -> float:
    """The value that the score must reach for a pass."""
    if n > EXACT_UP_TO:
        at_most = critical(EXACT_UP_TO, margin, alpha)
        normal = -_NORMAL.inv_cdf(alpha)
        # What the outcomes' discreteness and skew cost shrinks with the root of n.
        return normal + max(0.0, at_most - normal) * math.sqrt(EXACT_UP_TO / n)
    table = _table(n)
    values = _scores(n, table.wins, table.losses, margin)
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    reached = np.zeros(len(order))
    for lost in _nuisances(margin):
        np.maximum(reached, np.cumsum(_chances(table, lost - margin, lost)[order]), out=reached)
    # Outcomes with the same score stand or fall together.
    last_of_ties = np.append(np.abs(np.diff(ordered)) > 1e-9, True)
    fits = np.flatnonzero(last_of_ties & (reached <= alpha))
    return float(ordered[fits[-1]]) - 1e-9 if len(fits) else math.inf


def _nuisances(margin: float) -> Values:
    """Shares of losses of a candidate that is worse by the margin: close together where few agree
    and where few do not, since there the chance to pass changes fastest.
    """
    most = (1 + margin) / 2
    few = np.linspace(0.0, 1.0, _NUISANCES) ** 3
    nearly_all = 1 - _TOP * np.linspace(0.0, 1.0, _AT_THE_TOP) ** 2
    found: Values = margin + (most - margin) * np.union1d(few, nearly_all)
    return found


@dataclass(frozen=True)
class _Table:
    """Every outcome of ``n`` items."""

    n: int
    wins: Values
    losses: Values
    ways: Values
    """Log of the number of ways to get each."""


@lru_cache(maxsize=8)
def _table(n: int) -> _Table:
    wins, losses = np.meshgrid(np.arange(n + 1), np.arange(n + 1))
    inside = wins + losses <= n
    won, lost = wins[inside], losses[inside]
    logs = np.array([math.lgamma(k + 1) for k in range(n + 1)])
    ways = logs[n] - logs[won] - logs[lost] - logs[n - won - lost]
    return _Table(n, won.astype(float), lost.astype(float), ways)


def _chances(table: _Table, won: float, lost: float) -> Values:
    """The chance of every outcome when each item is won and lost with these chances."""
    won, lost = max(won, 0.0), max(lost, 0.0)
    same = max(1 - won - lost, 0.0)
    logs = table.ways + _times(table.wins, won) + _times(table.losses, lost)
    chances: Values = np.exp(logs + _times(table.n - table.wins - table.losses, same))
    return chances


def _times(count: Values, chance: float) -> Values:
    if chance > 0:
        return count * math.log(chance)
    return np.where(count > 0, -math.inf, 0.0)


@lru_cache(maxsize=4096)
def power(n: int, difference: float, discordant: float, margin: float, alpha: float) -> float:
    """The chance to pass of a version with this difference that disagrees on this share."""
    discordant = min(max(discordant, abs(difference)), 1.0)
    won, lost = (discordant + difference) / 2, (discordant - difference) / 2
    least = critical(n, margin, alpha)
    if n <= EXACT_UP_TO:
        table = _table(n)
        passed = _scores(n, table.wins, table.losses, margin) >= least
        return float(min(1.0, _chances(table, won, lost)[passed].sum()))
    return _approximate_power(n, won, lost, margin, least)


def _approximate_power(n: int, won: float, lost: float, margin: float, least: float) -> float:
    expected = score(n, n * won, n * lost, margin)
    distance = n * (won - lost + margin)
    spread = math.sqrt(max(n * (won + lost - (won - lost) ** 2), 0.0))
    if spread <= _FLOOR or not math.isfinite(expected) or expected == 0:
        return float(expected >= least)
    # The spread that the score divides by, at the expected outcome.
    assumed = distance / expected
    return _NORMAL.cdf((distance - least * assumed) / spread)


def items_needed(discordant: float, margin: float, alpha: float, wanted: float) -> int | None:
    """Items with which a version as good passes with this chance; None: no number does."""
    if margin <= 0:
        return None
    z_alpha, z_wanted = -_NORMAL.inv_cdf(alpha), _NORMAL.inv_cdf(wanted)
    lost = max(discordant / 2 + margin / 2, margin)
    assumed = max(2 * lost - margin * (1 + margin), 0.0)
    far = (z_alpha * math.sqrt(assumed) + z_wanted * math.sqrt(discordant)) / margin
    # The normal distribution's guess; and so many must agree where nobody ever disagrees.
    needed = math.ceil(max(far * far, math.log(alpha) / math.log1p(-margin)))
    for _ in range(_CORRECTIONS):
        if power(needed, 0.0, discordant, margin, alpha) >= wanted:
            break
        needed += max(1, needed // 20)
    return needed


def bounds(n: int, wins: int, losses: int, margin: float, alpha: float) -> tuple[float, float]:
    """Lower and upper bound of the difference: of each, ``1 - alpha`` sure.

    The lower one is above ``-margin`` exactly when the test passes.
    """
    least = critical(n, margin, alpha)
    return _lower(n, wins, losses, least), -_lower(n, losses, wins, least)


def _lower(n: int, wins: int, losses: int, least: float) -> float:
    """The worst difference that the outcome does not speak against."""
    if not math.isfinite(least):
        return -1.0
    low, high = -1.0, (wins - losses) / n
    for _ in range(50):
        middle = (low + high) / 2
        if _signed_score(n, wins, losses, -middle) >= least:
            low = middle
        else:
            high = middle
    return low


def _signed_score(n: int, wins: int, losses: int, margin: float) -> float:
    """The score for any margin; a negative one asks for a candidate that is better by as much."""
    if margin >= 1:
        return math.inf
    if margin >= 0:
        return score(n, wins, losses, margin)
    return -score(n, losses, wins, -margin)
