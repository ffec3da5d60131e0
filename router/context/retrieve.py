"""What documents say about a question: found by words and by meaning, fused, looked at again."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Final

from router.context.documents.model import EVERYBODY, Hits, Index, Passage, TenantCollection
from router.context.documents.words import overlap, words_of
from router.embed.cross import Reranker
from router.embed.encoder import Encoder
from router.embed.threads import Remembered, Threads

FUSION: Final = 10
"""Of reciprocal rank fusion: how much the first places weigh more than those after them."""
_CANDIDATES: Final = 40
"""Of each measure."""
_RERANKED: Final = 10
_ALIKE: Final = 0.9
"""Texts that share more of their words say the same."""
Place = tuple[str, int]
"""A document, and which chunk of it."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for, and where."""

    tenant: str
    collections: Sequence[str] | None
    """None: all that the tenant may read."""
    text: str
    limit: int
    rerank_s: float | None = None
    """Seconds for looking at candidates again; None: as long as it takes."""
    least_score: float = 0.0
    """What is read together with the question has to reach it, 0 to 1, or the other one."""
    least_similarity: float = 0.0
    """Cosine that has to be reached by what there was no time to read."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What was found, best first."""

    passages: list[Passage] = field(default_factory=list)
    unknown: frozenset[str] = frozenset()
    """Collections that the tenant does not have."""


class Retriever:
    """Finds passages. Everything that takes time is done in ``threads``.

    Args:
        index: where documents are.
        encoder: made their vectors.
        reranker: looks at the best ones again.
        threads: one thread, since the vectors of questions are remembered in it.
        grants: globs over the tenants that may read a collection, where not all may.
    """

    def __init__(
        self,
        index: Index,
        encoder: Encoder,
        reranker: Reranker,
        threads: Threads,
        grants: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._index = index
        self._questions = Remembered(encoder)
        self._reranker = reranker
        self._threads = threads
        self._grants = grants or {}
        self._is_ready = False

    async def prepare(self) -> None:
        """Load the models, once: that takes a second, which is not the first question's.

        Raises ``ModelMissing`` and ``Busy``.
        """
        if not self._is_ready:
            await self._threads.run(self._load)

    def _load(self) -> None:
        if not self._is_ready:
            self._questions.vector("")
            self._reranker.load()
            self._is_ready = True

    async def retrieve(self, question: Question) -> Retrieved:
        """The passages. Raises ``IndexUnavailable``, ``ModelMissing`` and ``Busy``."""
        return await self._threads.run(lambda: self.find(question))

    @property
    def waiting(self) -> int:
        """Searches under way or waiting."""
        return self._threads.busy

    def close(self) -> None:
        """Wait for what is under way."""
        self._threads.close()

    def find(self, question: Question) -> Retrieved:
        """The same in this thread."""
        scopes, unknown = self._scopes(question)
        if not scopes or not question.text.strip():
            return Retrieved([], unknown)
        vector = self._questions.vector(question.text)
        hits = self._index.find(scopes, question.text, vector, _CANDIDATES)
        scores = fused(hits)
        passages = self._index.passages([number for number, _ in scores])
        found = [
            replace(passages[number], score=score) for number, score in scores if number in passages
        ]
        # More than are wanted: some may say the same, or stand in for what is left out later.
        found = distinct(found, max(question.limit, _RERANKED))
        read = self._reranked(question, found)
        near = _similarity(hits, passages)
        return Retrieved(_relevant(question, read, found, near)[: question.limit], unknown)

    def _scopes(self, question: Question) -> tuple[list[TenantCollection], frozenset[str]]:
        """What the tenant may read of what it asks for. Nobody's else, whatever it is called."""
        there = {
            scope
            for scope in self._index.scopes([question.tenant, EVERYBODY])
            if self._may_read(question.tenant, scope.collection)
        }
        if question.collections is None:
            return sorted(there), frozenset()
        wanted = set(question.collections)
        known = {scope.collection for scope in there}
        return sorted(s for s in there if s.collection in wanted), frozenset(wanted - known)

    def _may_read(self, tenant: str, collection: str) -> bool:
        allowed = self._grants.get(collection)
        return allowed is None or any(fnmatchcase(tenant, glob) for glob in allowed)

    def _reranked(self, question: Question, found: Sequence[Passage]) -> list[Passage]:
        """The first ones, scored by a model that reads question and text together.

        In the order in which they came, and no more of them than there was time for.
        """
        budget_s = 60.0 if question.rerank_s is None else question.rerank_s
        # Who waits behind this one has as much of the time that there is.
        budget_s /= max(1, self._threads.busy)
        deadline = time.perf_counter() + budget_s
        first = found[:_RERANKED]
        scores = self._reranker.scores(question.text, [_whole(each) for each in first], deadline)
        return [
            replace(each, score=round(score, 6)) for each, score in zip(first, scores, strict=False)
        ]


def _relevant(
    question: Question,
    read: Sequence[Passage],
    found: Sequence[Passage],
    near: Mapping[Place, float],
) -> list[Passage]:
    """What bears on the question, best first: what was read, then what was not.

    Where all of the first ones were read and none is relevant, those after them are not either.
    """

    def is_near(passage: Passage) -> bool:
        return near.get((passage.document, passage.chunk), 0.0) >= question.least_similarity

    kept = [each for each in read if each.score >= question.least_score or is_near(each)]
    kept.sort(key=lambda each: -each.score)
    if read and not kept and len(read) == len(found[:_RERANKED]):
        return []
    least = min((each.score for each in kept), default=1.0)
    rest = [
        replace(each, score=min(each.score, least)) for each in found[len(read) :] if is_near(each)
    ]
    return kept + rest


def _similarity(hits: Hits, passages: Mapping[int, Passage]) -> dict[Place, float]:
    """The cosine of each passage and the question; of one that only its words found, the most
    that it can be.
    """
    near = dict(hits.vectors)
    most = min(near.values()) if len(near) >= _CANDIDATES else 0.0
    return {
        (each.document, each.chunk): near.get(number, most) for number, each in passages.items()
    }


def _whole(passage: Passage) -> str:
    return f"{passage.title}\n{passage.text}"


def fused(hits: Hits) -> list[tuple[int, float]]:
    """Chunks in the order of both measures together (reciprocal rank fusion), scores 0 to 1."""
    scores: dict[int, float] = {}
    for ranked in hits:
        for rank, (number, _) in enumerate(ranked):
            scores[number] = scores.get(number, 0.0) + 1 / (FUSION + rank)
    best = 2 / FUSION
    ordered = sorted(scores.items(), key=lambda each: (-each[1], each[0]))
    return [(number, round(score / best, 6)) for number, score in ordered]


def distinct(passages: Iterable[Passage], limit: int) -> list[Passage]:
    """The first ones, without those that say what an earlier one says."""
    found: list[Passage] = []
    known: list[frozenset[str]] = []
    for passage in passages:
        words = frozenset(words_of(passage.text))
        if any(overlap(words, others) >= _ALIKE for others in known):
            continue
        found.append(passage)
        known.append(words)
        if len(found) >= limit:
            break
    return found
