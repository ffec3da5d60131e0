"""The cache as the request path sees it: look before the call, keep what ended well."""

from __future__ import annotations

from collections.abc import AsyncIterator

from router.cache.key import CacheKey, cache_key, deterministic
from router.cache.store import Kept, ResponseStore
from router.config.cache import CacheConfig
from router.delivery import Outgoing, Tap
from router.exchange import HIT, MISS, Exchange
from router.wire.endpoint import Usage
from router.wire.events import Body, Events, Piece
from router.wire.formats import FORMATS

HEADER = "x-graftwork-cache"
_STREAM = "text/event-stream"
_PIECE = 16 * 1024
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

    def tap(self, exchange: Exchange, answer: Outgoing) -> Tap | None:
        """Keeps an answer's bytes as they pass, if it was asked for and ends well.

        An answer to what its target was not to see is not kept: values are back in it.
        """
        key = exchange.account.cache_key
        if not isinstance(key, CacheKey) or exchange.account.cache == HIT or answer.status != 200:
            return None
        if exchange.redacted():
            return None
        return _Keeping(self.store, key, exchange, answer.content_type)


class _Keeping:
    """One answer that may be given again."""

    def __init__(
        self, store: ResponseStore, key: CacheKey, exchange: Exchange, content_type: str
    ) -> None:
        self._store = store
        self._key = key
        self._exchange = exchange
        self._content_type = content_type
        self._wire = FORMATS[exchange.request.endpoint]
        self._body = bytearray()
        self._ended = False

    def hears(self, piece: Piece) -> None:
        """Its bytes, as many as the store would take."""
        if len(self._body) <= self._store.longest:
            self._body += piece.raw
        if isinstance(piece, Events) and self._wire.ends_well(piece.raw):
            self._ended = True

    def ends(self) -> None:
        """Keep what is whole and no error."""
        account, chosen = self._exchange.account, self._exchange.chosen
        if account.error is not None or chosen is None or chosen.target != self._key.target:
            return
        if self._content_type.startswith(_STREAM):
            is_good = self._ended and not any(sign in self._body for sign in _CUT_SHORT)
        else:
            is_good = _whole(self._body)
        if is_good:
            kept = Kept(200, self._content_type, bytes(self._body), account.usage)
            self._store.put(self._key, kept)


def _whole(body: bytearray) -> bool:
    """Whether a body is an answer and no error."""
    found = Body(bytes(body)).json
    return found is not None and not found.get("error")
