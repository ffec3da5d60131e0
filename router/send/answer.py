"""The answer that goes to the client, whoever gives it, and in how many parts."""

from __future__ import annotations

from collections.abc import AsyncIterator

from router.errors import TargetBroken
from router.exchange import Exchange
from router.send.attempt import Started, is_progress
from router.send.rescue import Rescuer
from router.wire.endpoint import Usage
from router.wire.events import Events, Piece
from router.wire.formats import FORMATS
from router.wire.formats.base import Splice


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
        self._began = started.upstream.option
        self._rescuer = rescuer
        self._splice: Splice | None = None
        self._prompt_tokens: int | None = None
        self._before = 0
        self._last: Piece = Events(b"")
        self._transcript = rescuer.transcript(exchange)
        self.status = started.status
        self.content_type = started.content_type
        counted = started.usage
        self.usage = Usage(counted.input_tokens, counted.output_tokens, counted.cached_input_tokens)

    async def chunks(self) -> AsyncIterator[Piece]:
        """The body; a stream in whole events, continued elsewhere when it breaks.

        Raises:
            TargetBroken: it broke and cannot be continued; an error event has to end it.
        """
        while True:
            started = self._started
            try:
                for piece in started.take():
                    if passed := self._pass(piece):
                        yield passed
                if started.is_over:  # a whole answer
                    return
                with started.watched() as watch:
                    async for piece in started.source:
                        before, watch.since = watch.since, None  # the client may take its time
                        if passed := self._pass(piece):
                            yield passed
                        is_news = is_progress(piece.raw)
                        watch.since = watch.time() if is_news else before
                started.finish()
            except TargetBroken as error:
                end = await self._recover(error)
                if end is not None:
                    yield end
                    return
            else:
                self._count()
                return

    def _pass(self, piece: Piece) -> Piece:
        """What the client gets for it."""
        if not isinstance(piece, Events):
            return piece
        self._started.attempt.streamed += piece.count()
        if self._splice is not None:
            piece = self._spliced(piece)
        if self._transcript is not None:
            self._transcript.add(piece)
        if piece:
            self._last = piece
        return piece

    def _spliced(self, run: Events) -> Events:
        assert self._splice is not None
        try:
            return self._splice.feed(run)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise TargetBroken("The continuation does not have the shape of its API.") from error

    async def _recover(self, error: TargetBroken) -> Events | None:
        """The end of the stream, or None: it goes on. Raises the error when there is no way."""
        self._count()
        self._started.broke(error)
        wire = FORMATS[self._exchange.request.endpoint]
        error.sequence = wire.next_number(self._last.raw)
        await self._started.aclose()
        transcript = self._transcript
        if transcript is None:
            raise error
        end = self._rescuer.ended(self._exchange, transcript)
        if end is not None:
            return end
        if self._splice is None:
            self._prompt_tokens = self._started.usage.input_tokens
        broken = self._started.upstream
        self._started, self._splice = await self._rescuer.go_on(
            self._exchange, transcript, broken, error, self._prompt_tokens, self._began
        )
        self._before = transcript.read().deltas
        return None

    def _count(self) -> None:
        """Totals as the client sees them: what was sent before is prompt to who goes on."""
        counted, usage = self._started.usage, self.usage
        usage.cached_input_tokens = counted.cached_input_tokens
        if not self._before:
            usage.input_tokens, usage.output_tokens = counted.input_tokens, counted.output_tokens
            return
        if counted.output_tokens is not None:
            usage.output_tokens = self._before + counted.output_tokens
        if self._prompt_tokens is not None:
            usage.input_tokens = self._prompt_tokens
        elif counted.input_tokens is not None:
            usage.input_tokens = max(0, counted.input_tokens - self._before)

    async def aclose(self) -> None:
        """Give the connection back, or cut it; idempotent."""
        await self._started.aclose()
