"""The local classifier: a linear model for everything, a sentence encoder for what it suspects.

Most texts are judged in microseconds on the event loop. Where the words alone leave a doubt, the
meaning of the stretch in question decides, in a thread of its own. What was judged is remembered by
its digest: a conversation brings its earlier turns again with each request.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, TypeVar

from router.embed.encoder import BgeSmall, Encoder
from router.embed.threads import Busy, Threads
from router.embed.weights import ModelMissing
from router.errors import GuardUnavailable
from router.govern.safety import weights
from router.govern.safety.checks import HARM, INJECTION, Case, Finding, Passage, Source
from router.govern.safety.linear import WINDOW, Linear, probability, words
from router.wire.characters import normalised

T = TypeVar("T")
SUSPICION: Final = -3.0
"""Log odds of harm, by the words, from which the meaning is looked at."""
_WORDS_COUNT: Final = 0.5
"""How much the words' score counts beside the meaning's, and within which bounds."""
_LEAST, _MOST = -6.0, 8.0
HARMFUL: Final = 5.0
"""Log odds of both together from which a request is refused."""
HARMFUL_ANSWER: Final = 7.5
INJECTED: Final = 4.0
"""Log odds, by the words, of an injection."""
KEPT: Final = 4096
"""Texts whose judgement is remembered; 100 bytes each."""
LONG: Final = 20_000
"""Characters from which a text is judged in a thread."""
_PIECES: Final = 128


@dataclass(frozen=True, slots=True)
class Models:
    """What the classifier consists of."""

    harm: Linear
    injection: Linear
    head: weights.Head
    encoder: Encoder

    @classmethod
    def packaged(cls) -> Models:
        """Those that come with Graftwork."""
        return cls(
            weights.linear(HARM),
            weights.linear(INJECTION),
            weights.head(HARM),
            BgeSmall(max_pieces=_PIECES),
        )


class Classifier:
    """Judges texts. Belongs to one event loop.

    Args:
        models: what it consists of.
        threads: for what takes long.
    """

    def __init__(self, models: Models, threads: Threads) -> None:
        self._models = models
        self._threads = threads
        self._known: OrderedDict[bytes, list[Finding]] = OrderedDict()

    async def judge(self, case: Case) -> list[Finding]:
        """Harm and injections. Raises ``GuardUnavailable`` when a doubt cannot be resolved."""
        found: list[Finding] = []
        for passage in case.passages:
            is_new = passage.source is Source.ANSWER
            found += await (self._judge(passage) if is_new else self._judged(passage))
        return found

    async def _judged(self, passage: Passage) -> list[Finding]:
        key = blake2b(
            passage.text.encode("utf-8", "surrogatepass"),
            digest_size=16,
            person=passage.source.value.encode(),
        ).digest()
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known
        found = await self._judge(passage)
        self._known[key] = found
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return found

    async def _judge(self, passage: Passage) -> list[Finding]:
        text, source = passage
        if len(text) >= LONG:
            suspects = await self._off_loop(lambda: self._read(text, source))
        else:
            suspects = self._read(text, source)
        harm, doubtful, injection = suspects
        found: list[Finding] = []
        if doubtful:
            score = await self._off_loop(lambda: self.meaning(harm, doubtful))
            if score >= (HARMFUL_ANSWER if source is Source.ANSWER else HARMFUL):
                found.append(Finding("classifier", HARM, source, probability(score)))
        if injection >= INJECTED:
            found.append(Finding("classifier", INJECTION, source, probability(injection)))
        return found

    def _read(self, text: str, source: Source) -> tuple[float, str, float]:
        """The words' score of harm, the stretch that is in doubt if there is, and of injection."""
        plain = normalised(text).text
        found = words(plain)
        harm, doubtful, injection = _LEAST, "", _LEAST
        if source is not Source.UNTRUSTED:
            harm, start = self._models.harm.find(found)
            if harm > SUSPICION:
                doubtful = _stretch(plain, found, start)
        if source is not Source.ANSWER:
            injection, _ = self._models.injection.find(found)
        return harm, doubtful, injection

    def meaning(self, words_score: float, text: str) -> float:
        """Log odds of harm, of words and meaning together. Blocks."""
        vector = self._models.encoder.encode([text])[0]
        bounded = max(_LEAST, min(_MOST, words_score))
        return self._models.head.score(vector) + _WORDS_COUNT * bounded

    async def _off_loop(self, what: Callable[[], T]) -> T:
        try:
            return await self._threads.run(what)
        except Busy as error:
            raise GuardUnavailable(
                "More requests wait for the safety checks than they get through."
            ) from error
        except ModelMissing as error:
            raise GuardUnavailable(f"The safety checks' encoder is missing: {error}") from error


def _stretch(plain: str, found: list[str], start: int) -> str:
    """What the meaning is taken from: a short text as it is, of a long one the stretch's words."""
    return plain if len(found) <= WINDOW else " ".join(found[start : start + WINDOW])
