"""The corpus as a room that can be erased from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from adapters.corpus.exchanges import Exchanges


class CapturedExchanges:
    """All exchanges that carry a person's data.

    Args:
        exchanges: the corpus.
        hash_of: what stands for a person.
    """

    counted_as = "exchanges"

    def __init__(self, exchanges: Exchanges, hash_of: Callable[[str], str]) -> None:
        self._exchanges = exchanges
        self._hash_of = hash_of

    async def found(self, subject: str) -> int:
        """How many there are."""
        return await asyncio.to_thread(self._exchanges.counted, self._hash_of(subject))

    async def erase(self, subject: str) -> int:
        """Remove them; how many there were."""
        return await asyncio.to_thread(self._exchanges.erase, self._hash_of(subject))
