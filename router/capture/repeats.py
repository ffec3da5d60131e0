"""The same question in other words, and whether whoever asked was content in the end.

Which turn follows which is known by the session that the client names, or by the words that a
conversation repeats with each request. In memory, of one router: it remembers names of decisions,
the words are in ``Recent``.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from adapters.corpus.folding import folded
from adapters.corpus.signals import Signal
from router.capture.recent import Finished, Recent
from router.intent.view import other_script
from router.request import Request

WITHIN_S: Final = 900.0
_ALIKE: Final = 0.80
"""Cosine from which on two texts ask the same; of two questions that differ in intent 1 in 100 are
as alike in one bank's traffic, 1 in 1000 across domains."""
_SHARED: Final = 0.4
"""Share of pairs of letters in common, for scripts that the encoder was not trained on."""
_LEAST_WORDS: Final = 3
_LEAST_LETTERS: Final = 6
_KEPT: Final = 10_000
_MAX_CHARS: Final = 1000
_NUMBER: Final = re.compile(r"\d+")
_COMPLAINS: Final = re.compile(
    r"\b(?:wrong|incorrect|useless|not what i (?:asked|meant|said)|didn'?t answer|"
    r"does(?: not|n't) (?:help|work)|still (?:not|does|is)|"
    r"falsch|stimmt nicht|nicht das|ce n'est pas|no es (?:eso|lo))\b",
    re.IGNORECASE,
)


class Encoder(Protocol):
    """Texts to vectors of length 1. Blocks."""

    def encode(self, texts: Sequence[str]) -> Any:
        """One row a text."""
        ...


@dataclass(frozen=True, slots=True)
class Heard:
    """What a turn says of an earlier one.

    Attributes:
        decision_id: of the earlier one.
        signs: each with its reason.
        content_with: what was answered to a later wording, where that was enough.
    """

    decision_id: str
    signs: Mapping[str, str] = field(default_factory=dict)
    content_with: Finished | None = None


@dataclass(frozen=True, slots=True)
class _Turn:
    decision_id: str
    at: float
    first: str | None = None
    """The decision that first answered what this turn asked again."""


class Repeats:
    """The newest turn of every conversation. Belongs to one event loop.

    Args:
        encoder: what texts mean.
        clock: seconds, of any beginning.
    """

    def __init__(self, encoder: Encoder, clock: Callable[[], float] = time.monotonic) -> None:
        self._encoder = encoder
        self._clock = clock
        self._turns: OrderedDict[bytes, _Turn] = OrderedDict()

    def __len__(self) -> int:
        return len(self._turns)

    async def hear(self, finished: Finished, recent: Recent) -> list[Heard]:
        """What this turn says of those before; to be told of each once, in their order."""
        request = finished.exchange.request
        before = self._turns.pop(_key(request, request.turns[:-1]), None)
        heard, first = await self._compare(before, request, recent)
        self._remember(request, _Turn(finished.decision_id, self._clock(), first))
        return heard

    async def _compare(
        self, before: _Turn | None, request: Request, recent: Recent
    ) -> tuple[list[Heard], str | None]:
        if before is None or self._clock() - before.at > WITHIN_S:
            return [], None
        earlier = recent.find(before.decision_id)
        if earlier is None:
            return [], None
        asked = earlier.exchange.request.text
        if await asyncio.to_thread(self.alike, asked, request.text):
            sign = {Signal.ASKED_AGAIN.value: "the same was asked in other words"}
            return [Heard(before.decision_id, sign)], before.first or before.decision_id
        if before.first is None or _COMPLAINS.search(request.text[:_MAX_CHARS]):
            return [], None
        return [Heard(before.first, content_with=earlier)], None

    def _remember(self, request: Request, turn: _Turn) -> None:
        key = _key(request, request.turns)
        self._turns[key] = turn
        self._turns.move_to_end(key)
        while len(self._turns) > _KEPT:
            self._turns.popitem(last=False)

    def alike(self, one: str, other: str) -> bool:
        """Whether two texts ask the same in other words. Blocks, for some milliseconds."""
        one, other = one[:_MAX_CHARS].strip(), other[:_MAX_CHARS].strip()
        if not (_says_enough(one) and _says_enough(other)) or folded(one) == folded(other):
            return False
        numbers = set(_NUMBER.findall(one)), set(_NUMBER.findall(other))
        if all(numbers) and numbers[0] != numbers[1]:
            return False
        if other_script(one) or other_script(other):
            return _shared(one, other) >= _SHARED
        first, second = self._encoder.encode([one, other])
        return float(first @ second) >= _ALIKE


def _key(request: Request, turns: Sequence[str]) -> bytes:
    """Under which the last of these turns is known; no words are kept."""
    caller = "" if request.caller is None else request.caller.name
    session = request.hints.session
    said = ["session", session] if session else ["turns", *turns[-2:]]
    parts = [request.tenant, caller, *sorted(request.subjects), *said]
    told = b"\0".join(part.encode("utf-8", "replace") for part in parts)
    return hashlib.blake2b(told, digest_size=16).digest()


def _says_enough(text: str) -> bool:
    if other_script(text):
        return len(text) >= _LEAST_LETTERS
    return len(text.split()) >= _LEAST_WORDS


def _shared(one: str, other: str) -> float:
    """Dice's coefficient over pairs of letters."""
    first, second = _pairs(one), _pairs(other)
    return 2 * len(first & second) / max(len(first) + len(second), 1)


def _pairs(text: str) -> set[str]:
    plain = folded(text).replace(" ", "")
    return {plain[place : place + 2] for place in range(len(plain) - 1)}
