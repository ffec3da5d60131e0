"""What a router keeps of persons on the way to the corpus, as a room that can be erased from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from router.capture.captures import Captures
from router.capture.spool import Spool


class WaitingExchanges:
    """In memory and on the disk of this machine.

    What comes to the registry after its own erasure is older than that, and is not taken.
    """

    counted_as = "waiting_exchanges"

    def __init__(self, captures: Captures, spool: Spool, hash_of: Callable[[str], str]) -> None:
        self._captures = captures
        self._spool = spool
        self._hash_of = hash_of

    async def found(self, subject: str) -> int:
        """How many there are."""
        name = self._hash_of(subject)
        waiting = await asyncio.to_thread(self._spool.of, lambda subjects: name in subjects)
        return waiting + self._captures.queued_of(subject)

    async def erase(self, subject: str) -> int:
        """Remove them; how many there were. Raises ``OSError``."""
        name = self._hash_of(subject)
        dropped = await self._captures.drop(subject)
        waiting = await asyncio.to_thread(self._spool.erase, lambda subjects: name in subjects)
        return waiting + dropped
