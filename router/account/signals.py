"""What drifts: which intents come, how sure answers are, what is redacted; counted by the hour.

Each signal is a distribution over a few buckets, with the newest decisions of each as examples. The
registry compares the distributions of all routers (``router.learn.drift``).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel, ConfigDict

from router.exchange import Exchange
from router.request import NO_INTENT

HOUR_S: Final = 3600
INTENT, CONFIDENCE, REDACTIONS, QUALITY = "intent", "confidence", "redactions", "quality"
SIGNALS: Final = (INTENT, CONFIDENCE, REDACTIONS, QUALITY)
EXAMPLES: Final = 3
"""Decisions that are kept of each bucket and hour."""
NOTHING: Final = "none"
_MAX_BUCKETS: Final = 5000
_OTHER: Final = "(other)"


class SignalRow(BaseModel):
    """One bucket of a signal in one hour, as one router counted it; counts only grow."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hour: int
    """Its beginning, seconds since the epoch."""
    signal: str
    bucket: str
    count: int
    examples: tuple[str, ...] = ()
    """Ids of the newest decisions, newest last."""


_Place = tuple[int, str, str]


@dataclass(slots=True)
class _Bucket:
    count: int = 0
    examples: deque[str] = field(default_factory=lambda: deque(maxlen=EXAMPLES))


class Signals:
    """Counts in memory; bounded. Belongs to one event loop."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._buckets: dict[_Place, _Bucket] = {}
        self._changed: set[_Place] = set()

    def __len__(self) -> int:
        return len(self._buckets)

    def observe(self, exchange: Exchange) -> None:
        """Count one settled exchange that was decided."""
        if exchange.chosen is None:
            return
        hour = int(self._clock() // HOUR_S * HOUR_S)
        for signal, bucket in _said(exchange):
            place = (hour, signal, bucket)
            if place not in self._buckets and len(self._buckets) >= _MAX_BUCKETS:
                place = (hour, signal, _OTHER)
            found = self._buckets.get(place)
            if found is None:
                found = self._buckets[place] = _Bucket()
            found.count += 1
            found.examples.append(exchange.request.decision_id)
            self._changed.add(place)

    def take(self) -> tuple[SignalRow, ...]:
        """What changed since it was last taken."""
        changed, self._changed = self._changed, set()
        return tuple(_row(place, self._buckets[place]) for place in changed)

    def put_back(self, rows: Iterable[SignalRow]) -> None:
        """They could not be delivered: next time."""
        self._changed |= {(row.hour, row.signal, row.bucket) for row in rows}

    def tidy(self) -> None:
        """Forget the hours that are over and delivered."""
        this_hour = int(self._clock() // HOUR_S * HOUR_S)
        over = [place for place in self._buckets if place[0] < this_hour]
        for place in over:
            if place not in self._changed:
                del self._buckets[place]


def _row(place: _Place, found: _Bucket) -> SignalRow:
    hour, signal, bucket = place
    examples = tuple(found.examples)
    return SignalRow(hour=hour, signal=signal, bucket=bucket, count=found.count, examples=examples)


def _said(exchange: Exchange) -> Iterator[tuple[str, str]]:
    """The buckets that one exchange falls into."""
    yield INTENT, exchange.decision.intent.name or NO_INTENT
    if exchange.confidence is not None:
        yield CONFIDENCE, tenth(exchange.confidence)
    judged = exchange.delivery.judged
    if judged:
        yield QUALITY, tenth(judged[-1].probability)
    for kind in exchange.redacted() or (NOTHING,):
        yield REDACTIONS, kind


def tenth(value: float) -> str:
    """The tenth that a probability lies in."""
    low = min(int(value * 10), 9)
    return f"{low / 10:.1f}-{(low + 1) / 10:.1f}"
