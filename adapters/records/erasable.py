"""What every room that keeps something of persons offers, so that one request erases all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final, Protocol

FOUND: Final = ("exchanges", "reviews", "datasets", "adapters", "vault", "documents")
"""What a certificate counts, each with zero where there was nothing."""


async def erase_all(rooms: Iterable[Erasable], subject: str) -> Counter[str]:
    """Erase from one room after the other; what there was, by what it is counted as."""
    found: Counter[str] = Counter()
    for room in rooms:
        there = await room.found(subject)
        found[room.counted_as] += max(await room.erase(subject), there)
    return found


class Erasable(Protocol):
    """One room's holdings of persons. Both methods may be called again after a failure."""

    @property
    def counted_as(self) -> str:
        """The name in ``FOUND`` that its items are counted under; another name counts beside."""
        ...

    async def found(self, subject: str) -> int:
        """How many items carry this person's data, by the name that clients gave."""
        ...

    async def erase(self, subject: str) -> int:
        """Remove them; how many there were.

        From every file, logs and freed pages included; those of the loop's database are written
        anew once all rooms are done.
        """
        ...
