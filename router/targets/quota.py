"""What a provider's model may be asked in a minute: known here, it need not be refused there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from router.errors import Failure, TargetUnavailable

_MINUTE_S: Final = 60.0


@dataclass(slots=True)
class _Bucket:
    """Holds a minute's worth at most, and fills evenly."""

    limit: float
    held: float
    at: float

    def fill(self, now: float) -> None:
        """Take in what has come since."""
        self.held = min(self.limit, self.held + (now - self.at) * self.limit / _MINUTE_S)
        self.at = now

    def missing_s(self, wanted: float) -> float:
        """Seconds until so much is there."""
        return max(0.0, (wanted - self.held) * _MINUTE_S / self.limit)


class Quota:
    """Calls and tokens of one model. Belongs to one event loop, counts this router's calls only.

    An answer's length is not known beforehand: a call begins while any tokens are left, and what it
    took is taken then, also into debt, which the next calls wait for.

    Args:
        target: its name, for messages.
        requests_per_minute: None: unlimited.
        tokens_per_minute: prompts and answers; None: unlimited.
    """

    def __init__(
        self,
        target: str,
        requests_per_minute: int | None,
        tokens_per_minute: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target = target
        self._clock = clock
        now = clock()
        limits = {
            "requests_per_minute": requests_per_minute,
            "tokens_per_minute": tokens_per_minute,
        }
        self._buckets = {
            name: _Bucket(limit, limit, now) for name, limit in limits.items() if limit is not None
        }

    def take(self) -> None:
        """Begin a call. Raises ``TargetUnavailable`` with the seconds until there is room."""
        now = self._clock()
        wait_s, of = 0.0, ""
        for name, bucket in self._buckets.items():
            bucket.fill(now)
            if (missing_s := bucket.missing_s(1.0)) > wait_s:
                wait_s, of = missing_s, f"{name}: {bucket.limit:.0f}"
        if of:
            raise TargetUnavailable(
                f"{self._target} may not be asked for another {wait_s:.1f} s ({of}).",
                status=429,
                retry_after_s=wait_s,
                failure=Failure.LIMITED,
            )
        if (requests := self._buckets.get("requests_per_minute")) is not None:
            requests.held -= 1

    def used(self, tokens: int) -> None:
        """An answer has ended; it and its prompt had so many tokens."""
        if (bucket := self._buckets.get("tokens_per_minute")) is not None:
            bucket.fill(self._clock())
            bucket.held -= tokens
