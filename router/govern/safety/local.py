"""The local classifier: a linear model for everything, a sentence encoder for what it suspects.

Most texts are judged in microseconds on the event loop. Where the words alone leave a doubt, the
meaning of the stretch in question decides, in a thread of its own. What was judged is remembered by
its digest: a conversation brings its earlier turns again with each request.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from router.embed.encoder import BgeSmall, Encoder
from router.embed.layers import Layers
from router.embed.threads import Busy, Threads
from router.embed.weights import ModelMissing
from router.errors import GuardUnavailable
from router.govern.safety import weights
from router.govern.safety.checks import HARM, INJECTION, LONG, Case, Finding, Passage, Source
from router.govern.safety.linear import WINDOW, Linear, probability, words
from router.govern.safety.memory import Memory
from router.wire.characters import normalised

T = TypeVar("T")
SUSPICION: Final = -4.0
"""Log odds of harm, by the words, from which the meaning is looked at."""
SUSPICION_OF_ANSWERS: Final = -2.0
"""The same of an answer, which needs more of both to be one and is read every few words: of a
quarter of all prose the words are above the other line, of a twelfth above this one."""
_WORDS_COUNT: Final = 0.5
"""How much the words' score counts beside the meaning's, and within which bounds."""
_LEAST, _MOST = -6.0, 8.0
HARMFUL: Final = 6.1
"""Log odds of both together from which a message of a sentence or two is refused."""
HARMFUL_IN_PROSE: Final = 8.0
"""The same of the most telling sentence in a longer text: there are many to be wrong about."""
HARMFUL_ANSWER: Final = 9.0
"""The same of an answer: texts that explain history or law have the words of harm, too."""
INJECTED: Final = 2.5
"""Log odds, by the words, of an injection in a message of a sentence or two."""
INJECTED_AT_THE_EDGE: Final = 4.0
"""The same of a longer text's first or last sentence, where orders to a model mostly stand."""
INJECTED_IN_PROSE: Final = 6.0
_ORDER: Final = 2
"""Words without which nothing is an order: a name, or `prompt 3`, is none."""
_BRIEF: Final = 4
"""Words up to which one that injections have says too much (`rules please`, `test prompt 1`): they
need what a longer text's edge needs."""
_PIECES: Final = 128
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True, slots=True)
class ClassifierModels:
    """What the classifier consists of."""

    harm: Linear
    injection: Linear
    head: weights.Head
    encoder: Encoder

    @classmethod
    def packaged(cls, layers: Layers | None = None) -> ClassifierModels:
        """Those that come with Graftwork. ``layers``: of whoever else reads texts."""
        return cls(
            weights.linear(HARM),
            weights.linear(INJECTION),
            weights.head(HARM),
            BgeSmall(max_pieces=_PIECES, layers=layers),
        )


_ANY_TEXT: Final = "When does the shop open?"


class Read(NamedTuple):
    """What the words of a text say.

    Attributes:
        harm: log odds.
        doubtful: the stretch whose meaning is to be looked at; empty: none.
        injection: log odds; 0 where they are too low to count.
        is_prose: it is longer than a message of a sentence or two.
    """

    harm: float
    doubtful: str
    injection: float
    is_prose: bool

    def is_harm(self, score: float, source: Source) -> bool:
        """Whether words and meaning together are enough."""
        if source is Source.ANSWER:
            return score >= HARMFUL_ANSWER
        return score >= (HARMFUL_IN_PROSE if self.is_prose else HARMFUL)


class _Judged(NamedTuple):
    """What is remembered of a text."""

    findings: list[Finding]
    is_in_doubt: bool
    """Its words could be of harm."""


class Classifier:
    """Judges texts. Belongs to one event loop.

    Args:
        models: what it consists of.
        threads: for what takes long.
    """

    def __init__(self, models: ClassifierModels, threads: Threads) -> None:
        self._models = models
        self._threads = threads
        self._known: Memory[_Judged] = Memory()

    async def warm(self) -> None:
        """Load what the first doubtful text would wait for. Raises ``GuardUnavailable``."""
        await self._off_loop(lambda: self.meaning(0.0, _ANY_TEXT))

    async def judge(self, case: Case) -> list[Finding]:
        """Harm and injections. Raises ``GuardUnavailable`` when a doubt cannot be resolved."""
        found: list[Finding] = []
        for passage in case.passages:
            is_new = passage.source is Source.ANSWER
            judged = await (self._judge(passage) if is_new else self._judged(passage))
            found += judged.findings
        return found

    def in_doubt(self, passages: Sequence[Passage]) -> bool:
        """Whether the words of one of these, which were judged lately, could be of harm."""
        known = [self._known.recall(passage) for passage in passages]
        return any(each is not None and each.is_in_doubt for each in known)

    async def _judged(self, passage: Passage) -> _Judged:
        known = self._known.recall(passage)
        return known or self._known.keep(passage, await self._judge(passage))

    async def _judge(self, passage: Passage) -> _Judged:
        text, source = passage
        if len(text) >= LONG:
            read = await self._off_loop(lambda: self.read(text, source))
        else:
            read = self.read(text, source)
        found: list[Finding] = []
        if read.doubtful:
            score = await self._off_loop(lambda: self.meaning(read.harm, read.doubtful))
            if read.is_harm(score, source):
                found.append(Finding("classifier", HARM, source, probability(score)))
        if read.injection:
            found.append(Finding("classifier", INJECTION, source, probability(read.injection)))
        return _Judged(found, bool(read.doubtful))

    def read(self, text: str, source: Source) -> Read:
        """What the words say."""
        harm, doubtful = _LEAST, ""
        doubt = SUSPICION_OF_ANSWERS if source is Source.ANSWER else SUSPICION
        found_in = parts(normalised(text).text)
        injections: list[float] = []
        for part in found_in:
            found = words(part)
            if source is not Source.UNTRUSTED:
                score, start = self._models.harm.find(found)
                if score > max(harm, doubt):
                    harm, doubtful = score, _stretch(part, found, start)
            if source is not Source.ANSWER:
                injections.append(self._injection(found))
        return Read(harm, doubtful, _that_counts(injections), len(found_in) > 1)

    def _injection(self, found: list[str]) -> float:
        """Log odds of a part in words; 0 of one that is too short to say so."""
        count = sum(each[0].isalpha() for each in found)
        if count < _ORDER:
            return 0.0
        score = self._models.injection.find(found)[0]
        return score if count > _BRIEF or score >= INJECTED_AT_THE_EDGE else 0.0

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


def _that_counts(scores: list[float]) -> float:
    """Of the log odds of a text's sentences; 0 where none do."""
    if not scores:
        return 0.0
    if len(scores) == 1:
        return scores[0] if scores[0] >= INJECTED else 0.0
    edge, most = max(scores[0], scores[-1]), max(scores)
    if most >= INJECTED_IN_PROSE:
        return most
    return edge if edge >= INJECTED_AT_THE_EDGE else 0.0


def parts(text: str) -> list[str]:
    """A message of a sentence or two as it is, a longer one by sentences.

    In a page of ordinary talk, one sentence is not to be lost among its neighbours.
    """
    if text.count(" ") <= WINDOW:
        return [text]
    return [part for part in _SENTENCE.split(text) if part]


def _stretch(plain: str, found: list[str], start: int) -> str:
    """What the meaning is taken from: a short text as it is, of a long one the stretch's words."""
    return plain if len(found) <= WINDOW else " ".join(found[start : start + WINDOW])
