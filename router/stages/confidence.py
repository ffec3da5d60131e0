"""Is a local answer good enough, or must a better target be asked? Calibration attaches here."""

from __future__ import annotations

from router.request import Exchange


def good_enough(exchange: Exchange) -> bool:
    """Whether the answer may go out as it is. Without calibrated thresholds every answer may."""
    return exchange.chosen is not None
