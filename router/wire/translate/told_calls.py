"""Which of a chat stream's calls of tools a piece is about."""

from __future__ import annotations

from typing import Any


class ToldCalls:
    """Numbers the calls of one answer in the order in which they begin.

    By their index; some servers (Google's) tell several calls under one index, or none, each with
    an id of its own.
    """

    def __init__(self) -> None:
        self._now: dict[int, tuple[int, object]] = {}
        self._count = 0

    def number(self, call: dict[str, Any]) -> int:
        """Of the call that this piece is about, from 0."""
        index, name = call.get("index") or 0, (call.get("function") or {}).get("name")
        known = self._now.get(index)
        begins = bool(call.get("id")) and bool(name)
        if known is None or (begins and call["id"] != known[1]):
            known = self._now[index] = self._count, call.get("id")
            self._count += 1
        return known[0]
