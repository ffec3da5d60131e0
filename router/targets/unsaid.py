"""Credentials that were sent: errors of a provider may repeat them, and nobody should read them."""

from __future__ import annotations

from typing import Final

_MAX: Final = 256
"""So many of the newest are known: more than a provider can have at a time."""
_SHORTEST: Final = 8
"""A part of a key that is shorter tells nobody anything, and may be a word."""
_HIDDEN: Final = "[key]"


class Unsaid:
    """The credentials of one provider, also those that were replaced while calls were under way."""

    def __init__(self) -> None:
        self._known: dict[str, None] = {}
        self._parts: list[str] = []

    def add(self, key: str) -> None:
        """This one is going to be sent."""
        if key in self._known:
            return
        self._known[key] = None
        while len(self._known) > _MAX:
            del self._known[next(iter(self._known))]
        # Some are put together, and not all of that is sent in one piece.
        parts = {part for each in self._known for part in (each, *each.split(":"))}
        long = (part for part in parts if len(part) >= _SHORTEST)
        self._parts = sorted(long, key=len, reverse=True)

    def without(self, text: str) -> str:
        """``text`` with a mark where they stand in it, or parts of them."""
        for part in self._parts:
            text = text.replace(part, _HIDDEN)
        return text
