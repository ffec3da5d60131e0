"""What was kept, what was not, and what was seen in it, for metrics."""

from __future__ import annotations

import logging
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter

from adapters.corpus.signals import Signal
from router.capture.signals import SignalCounts

_log = logging.getLogger("graftwork.router")


class Dropped(StrEnum):
    """Why an answered request was not kept although it might have been."""

    TOO_LARGE = "too_large"
    """Its answer, or all of it."""
    UNREADABLE = "unreadable"
    """Nothing could be learned from it: a part is elsewhere, or it is no conversation."""
    GUARD = "guard"
    """Nobody could tell what of it must not be kept."""
    BUSY = "busy"
    """More came than could be redacted beside answering."""
    DISK = "disk"
    """The disk took nothing for too long."""
    BROKEN = "broken"
    """An unexpected error; the log says which."""


class CaptureCounts:
    """Of one router."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._kept = Counter(
            "graftwork_captured", "Exchanges on their way to the corpus.", registry=registry
        )
        dropped = Counter(
            "graftwork_capture_dropped",
            "Answered requests that were not kept although they might have been, by reason.",
            ["reason"],
            registry=registry,
        )
        self._signals = SignalCounts(registry)
        self._dropped = {reason: dropped.labels(reason.value) for reason in Dropped}

    def kept(self) -> None:
        """One more."""
        self._kept.inc()

    def dropped(self, reason: Dropped) -> None:
        """One less."""
        self._dropped[reason].inc()

    def saw(self, signal: Signal) -> None:
        """A sign of a poor answer."""
        self._signals.saw(signal)

    def failed(self, error: OSError) -> None:
        """The disk took nothing."""
        _log.warning("exchanges cannot be written: %s", error.strerror or error)
