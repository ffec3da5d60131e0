"""Evidence that may be looked at after every request, for as long as anybody likes. Pure.

A bound for a fixed number of requests errs with each look anew: looked at every second, an equal
version is taken back sooner or later. These are e-values: bets against the hypothesis that start
with 1 and that, while it is true, reach ``1 / alpha`` *at any time* with a chance of at most
``alpha`` (Ville's inequality). What is bet on is a mixture of all rates (Robbins, *Annals of
Mathematical Statistics* 41, 1970); against it stands the likeliest rates that the hypothesis allows
(Wasserman, Ramdas and Balakrishnan, *Universal inference*, PNAS 117, 2020). The same holds for sums
of scores between 0 and 1, which spread no more than errors do (Hoeffding 1963).
"""

from __future__ import annotations

import math
from typing import Final

_HALVINGS: Final = 60
_LEAST: Final = 1e-9
_PRIOR: Final = 0.5


def log_above(hits: float, n: float, rate: float) -> float:
    """Log e-value against "the rate is at most ``rate``"."""
    if n <= 0 or hits / n <= rate:
        return -math.inf
    return _log_mixture(hits, n) - _log_likelihood(hits, n, rate)


def log_below(hits: float, n: float, rate: float) -> float:
    """Log e-value against "the rate is at least ``rate``"."""
    return log_above(n - hits, n, 1 - rate)


def log_worse(hits: float, n: float, others: float, m: float, by: float) -> float:
    """Log e-value against "the first rate is at most ``by`` above the second one".

    Without anything of the second, the first stands against ``by`` alone.
    """
    if m <= 0:
        return log_above(hits, n, by)
    if n <= 0 or hits / n <= others / m + by:
        return -math.inf
    return _log_mixture(hits, n) + _log_mixture(others, m) - _likeliest(hits, n, others, m, by)


def beyond_doubt(log_value: float, alpha: float) -> bool:
    """Whether an e-value rules its hypothesis out."""
    return log_value >= -math.log(alpha)


def _likeliest(hits: float, n: float, others: float, m: float, by: float) -> float:
    """Log likelihood of the likeliest rates that lie just ``by`` apart."""
    low, high = _LEAST, 1 - by - _LEAST

    def at(rate: float) -> float:
        return _log_likelihood(hits, n, rate + by) + _log_likelihood(others, m, rate)

    for _ in range(_HALVINGS):
        third = (high - low) / 3
        if at(low + third) < at(high - third):
            low += third
        else:
            high -= third
    return at((low + high) / 2)


def _log_likelihood(hits: float, n: float, rate: float) -> float:
    rate = min(max(rate, _LEAST), 1 - _LEAST)
    return hits * math.log(rate) + (n - hits) * math.log1p(-rate)


def _log_mixture(hits: float, n: float) -> float:
    """Of all rates together, weighted by Jeffreys' prior."""
    return _log_beta(hits + _PRIOR, n - hits + _PRIOR) - _log_beta(_PRIOR, _PRIOR)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
