"""The model of difficulty in use, and what it says of a request.

The registry fits it and names it in the routing table; it is fetched beside the event loop and
swapped whole. Without one, with one for another encoder, or without an encoder, nothing is known of
a single request, which costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from adapters.aliases import RoutingTable
from adapters.corpus.language import language_of
from router.choose.difficulty import Difficulty, digest_of, read, traits
from router.hardness import NOT_JUDGED, Hardness
from router.intent.encoder import Encoder, SentenceEncoder, Vector
from router.intent.model import is_english
from router.intent.view import reading
from router.request import AUTO, Intent, Request

Fetch = Callable[[str], Awaitable[bytes]]
"""The model's document that has this digest. May raise anything; it is tried again."""
_REMEMBERED: Final = 2048
_log = logging.getLogger("graftwork.router")


class DifficultySource:
    """Holds the current model; belongs to the event loop.

    Args:
        max_tokens: word pieces that the encoder reads, the same as for intents.
        fetch: gets the document that the routing table names.
        load: makes the encoder.
        per_request: whether requests are told apart; False: only imported shares are used.

    Attributes:
        current: the model in use; replaced by one assignment.
        wake: has ``refresh`` run soon.
    """

    def __init__(
        self,
        max_tokens: int,
        fetch: Fetch,
        load: Callable[[int], Encoder] = SentenceEncoder,
        *,
        per_request: bool = True,
    ) -> None:
        self._max_tokens = max_tokens
        self._fetch = fetch
        self._load = load
        self._per_request = per_request
        self._wanted = self._had = ""
        self._encoder: Encoder | None = None
        self._remembered: OrderedDict[str, Vector] = OrderedDict()
        self.wake: Callable[[], None] = lambda: None
        self.current: Difficulty | None = None

    @property
    def heads(self) -> int:
        """Targets of which something was learned."""
        return 0 if self.current is None else len(self.current.heads)

    @property
    def remembered(self) -> int:
        """Vectors of repeated texts that are kept."""
        return len(self._remembered)

    def heard(self, table: RoutingTable) -> None:
        """Take what a routing table says; another model is fetched soon."""
        if table.revision == 0:
            return
        self._wanted = table.difficulty
        if self._wanted != self._had:
            self.wake()

    async def refresh(self) -> bool:
        """Have the model that the table names; whether it is another one.

        Raises what fetching raises, ``EncoderMissing``, and ``ValueError`` for what is no model.
        """
        wanted = self._wanted
        if wanted == self._had:
            return False
        made: Difficulty | None = None
        if wanted:
            raw = await self._fetch(wanted)
            if digest_of(raw) != wanted:
                raise ValueError(f"what came is not the model {wanted[:12]}")
            made = await asyncio.to_thread(self._usable, raw)
        self.current, self._had = made, wanted
        _log.info("difficulty_changed", extra={"version": wanted[:12], "heads": self.heads})
        return True

    def _usable(self, raw: bytes) -> Difficulty:
        made = read(raw)
        if made.heads and self._per_request:
            if self._encoder is None:
                self._encoder = self._load(self._max_tokens)
            if made.encoder != self._encoder.name:
                raise ValueError(f"its heads read {made.encoder}, texts {self._encoder.name}")
        return made

    def judge(self, request: Request, intent: Intent, *, weighs: bool = True) -> Hardness:
        """How hard a request is. Takes milliseconds where nobody has read its text yet.

        ``weighs``: whether it makes a difference; else no text is read for it, and what is known of
        all requests is told where nobody else has read it.
        """
        made = self.current
        if made is None or request.model != AUTO:
            return NOT_JUDGED
        if not made.heads or not self._per_request or not request.text:
            return made.says_only_levels
        text = reading(request)
        if not weighs and intent.vector is None and text not in self._remembered:
            return made.says_only_levels
        english = is_english(intent.language or language_of(text))
        known = traits(
            text,
            turns=len(request.turns),
            input_tokens=request.needs.input_tokens,
            needs=request.needs.features,
            foreign=not english,
        )
        if not english:
            return made.judge(None, known)
        return made.judge(self._meaning(text) if intent.vector is None else intent.vector, known)

    def _meaning(self, text: str) -> Vector | None:
        found, encoder = self._remembered.get(text), self._encoder
        if found is not None:
            self._remembered.move_to_end(text)
        elif encoder is not None:
            found = self._remembered[text] = encoder.encode(encoder.read(text))
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return found
