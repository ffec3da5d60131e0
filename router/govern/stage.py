"""What may go in and what may come out. The PII vault and the safety checks attach here."""

from __future__ import annotations

from collections.abc import AsyncIterator

from router.request import Exchange


def inbound(_exchange: Exchange) -> None:
    """Before anything is classified, retrieved or sent. No rule is configured yet: all pass."""


def outbound(_exchange: Exchange, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Between the target and the client; must not hold bytes back without need."""
    return chunks
