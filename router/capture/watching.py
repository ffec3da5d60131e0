"""A bounded copy of an answer, made while it passes."""

from __future__ import annotations

from typing import Final

from router.exchange import Exchange
from router.wire.events import Piece

MAX_BYTES: Final = 256 * 1024


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
