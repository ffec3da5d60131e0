"""An answer in another format than the client's, translated as it goes by."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final, TypeVar

from router.errors import Failure, TargetBroken
from router.targets.http_client import RawAnswer
from router.wire.dialects.base import Translation
from router.wire.endpoint import Usage
from router.wire.events import Body, Events, Piece

_MAX_TRANSLATED_BODY_BYTES: Final = 32 * 1024 * 1024
_From = TypeVar("_From")
_To = TypeVar("_To")


class TranslatedAnswer:
    """An ``Answer`` whose body is translated as it goes by.

    Args:
        raw: the target's answer.
        translation: what becomes of its events, or of its body.
        warn: told what of it the client does not get.
    """

    def __init__(
        self, raw: RawAnswer, translation: Translation, warn: Callable[[str], None]
    ) -> None:
        self._warn = warn
        self._raw = raw
        self._translation = translation
        self.status = raw.status
        self.content_type = "text/event-stream" if raw.is_stream else "application/json"
        self.usage: Usage = raw.usage

    async def chunks(self) -> AsyncIterator[Piece]:
        """The translated answer. Raises ``TargetBroken`` as ``RawAnswer.chunks`` does."""
        parts: list[bytes] = []
        size = 0
        async for piece in self._pieces():
            if isinstance(piece, Events):
                if piece:
                    yield piece
                continue
            size += len(piece.raw)
            if size > _MAX_TRANSLATED_BODY_BYTES:
                await self.aclose()
                raise TargetBroken("The answer is too large to be translated.")
            parts.append(piece.raw)
            yield Body(b"")  # a sign of life
        if not self._raw.is_stream:
            yield await self._translate(self._whole, Body(b"".join(parts)))

    async def _pieces(self) -> AsyncIterator[Piece]:
        """As they came, events translated."""
        try:
            async for piece in self._raw.chunks():
                if isinstance(piece, Events):
                    yield await self._translate(self._run, piece)
                else:
                    yield piece
        except TargetBroken as error:
            # Nothing is missing of an answer that told why it ended: who reads it may end it.
            if self._raw.is_stream and error.failure is Failure.CUT:
                end = self._translation.cut()
                yield end
                if end and self._translation.completes:
                    return
            raise

    def _run(self, run: Events) -> Events:
        for event in run:
            for lost in self._translation.lost(event.json or {}):
                self._warn(lost)
        return self._translation.stream.feed(run)

    def _whole(self, body: Body) -> Body:
        if body.json is None:
            raise ValueError("no JSON object")
        for lost in self._translation.lost(body.json):
            self._warn(lost)
        return Body.of(self._translation.whole(body.json))

    async def _translate(self, how: Callable[[_From], _To], piece: _From) -> _To:
        # What a target sends may have any shape: that a translator trips over it is no bug.
        try:
            return how(piece)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            await self.aclose()
            raise TargetBroken("The answer does not have the shape of its API.") from error

    def interrupt(self, error: TargetBroken) -> None:
        """Let the read that is waiting fail with ``error``."""
        self._raw.interrupt(error)

    async def aclose(self) -> None:
        """Cut the connection unless the body was read to its end."""
        await self._raw.aclose()
