"""How long a target usually takes, as a percentile of its newest calls."""

from __future__ import annotations

_KEPT = 128
_REFRESH = 16


class Latencies:
    """The newest times to first content of one target, seconds; bounded (law 9)."""

    __slots__ = ("_next", "_seen", "_times", "_usual", "_valid")

    def __init__(self) -> None:
        self._times: list[float] = []
        self._next = 0
        self._seen = 0
        self._usual = 0.0
        self._valid = False

    def add(self, seconds: float) -> None:
        """One more call was answered."""
        if len(self._times) < _KEPT:
            self._times.append(seconds)
        else:
            self._times[self._next] = seconds
            self._next = (self._next + 1) % _KEPT
        self._seen += 1
        if self._seen % _REFRESH == 0:
            self._valid = False

    def percentile(self, share: float, min_samples: int) -> float | None:
        """The time within which that share was answered; None while too little is known.

        Nearest rank; taken anew every sixteenth call.
        """
        count = len(self._times)
        if count < min_samples:
            return None
        if not self._valid:
            self._usual = sorted(self._times)[min(count - 1, int(share * count))]
            self._valid = True
        return self._usual
