"""Answers as they pass, and those of the last minutes: in memory only, in case of feedback."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from router.exchange import Exchange
from router.wire.events import Piece

MAX_BYTES: Final = 256 * 1024
"""Of one answer that are kept."""


class BoundedCopy:
    """When all of the answer passed, ``Delivery.captured`` has its bytes, or a beginning."""

    __slots__ = ("_cut", "_exchange", "_kept")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._kept = bytearray()
        self._cut = False

    def hears(self, piece: Piece) -> None:
        """Keep it, while there is room."""
        if not self._cut and len(self._kept) + len(piece.raw) <= MAX_BYTES:
            self._kept += piece.raw
        else:
            self._cut = True

    def ends(self) -> None:
        """All of it passed."""
        self._exchange.delivery.capture(bytes(self._kept), cut=self._cut)


@dataclass(slots=True, eq=False)
class Finished:
    """One request that was answered, as it came and as it was answered: in memory only."""

    exchange: Exchange
    raw: bytes
    """The answer's bytes; empty where a person is asked first."""
    trains: bool
    """Its tenant consents, and who asked did not say no."""
    wanted: bool
    """It is kept whatever its answer says."""
    at: float = field(default_factory=time.monotonic)
    taken: bool = False
    """It is on its way to the corpus, or there."""
    heard: bool = False
    """What it says of earlier turns was noticed."""
    also: dict[str, str] = field(default_factory=dict)
    """Signals that came after it, each with its reason."""

    @property
    def decision_id(self) -> str:
        """Of its decision."""
        return self.exchange.request.decision_id

    @property
    def size(self) -> int:
        """Bytes that it holds, about."""
        return self.exchange.request.body_bytes + len(self.raw) + 4096


class Recent:
    """The newest that may be kept, by decision.

    Args:
        most: how many.
        max_bytes: of all of them.
        ttl_s: for how long.
        clock: seconds, of any beginning.
    """

    counted_as = "recent_answers"

    def __init__(
        self,
        most: int,
        max_bytes: int,
        ttl_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._max_bytes = max_bytes
        self._ttl_s = ttl_s
        self._clock = clock
        self._kept: OrderedDict[str, Finished] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, finished: Finished) -> None:
        """One more; the oldest make room."""
        self._drop(finished.decision_id)
        self._kept[finished.decision_id] = finished
        self.bytes += finished.size
        self.expire()

    def find(self, decision_id: str) -> Finished | None:
        """One of them."""
        self.expire()
        return self._kept.get(decision_id)

    def expire(self) -> None:
        """Forget what is too old or too much."""
        until = self._clock() - self._ttl_s
        while self._kept:
            oldest = next(iter(self._kept.values()))
            full = len(self._kept) > self._most or self.bytes > self._max_bytes
            if oldest.at > until and not full:
                return
            self._drop(oldest.decision_id)

    def _drop(self, decision_id: str) -> None:
        found = self._kept.pop(decision_id, None)
        if found is not None:
            self.bytes -= found.size

    # What erasure asks of every room that keeps something of persons

    async def found(self, subject: str) -> int:
        """How many are of a person."""
        return len(self._of(subject))

    async def erase(self, subject: str) -> int:
        """Forget them; how many there were."""
        found = self._of(subject)
        for decision_id in found:
            self._drop(decision_id)
        return len(found)

    def _of(self, subject: str) -> list[str]:
        return [
            name for name, each in self._kept.items() if subject in each.exchange.request.subjects
        ]
