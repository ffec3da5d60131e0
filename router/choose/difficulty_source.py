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
from router.embed.layers import Vector, key_of
from router.embed.threads import Busy, Threads
from router.hardness import NOT_JUDGED, Hardness
from router.intent.encoder import Encoder, SentenceEncoder
from router.intent.model import is_english
from router.intent.view import reading
from router.request import Intent, Request

Fetch = Callable[[str], Awaitable[bytes]]
"""The model's document that has this digest. May raise anything; it is tried again."""
_REMEMBERED: Final = 2048
_log = logging.getLogger("graftwork.router")


class DifficultySource:
    """Holds the current model; belongs to the event loop.

    Args:
        max_tokens: word pieces that the encoder reads, the same as for intents.
        fetch: gets the document that the routing table names.
        threads: where texts are read, as for intents.
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
        threads: Threads,
        load: Callable[[int], Encoder] = SentenceEncoder,
        *,
        per_request: bool = True,
    ) -> None:
        self._max_tokens = max_tokens
        self._fetch = fetch
        self._threads = threads
        self._load = load
        self._per_request = per_request
        self._wanted = self._had = ""
        self._encoder: Encoder | None = None
        self._remembered: OrderedDict[bytes, Vector] = OrderedDict()
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

    async def judge(
        self, request: Request, intent: Intent, *, chooses: bool = True, weighs: bool = True
    ) -> Hardness:
        """How hard a request is.

        Args:
            request: what is asked.
            intent: what was read of it for that.
            chooses: ``auto`` decides who answers; else nothing is told.
            weighs: it makes a difference; else no text is read for it, and what is known of all
                requests is told where nobody else has read it.
        """
        made = self.current
        if made is None or not chooses:
            return NOT_JUDGED
        if not made.heads or not self._per_request or not request.text:
            return made.says_only_levels
        text = reading(request)
        if not weighs and intent.vector is None and key_of(text) not in self._remembered:
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
        vector = await self._meaning(text) if intent.vector is None else intent.vector
        return made.judge(vector, known)

    async def _meaning(self, text: str) -> Vector | None:
        """None where it cannot be told now: what is not known of a request is as it usually is."""
        key, encoder = key_of(text), self._encoder
        found = self._remembered.get(key)
        if found is not None:
            self._remembered.move_to_end(key)
        elif encoder is not None:
            try:
                found = await self._threads.run(lambda: encoder.encode(encoder.read(text)))
            except Busy:
                return None
            self._remembered[key] = found
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return found
