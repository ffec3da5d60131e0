"""The answer that goes to the client, whoever gives it, and in how many parts."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace

from router.delivery.rescue.said import Transcript
from router.delivery.rescue.splice import Splice
from router.errors import TargetBroken
from router.request import Exchange
from router.stages.send.attempt import Started
from router.stages.send.rescue import Rescuer

_SEQUENCE = re.compile(rb'"sequence_number": ?(\d+)')


class Delivered:
    """An answer that has begun.

    Attributes:
        status: of the answer.
        content_type: of its body.
        usage: token counts of the answer as the client sees it; complete with its last byte.
    """

    def __init__(self, exchange: Exchange, started: Started, rescuer: Rescuer) -> None:
        self._exchange = exchange
        self._started = started
        self._rescuer = rescuer
        self._splice: Splice | None = None
        self._prompt_tokens: int | None = None
        self._before = 0
        self.status = started.status
        self.content_type = started.content_type
        self.usage = replace(started.usage)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body; a stream in whole events, continued elsewhere when it breaks.

        Raises:
            TargetBroken: it broke and cannot be continued; an error event has to end it.
        """
        transcript = self._rescuer.transcript(self._exchange)
        last = b""
        while True:
            try:
                async for chunk in self._started.pieces():
                    last = chunk if self._splice is None else self._spliced(chunk)
                    if not last:
                        continue
                    if transcript is not None:
                        transcript.add(last)
                    yield last
            except TargetBroken as error:
                self._count()
                self._started.broke(error)
                _number(error, last)
                end = await self._recover(transcript, error)
                if end is not None:
                    yield end
                    return
            else:
                self._count()
                return

    def _spliced(self, chunk: bytes) -> bytes:
        assert self._splice is not None
        try:
            return self._splice.feed(chunk)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise TargetBroken("The continuation does not have the shape of its API.") from error

    async def _recover(self, transcript: Transcript | None, error: TargetBroken) -> bytes | None:
        """The end of the stream, or None: it goes on. Raises the error when there is no way."""
        await self._started.aclose()
        if transcript is None:
            raise error
        end = self._rescuer.ended(self._exchange, transcript)
        if end is not None:
            return end
        if self._splice is None:
            self._prompt_tokens = self._started.usage.input_tokens
        broken = self._started.candidate
        self._started, self._splice = await self._rescuer.go_on(
            self._exchange, transcript, broken, error, self._prompt_tokens
        )
        self._before = transcript.read().deltas
        return None

    def _count(self) -> None:
        """Totals as the client sees them: what was sent before is prompt to who goes on."""
        told, usage = self._started.usage, self.usage
        usage.cached_input_tokens = told.cached_input_tokens
        if not self._before:
            usage.input_tokens, usage.output_tokens = told.input_tokens, told.output_tokens
            return
        if told.output_tokens is not None:
            usage.output_tokens = self._before + told.output_tokens
        if self._prompt_tokens is not None:
            usage.input_tokens = self._prompt_tokens
        elif told.input_tokens is not None:
            usage.input_tokens = max(0, told.input_tokens - self._before)

    async def aclose(self) -> None:
        """Give the connection back, or cut it; idempotent."""
        await self._started.aclose()


def _number(error: TargetBroken, last: bytes) -> None:
    """In a dialect that numbers its events, the error's is the next."""
    numbers = _SEQUENCE.findall(last)
    if numbers:
        error.sequence = int(numbers[-1]) + 1
