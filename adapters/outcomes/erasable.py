"""Imported outcomes as a room that can be erased from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from adapters.outcomes.outcomes import Outcomes


class OutcomesOfPersons:
    """All imported outcomes that carry a person's data.

    Args:
        outcomes: all of them.
        hash_of: what stands for a person.
        again: has the model fitted anew, without what is gone anywhere.
    """

    counted_as = "outcomes"

    def __init__(
        self,
        outcomes: Outcomes,
        hash_of: Callable[[str], str],
        again: Callable[[], None],
    ) -> None:
        self._outcomes = outcomes
        self._hash_of = hash_of
        self._again = again

    async def found(self, subject: str) -> int:
        """How many there are."""
        return await asyncio.to_thread(self._outcomes.of_person, subject, self._hash_of(subject))

    async def erase(self, subject: str) -> int:
        """Remove them; how many there were."""
        hashed = self._hash_of(subject)
        gone = await asyncio.to_thread(self._outcomes.forget, subject, hashed)
        self._again()
        return gone
