"""Which detectors look at requests."""

from __future__ import annotations

from router.govern.detect.patterns import Patterns
from router.govern.scan import Detectors


def detectors() -> Detectors:
    """Those that look at every request."""
    return Detectors(Patterns())
