"""Placeholders of conversations that a provider keeps: its next answer may use an earlier one.

In memory only, bounded, and forgotten some time after the conversation's last request.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from router.govern.vault.placeholders import Name

MAX_VALUES: Final = 500
"""Of one conversation, the newest."""
MAX_CHARS: Final = 64 * 1024
"""Of the values of one conversation."""
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """One conversation; ``until`` is when it is forgotten."""

    until: float
    entries: Mapping[Name, str]
    subjects: frozenset[str]

    def is_of(self, subject: str) -> bool:
        return subject in self.subjects or any(subject in value for value in self.entries.values())


class Conversations:
    """What stood for what in conversations.

    Args:
        ttl_s: how long they are known, seconds after they were last used.
        kept: how many.
        clock: seconds, of any beginning.
    """

    def __init__(
        self, ttl_s: float, kept: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl_s = ttl_s
        self._kept = kept
        self._clock = clock
        self._known: OrderedDict[Key, _Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def recall(self, key: Key) -> Mapping[Name, str]:
        """What stood for what; nothing when it is not known (any more)."""
        self._expire()
        found = self._known.get(key)
        return {} if found is None else found.entries

    def remember(
        self, key: Key, entries: Mapping[Name, str], subjects: frozenset[str] = frozenset()
    ) -> None:
        """What stands for what from now on; ``subjects`` are the persons whose data it is."""
        self._expire()
        before = self._known.pop(key, None)
        if before is not None:
            subjects |= before.subjects
        kept: dict[Name, str] = {}
        size = 0
        for name, value in islice(reversed([*entries.items()]), MAX_VALUES):
            size += len(value)
            if size > MAX_CHARS:
                break
            kept[name] = value
        until = self._clock() + self._ttl_s
        self._known[key] = _Known(until, dict(reversed([*kept.items()])), subjects)
        while len(self._known) > self._kept:
            self._known.popitem(last=False)

    # What erasure asks of every room that keeps something of persons

    @property
    def counted_as(self) -> str:
        """In certificates."""
        return "vault"

    async def found(self, subject: str) -> int:
        """How many values are of a person's conversations, or have the name in them."""
        return sum(len(self._known[key].entries) for key in self._of(subject))

    async def erase(self, subject: str) -> int:
        """Forget those conversations; how many values they had."""
        count = await self.found(subject)
        for key in self._of(subject):
            del self._known[key]
        return count

    def _of(self, subject: str) -> list[Key]:
        return [key for key, known in self._known.items() if known.is_of(subject)]

    def _expire(self) -> None:
        now = self._clock()
        while self._known:
            key, known = next(iter(self._known.items()))
            if known.until > now:
                return
            del self._known[key]
