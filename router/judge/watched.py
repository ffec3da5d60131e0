"""An answer whose token probabilities are read before it goes out, and removed where unasked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from router.delivery import Outgoing
from router.judge.logprobs import Features, TokenLogprobs
from router.wire.endpoint import Usage
from router.wire.events import Body, Event, Events, Piece
from router.wire.formats.base import Format

MAX_HELD_BYTES: Final = 8 * 1024 * 1024
"""More of a stream is not held back; it is judged by what is there."""
_MARK: Final = b'logprobs"'
"""Also the end of ``top_logprobs``, which a response says in its head. Never in a text: there the
quotation mark is escaped."""


class WatchedAnswer:
    """Stands for ``answer``: the same bytes, but for logprobs that the client did not ask for.

    Args:
        answer: what the target gives.
        wire: its format.
        strip: remove the logprobs.
    """

    def __init__(self, answer: Outgoing, wire: Format, *, strip: bool) -> None:
        self._answer = answer
        self._strip = strip
        self._tokens = TokenLogprobs(wire)
        self._held: deque[Piece] = deque()
        self._held_bytes = 0
        self._source: AsyncIterator[Piece] = answer.chunks()
        self._reading: asyncio.Task[Piece | None] | None = None
        self._failure: Exception | None = None
        self._done = False
        self.status = answer.status
        self.content_type = answer.content_type
        self.is_stream = answer.content_type.startswith("text/event-stream")

    @property
    def usage(self) -> Usage:
        """Token counts as the target reported them."""
        return self._answer.usage

    @property
    def features(self) -> Features | None:
        """Of the tokens that were read so far."""
        return self._tokens.features()

    async def read(self, tokens: int | None, deadline_s: float | None) -> None:
        """Hold the answer back until so many tokens are there, or it ends, or time is over.

        What goes wrong meanwhile is raised when ``chunks`` comes to it.
        """
        loop = asyncio.get_running_loop()
        end = None if deadline_s is None else loop.time() + deadline_s
        while not self._done and self._held_bytes < MAX_HELD_BYTES:
            if tokens is not None and self._tokens.count >= tokens:
                return
            if self._reading is None:
                self._reading = asyncio.create_task(self._next())
            left_s = None if end is None else max(0.0, end - loop.time())
            finished, _ = await asyncio.wait({self._reading}, timeout=left_s)
            if not finished:
                return
            self._keep(self._reading)
            self._reading = None
        if not self.is_stream and self._failure is None:
            self._judge_whole()

    def _keep(self, reading: asyncio.Task[Piece | None]) -> None:
        try:
            chunk = reading.result()
        except Exception as error:  # noqa: BLE001 - kept, and raised where the client reads on
            self._failure, self._done = error, True
            return
        if chunk is None:
            self._done = True
            return
        self._held.append(self._pass(chunk))
        self._held_bytes += len(chunk.raw)

    async def _next(self) -> Piece | None:
        return await anext(self._source, None)

    def _judge_whole(self) -> None:
        body = Body(b"".join([piece.raw for piece in self._held]))
        if _MARK in body.raw and body.json is not None:
            found = body.json
            if self._tokens.read(found, strip=self._strip):
                body = Body.of(found)
        self._held = deque([body])

    async def chunks(self) -> AsyncIterator[Piece]:
        """What was held back, then the rest as it comes."""
        while self._held:
            yield self._held.popleft()
        if self._failure is not None:
            raise self._failure
        if self._reading is not None:
            chunk = await self._reading
            self._reading = None
            if chunk is not None:
                yield self._pass(chunk)
        if not self._done:
            async for chunk in self._source:
                yield self._pass(chunk)

    def _pass(self, piece: Piece) -> Piece:
        if not isinstance(piece, Events) or _MARK not in piece.raw:
            return piece
        return Events.of(map(self._event, piece))

    def _event(self, event: Event) -> Event:
        if _MARK not in event.raw or event.json is None:
            return event
        found = event.json
        return event.with_json(found) if self._tokens.read(found, strip=self._strip) else event

    async def aclose(self) -> None:
        """Give the connection back, or cut it; idempotent."""
        reading, self._reading = self._reading, None
        try:
            if reading is not None:
                reading.cancel()
                await asyncio.wait({reading})
        finally:
            await self._answer.aclose()
