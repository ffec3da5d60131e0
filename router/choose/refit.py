"""Learn from the feedback that other routers took, and from before a restart."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from router.choose.learning import Learning

EVERY_S: Final = 30.0
"""Between two looks."""
_OVERLAP_S: Final = 120.0
"""Looked at again each time: clocks differ, and a judgement takes a moment to be readable."""

Judgements = Callable[[float], Awaitable[list[dict[str, Any]]]]
"""The newest feedback since a moment (seconds since the epoch), oldest first."""


class Refit:
    """Keeps one router's beliefs in step with what everybody was told."""

    def __init__(self, learning: Learning, judgements: Judgements) -> None:
        self._learning = learning
        self._judgements = judgements
        self._since_s = 0.0

    async def once(self) -> None:
        """Learn what is new."""
        for said in await self._judgements(self._since_s):
            self._since_s = max(self._since_s, float(said["at"]) - _OVERLAP_S)
            self._learning.judged(said)
