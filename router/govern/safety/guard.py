"""A guard model: another model is asked whether a prompt or an answer may pass.

Fails closed (law 6): a guard that is down, slow or not understood refuses the request, and nobody
else is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from router.config.safety import GuardConfig
from router.errors import GuardUnavailable, RouterError
from router.govern.safety.checks import Case, Finding, Source, Turn
from router.govern.safety.guard_formats import (
    Moderation,
    Question,
    Unreadable,
    as_messages,
    moderation,
    questions,
    resolved,
)
from router.request import Request

MAX_CHARS: Final = 24_000
"""Of a conversation, what a guard is shown: its end. Its window is small."""
_RETRY_S: Final = 2.0


class GuardModel(Protocol):
    """The guard as a chat model."""

    async def ask(self, body: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Its answer to a chat completion, without ``model``. Raises ``RouterError``."""
        ...


Redact = Callable[[Request, dict[str, Any]], Awaitable[dict[str, Any]]]
"""The conversation that the guard is asked about, ``messages``, as its provider may have it."""


class Guard:
    """Asks a guard model.

    Args:
        config: which, and how.
        model: the model itself.
        redact: takes out what its provider must not have.
    """

    def __init__(self, config: GuardConfig, model: GuardModel, redact: Redact) -> None:
        self._config = config
        self._model = model
        self._redact = redact
        self._form = resolved(config.format, config.model)

    async def judge(self, case: Case) -> list[Finding]:
        """What the guard finds in the last turn. Raises ``GuardUnavailable``."""
        request = case.request
        if not case.turns or request is None:
            return []
        is_answer = case.turns[-1].role == "assistant"
        try:
            async with asyncio.timeout(self._config.timeout_s):
                shown = await self._redact(request, {"messages": as_messages(_end(case.turns))})
                asked = questions(self._form, shown["messages"])
                answers = await _all([self._moderation(each) for each in asked])
        except TimeoutError as error:
            raise _unavailable("did not answer in time") from error
        except GuardUnavailable:
            raise
        except RouterError as error:
            raise _unavailable("cannot be reached") from error
        source = Source.ANSWER if is_answer else Source.USER
        return [
            Finding("guard", category, source, each.score)
            for each in answers
            for category in each.categories
        ]

    async def _moderation(self, question: Question) -> Moderation:
        answer = await self._model.ask(question.body, self._config.timeout_s)
        try:
            return moderation(question, answer, self._config.threshold)
        except Unreadable as error:
            raise _unavailable(f"was not understood: {error}") from error


def _end(turns: Sequence[Turn]) -> Sequence[Turn]:
    """The end of the conversation, as much as the guard reads; the last turn's own end."""
    kept: list[Turn] = []
    left = MAX_CHARS
    for turn in reversed(turns):
        if left <= 0:
            break
        kept.append(Turn(turn.role, turn.text[-left:]))
        left -= len(turn.text)
    kept.reverse()
    return kept


async def _all(calls: Sequence[Awaitable[Moderation]]) -> list[Moderation]:
    """All results, or the first failure as itself; then the others are stopped."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _unavailable(what: str) -> GuardUnavailable:
    return GuardUnavailable(f"The safety guard {what}; nothing was sent.", retry_after_s=_RETRY_S)
