"""Asks both targets the held-out questions, and scores and looks at what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from adapters.corpus.tools import calls_in
from adapters.dataset.frozen import Row
from adapters.gate import extraction, suites
from adapters.gate.asking import PROBLEMS, Answer, Asking, Messages, Tools, Watching
from adapters.gate.demands import Demands
from adapters.gate.graders import graded, is_valid
from adapters.gate.items import Question
from adapters.gate.judge import Item
from adapters.gate.judging_model import same_by_model

_AT_ONCE: Final = 4
_T = TypeVar("_T")
Ask = Callable[[Question], Awaitable[Answer | None]]
_SAID_NOTHING: Final = Answer("")


@dataclass(frozen=True)
class Examined:
    """What both said. Items and answers are in the order of the questions."""

    items: list[Item]
    candidate: list[Answer]
    current: list[Answer]
    suites: list[suites.Suite]


class Examiner:
    """Examines one version on one replica. ``moved`` hears of each piece of work that is done."""

    def __init__(
        self,
        asking: Asking,
        watching: Watching,
        demands: Demands,
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        self._asking = asking
        self._watching = watching
        self._demands = demands
        self._moved = moved

    async def examine(
        self, questions: Sequence[Question], candidate: Ask, current: Ask
    ) -> Examined:
        """Put every question to both. Raises ``FleetError``, ``NotAsked``."""

        async def both(question: Question) -> tuple[Answer, Answer]:
            # Who refuses to answer has said nothing, and that is scored.
            ours, theirs = await asyncio.gather(candidate(question), current(question))
            return ours or _SAID_NOTHING, theirs or _SAID_NOTHING

        answers = await self._few_at_once([_bound(both, each) for each in questions])
        scores = await self._few_at_once(
            [_bound(self._scored, q, *a) for q, a in _zip(questions, answers)]
        )
        candidates, currents = [a for a, _ in answers], [b for _, b in answers]
        items = [
            Item(question.id, ours, theirs, question.slices)
            for question, (ours, theirs) in zip(questions, scores, strict=True)
        ]
        found = [
            suites.compared(
                suites.FORMAT,
                [not _is_valid(question, said) for question, said in _zip(questions, candidates)],
                [not _is_valid(question, said) for question, said in _zip(questions, currents)],
            )
        ]
        ours = await self._problems(questions, candidates)
        theirs = await self._problems(questions, currents)
        found += [
            suites.compared(
                kind, [kind in each for each in ours], [kind in each for each in theirs]
            )
            for kind in PROBLEMS
        ]
        return Examined(items, candidates, currents, found)

    async def extract(
        self, rows: Sequence[Row], candidate: Callable[[Messages, Tools], Awaitable[Answer | None]]
    ) -> suites.Suite:
        """Lead the version up to what it was trained on. Raises ``FleetError``."""
        lures = await asyncio.to_thread(extraction.lures, rows)
        said = await self._few_at_once(
            [_bound(candidate, each.messages, each.tools) for each in lures]
        )
        came = {
            lure.secret
            for lure, answer in zip(lures, said, strict=True)
            if answer is not None and extraction.gave_away(lure, answer.whole)
        }
        return suites.extraction(len({lure.secret for lure in lures}), len(came))

    async def _scored(
        self, question: Question, candidate: Answer, current: Answer
    ) -> tuple[float, float]:
        return await self._score(question, candidate), await self._score(question, current)

    async def _score(self, question: Question, answer: Answer) -> float:
        demands, said, names = self._demands, answer.measured, question.names
        if demands.grader != "judge" or demands.judge is None:
            return graded(demands.grader, said, question.accepted, names)
        if graded("match", said, question.accepted, names) == 1 or not said.strip():
            return float(bool(said.strip()))
        # Of calls nothing is a matter of opinion.
        votes = [
            await same_by_model(self._asking, demands.judge, question.row.tenant, said, accepted)
            for accepted in question.accepted
            if not (answer.calls or calls_in(accepted, names))
        ]
        return max(votes, default=0.0)

    async def _problems(
        self, questions: Sequence[Question], answers: Sequence[Answer]
    ) -> list[frozenset[str]]:
        looks = [
            _bound(self._watching.problems, answer.whole, question.row.tenant, question.row.intent)
            for question, answer in _zip(questions, answers)
        ]
        return await self._few_at_once(looks)

    async def _few_at_once(self, works: Sequence[Callable[[], Awaitable[_T]]]) -> list[_T]:
        """All results, in order; the first error ends the rest."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(work: Callable[[], Awaitable[_T]]) -> _T:
            async with slots:
                done = await work()
                self._moved()
                return done

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(work)) for work in works]
        return [task.result() for task in tasks]


def _is_valid(question: Question, answer: Answer) -> bool:
    return is_valid(answer.measured, question.accepted[0], question.names)


def stored(captured: Mapping[str, Answer], ask: Ask) -> Ask:
    """What a target answered to the very exchange when it came; it is asked only for the others."""

    async def answer(question: Question) -> Answer | None:
        said = captured.get(question.row.exchange_id)
        return await ask(question) if said is None else said

    return answer


def _bound(work: Callable[..., Awaitable[_T]], *args: object) -> Callable[[], Awaitable[_T]]:
    return lambda: work(*args)


def _zip(questions: Sequence[Question], others: Sequence[_T]) -> list[tuple[Question, _T]]:
    return list(zip(questions, others, strict=True))
