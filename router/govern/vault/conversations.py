"""Placeholders of conversations that a provider keeps: its next answer may use an earlier one.

In memory only, bounded, and forgotten some time after the conversation's last request.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final

from router.govern.vault.placeholders import Name

MAX_VALUES: Final = 500
"""Of one conversation, the newest."""
MAX_CHARS: Final = 64 * 1024
"""Of the values of one conversation."""
Key = tuple[str, ...]


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
        self._known: OrderedDict[Key, tuple[float, Mapping[Name, str]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def recall(self, key: Key) -> Mapping[Name, str]:
        """What stood for what; nothing when it is not known (any more)."""
        self._expire()
        found = self._known.get(key)
        return {} if found is None else found[1]

    def remember(self, key: Key, entries: Mapping[Name, str]) -> None:
        """What stands for what from now on."""
        self._expire()
        self._known.pop(key, None)
        kept: dict[Name, str] = {}
        size = 0
        for name, value in islice(reversed([*entries.items()]), MAX_VALUES):
            size += len(value)
            if size > MAX_CHARS:
                break
            kept[name] = value
        self._known[key] = self._clock() + self._ttl_s, dict(reversed([*kept.items()]))
        while len(self._known) > self._kept:
            self._known.popitem(last=False)

    def _expire(self) -> None:
        now = self._clock()
        while self._known:
            key, (until, _) = next(iter(self._known.items()))
            if until > now:
                return
            del self._known[key]
