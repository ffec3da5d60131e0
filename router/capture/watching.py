"""A bounded copy of an answer, made while it passes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from router.exchange import Exchange
from router.wire.events import Piece

MAX_BYTES: Final = 256 * 1024


async def watched(exchange: Exchange, pieces: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
    """The same; when all of it passed, ``Delivery.captured`` has its bytes, or a beginning."""
    kept, cut = bytearray(), False
    async for piece in pieces:
        if not cut and len(kept) + len(piece.raw) <= MAX_BYTES:
            kept += piece.raw
        else:
            cut = True
        yield piece
    exchange.delivery.capture(bytes(kept), cut=cut)
