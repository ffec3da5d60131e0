"""Pauses between attempts: full jitter, and what a target asked for."""

from __future__ import annotations

import random

_SPREAD = 0.1


def pause_s(
    number: int, retry_after_s: float | None, base_s: float, max_s: float, rng: random.Random
) -> float:
    """Seconds to wait before attempt ``number`` (1 is the first retry).

    Without a word from the target: uniform between 0 and ``base * 2^(number-1)``, bounded ("full
    jitter", Brooker, AWS Architecture Blog, 2015). With ``Retry-After``: so long, plus at most a
    tenth, so that callers that were turned away together do not come back together.
    """
    if retry_after_s is not None:
        return retry_after_s * (1 + _SPREAD * rng.random())
    return rng.random() * min(max_s, base_s * 2.0 ** (number - 1))
