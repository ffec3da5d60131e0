"""What may go in and what may come out.

``inbound`` sees the whole request before anything is recognised, retrieved or sent, and returns the
one that the rest of the path works with: texts are read and replaced through ``router.wire.texts``.
What it refuses it raises. ``outbound`` stands between the target and the client: it gets the
answer's events as they arrive and must hold none back without need. No rule is configured yet, so
both let everything pass.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from router.exchange import Exchange
from router.request import Request
from router.wire.events import Piece


def inbound(request: Request) -> Request:
    """The request as it may go on."""
    return request


def outbound(_exchange: Exchange, chunks: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
    """The answer as the client may see it."""
    return chunks
