"""What was found in texts that come again: known by their digest, the newest only."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import Final, Generic, TypeVar

from router.govern.safety.checks import Passage

T = TypeVar("T")
KEPT: Final = 4096
"""Texts that are remembered; about 100 bytes each."""


class Memory(Generic[T]):
    """Remembers by text and source.

    Args:
        kept: how many.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._known: OrderedDict[bytes, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def recall(self, passage: Passage) -> T | None:
        """What is known of it."""
        key = _key(passage)
        found = self._known.get(key)
        if found is not None:
            self._known.move_to_end(key)
        return found

    def keep(self, passage: Passage, found: T) -> T:
        """Remember, and forget the oldest if there are too many."""
        self._known[_key(passage)] = found
        if len(self._known) > self._kept:
            self._known.popitem(last=False)
        return found


def _key(passage: Passage) -> bytes:
    raw = passage.text.encode("utf-8", "surrogatepass")
    return blake2b(raw, digest_size=16, person=passage.source.value.encode()).digest()
