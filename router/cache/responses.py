"""The cache as the request path sees it: look before the call, keep what ended well."""

from __future__ import annotations

from collections.abc import AsyncIterator

from router.answering import Outgoing
from router.cache.key import CacheKey, cache_key, deterministic
from router.cache.store import Kept, ResponseStore
from router.config.cache import CacheConfig
from router.exchange import HIT, MISS, Exchange
from router.wire.endpoint import Usage
from router.wire.events import Body, Events, Piece
from router.wire.formats import FORMATS

HEADER = "x-graftwork-cache"
_STREAM = "text/event-stream"
_PIECE = 16 * 1024
_Pieces = AsyncIterator[Piece]
_CUT_SHORT = (b'"error":{', b'"error": {', b"event: error")


class Replayed:
    """A kept answer, given again. Costs nothing and holds nothing."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self.status = kept.status
        self.content_type = kept.content_type

    @property
    def usage(self) -> Usage:
        """Token counts of the first time."""
        return self._kept.usage

    async def chunks(self) -> AsyncIterator[Piece]:
        """The same bytes; a stream is given in pieces between events."""
        body = self._kept.body
        if not self.content_type.startswith(_STREAM):
            yield Body(body)
            return
        start = 0
        while start < len(body):
            end = body.find(b"\n\n", start + _PIECE)
            end = len(body) if end < 0 else end + 2
            yield Events(body[start:end])
            start = end

    async def aclose(self) -> None:
        """Nothing to give back."""


class Responses:
    """Looks answers up and keeps them.

    Args:
        config: limits, and whether it is on.
        configuration_version: changes whenever what callers may use changes.
        store: where answers are.
    """

    def __init__(
        self, config: CacheConfig, configuration_version: str, store: ResponseStore
    ) -> None:
        self._config = config
        self._version = configuration_version
        self.store = store
        self.hits = 0
        self.misses = 0

    def look(self, exchange: Exchange) -> Replayed | None:
        """The kept answer of a decided request; says in the exchange what it found."""
        if not self._config.enabled or not self._applies(exchange):
            return None
        key = cache_key(exchange, self._version)
        kept = None
        if "no-cache" not in exchange.request.headers.get("cache-control", ""):
            kept = self.store.get(key)
        if kept is None:
            self.misses += 1
            exchange.account.looked_up(key, MISS, HEADER)
            return None
        self.hits += 1
        exchange.account.looked_up(key, HIT, HEADER)
        exchange.account.answers(kept.usage)
        return Replayed(kept)

    def _applies(self, exchange: Exchange) -> bool:
        if exchange.decision.collections:
            return False  # a document may be gone, or new, by the next time
        if "no-store" in exchange.request.headers.get("cache-control", ""):
            return False
        return not self._config.deterministic_only or deterministic(exchange)

    def keep(self, exchange: Exchange, answer: Outgoing, chunks: _Pieces) -> _Pieces:
        """Pass an answer's bytes through and keep them, if it was asked for and ends well.

        An answer to what its target was not to see is not kept: values are back in it.
        """
        key = exchange.account.cache_key
        if not isinstance(key, CacheKey) or exchange.account.cache == HIT or answer.status != 200:
            return chunks
        if exchange.redacted():
            return chunks
        return self._keep(key, exchange, answer.content_type, chunks)

    async def _keep(
        self, key: CacheKey, exchange: Exchange, content_type: str, chunks: _Pieces
    ) -> _Pieces:
        wire = FORMATS[exchange.request.endpoint]
        body, ended = bytearray(), False
        async for piece in chunks:
            if len(body) <= self._config.max_answer_bytes:
                body += piece.raw
            ended = ended or (isinstance(piece, Events) and wire.ends_well(piece.raw))
            yield piece
        chosen = exchange.chosen
        if exchange.account.error is not None or chosen is None or chosen.target != key.target:
            return
        is_stream = content_type.startswith(_STREAM)
        if (ended and not any(sign in body for sign in _CUT_SHORT)) if is_stream else _whole(body):
            kept = Kept(200, content_type, bytes(body), exchange.account.usage)
            self.store.put(key, kept)


def _whole(body: bytearray) -> bool:
    """Whether a body is an answer and no error."""
    found = Body(bytes(body)).json
    return found is not None and not found.get("error")
