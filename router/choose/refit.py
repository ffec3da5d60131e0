"""In the background, learn from the feedback that other routers took, and from before a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from router.choose.learning import Learning

EVERY_S: Final = 30.0
_OVERLAP_S: Final = 120.0
"""Looked at again each time: clocks differ, and a judgement takes a moment to be readable."""
_log = logging.getLogger("graftwork.router")

Judgements = Callable[[float], Awaitable[list[dict[str, Any]]]]
"""The newest feedback since a moment (seconds since the epoch), oldest first."""


class Refit:
    """Keeps one router's beliefs in step with what everybody was told."""

    def __init__(
        self, learning: Learning, judgements: Judgements, every_s: float = EVERY_S
    ) -> None:
        self._learning = learning
        self._judgements = judgements
        self._every_s = every_s
        self._since_s = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first look is at once."""
        self._task = asyncio.create_task(self._run())

    async def once(self) -> None:
        """Learn what is new."""
        for said in await self._judgements(self._since_s):
            self._since_s = max(self._since_s, float(said["at"]) - _OVERLAP_S)
            self._learning.judged(said)

    async def _run(self) -> None:
        while True:
            try:
                await self.once()
            except Exception:  # noqa: BLE001 - beliefs may be late; decisions go on with those that are there
                _log.exception("feedback could not be read; trying again")
            await asyncio.sleep(self._every_s)

    async def aclose(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
