"""The answer that goes to the client, whoever gives it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from router.errors import TargetBroken
from router.request import Exchange
from router.stages.send.attempt import Started


class Delivered:
    """An answer that has begun.

    Attributes:
        status: of the answer.
        content_type: of its body.
    """

    def __init__(self, exchange: Exchange, started: Started) -> None:
        self._exchange = exchange
        self._started = started
        self.status = started.status
        self.content_type = started.content_type
        self.usage = replace(started.usage)
        """Token counts of the answer as the client sees it, whoever gave its parts."""

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body; a stream in whole events. Raises ``TargetBroken`` when it cannot go on."""
        try:
            async for chunk in self._started.pieces():
                yield chunk
            self._count()
        except TargetBroken as error:
            self._count()
            self._started.broke(error)
            raise

    def _count(self) -> None:
        told = self._started.usage
        self.usage.input_tokens = told.input_tokens
        self.usage.output_tokens = told.output_tokens
        self.usage.cached_input_tokens = told.cached_input_tokens

    async def aclose(self) -> None:
        """Give the connection back, or cut it; idempotent."""
        await self._started.aclose()
