"""The context stage: what is retrieved once, and what of it each target gets within its window."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from router.config.documents import ContextConfig
from router.context import fence
from router.context.documents.model import IndexUnavailable, Passage
from router.context.fit import fitted
from router.context.retrieve import Question, Retrieved
from router.context.stitch import stitched
from router.context.tokens import ByBytes, Counter
from router.context.trim import dropped, trimmed
from router.delivery import Bodies, Stitched
from router.embed.threads import Busy, Threads
from router.embed.weights import ModelMissing
from router.exchange import Exchange
from router.request import Intent, Option, Request
from router.wire.endpoint import Endpoint
from router.wire.formats import FORMATS
from router.wire.texts import texts

NONE: Final = "none"
"""In place of collections: no context, whatever the route says."""
Body = dict[str, Any]
Windows = Callable[[Exchange, Option], int | None]
"""Tokens that fit into a target's context; None when nobody knows."""
Counters = Callable[[Option], Counter | None]
"""A target's own tokenizer; None where it is not at hand."""
_DEFAULT_WINDOW: Final = 8192
"""Where nobody knows a target's."""
_MARGIN_TOKENS: Final = 16
"""What a tokenizer may make of the seams."""
_LEAST_TOKENS: Final = 96
"""Less room is not worth a block."""
_ROUNDS: Final = 6
_QUERY_CHARS: Final = 2000
_SHORT_WORDS: Final = 5
"""A shorter question is read together with the one before: it may be about the same."""
_ESTIMATED_BYTES_PER_TOKEN: Final = 4
_log = logging.getLogger("graftwork.router")


class Finds(Protocol):
    """Searches documents, wherever they are."""

    async def prepare(self) -> None:
        """Be ready for the first question. Raises as ``retrieve``."""
        ...

    async def retrieve(self, question: Question) -> Retrieved:
        """The passages. Raises ``IndexUnavailable``, ``ModelMissing`` and ``Busy``."""
        ...


class UntrustedCheck(Protocol):
    """Looks for instructions in what nobody here wrote."""

    async def check_untrusted(self, texts: Sequence[str]) -> Sequence[str | None]:
        """For each text why it may not be shown to a model, or None."""
        ...


@dataclass(frozen=True, slots=True)
class _Found:
    """What one request has, whoever will answer it."""

    question: str = ""
    passages: tuple[Passage, ...] = ()
    warnings: tuple[str, ...] = ()
    may_trim: bool = False


class ContextStage:
    """Retrieves, and makes targets' bodies.

    Args:
        config: what routes want, and how much of a window may be taken.
        documents: finds passages.
        threads: where bodies are made.
        counters, windows: what is known of targets.
        check: looks at passages before a model does.
    """

    def __init__(
        self,
        config: ContextConfig,
        documents: Finds,
        threads: Threads,
        counters: Counters,
        windows: Windows,
        check: UntrustedCheck,
    ) -> None:
        self._config = config
        self._documents = documents
        self._threads = threads
        self._counters = counters
        self._windows = windows
        self._check = check

    def eased(self, request: Request) -> Request:
        """The request with what it needs at least, where its oldest turns may go."""
        if not (request.hints.trim or self._config.trim):
            return request
        gone = dropped(request.endpoint, request.body)
        size = sum(len(each.text.encode("utf-8", "replace")) for each in texts(gone))
        # Never less than it is: of what goes only its text is subtracted.
        least = request.needs.input_tokens - size // _ESTIMATED_BYTES_PER_TOKEN
        return replace(request, needs=replace(request.needs, least_input_tokens=max(0, least)))

    def collections(self, request: Request, intent: Intent) -> tuple[str, ...]:
        """What a request may draw on: as it says itself, else as its route does, else always."""
        if not FORMATS[request.endpoint].generates:
            return ()
        own = request.hints.context
        if own is not None:
            return () if own == (NONE,) else own
        routes = self._config.routes
        found = None if intent.name is None else routes.get(intent.name)
        return self._config.default if found is None else found

    async def bodies(self, exchange: Exchange) -> Bodies:
        """Retrieve, and return what makes each target's body."""
        request = exchange.request
        found = await self._found(exchange)
        prompts = _prompts(request)
        exchange.delivery.draws_on(_size(found.passages) * prompts)
        made: dict[str, Body] = {}

        async def of(option: Option) -> Body:
            own = own_words(request, option)
            for warning in found.warnings:
                exchange.delivery.warn(option.target, warning)
            if not found.passages and not found.may_trim:
                return own
            if option.target not in made:
                fit = await self._threads.run(
                    lambda: self._fit(self._target(exchange, option), own, found)
                )
                stitched_in = Stitched(_citations(fit.shown), _size(fit.shown) * prompts)
                exchange.delivery.stitches(option.target, stitched_in)
                for warning in fit.warnings:
                    exchange.delivery.warn(option.target, warning)
                made[option.target] = fit.body
            return made[option.target]

        return of

    # Once a request

    async def _found(self, exchange: Exchange) -> _Found:
        request, wanted = exchange.request, exchange.decision.collections
        may_trim = request.hints.trim or self._config.trim
        if not wanted:
            return _Found(may_trim=may_trim)
        question = _question(request)
        # Who names documents wants their best, whatever that is.
        are_named = request.hints.context is not None
        asked = Question(
            request.tenant,
            wanted,
            question,
            self._config.limit,
            min(self._config.rerank_ms / 1000, _share_of(request)),
            0.0 if are_named else self._config.least_score,
            0.0 if are_named else self._config.least_similarity,
        )
        try:
            await self._documents.prepare()
            async with asyncio.timeout(self._config.timeout_ms / 1000):
                found = await self._documents.retrieve(asked)
        except (IndexUnavailable, ModelMissing, Busy, TimeoutError) as error:
            _log.warning("no context for request %s: %s", request.id, error)
            why = "in time" if isinstance(error, TimeoutError) else "now"
            late: tuple[str, ...] = (f"context: documents could not be searched {why}",)
            return _Found(question, warnings=late, may_trim=may_trim)
        passages, warnings = await self._checked(found)
        return _Found(question, tuple(passages), warnings, may_trim)

    async def _checked(self, found: Retrieved) -> tuple[list[Passage], tuple[str, ...]]:
        warnings = [f"context: no collection {name!r}" for name in sorted(found.unknown)]
        # A model reads the title, too.
        said = [text for each in found.passages for text in (each.title, each.text)]
        verdicts = await self._check.check_untrusted(said) if said else []
        passages = []
        for passage, *both in zip(found.passages, verdicts[::2], verdicts[1::2], strict=True):
            verdict = both[0] or both[1]
            if verdict is None:
                passages.append(passage)
            else:
                warnings.append(f"context: {passage.document} left out ({verdict})")
        return passages, tuple(warnings)

    # Once a target; in a thread

    def _target(self, exchange: Exchange, option: Option) -> _Target:
        request = exchange.request
        window = self._windows(exchange, option) or _DEFAULT_WINDOW
        wanted = request.needs.max_output_tokens
        reserve = min(self._config.answer_tokens, window // 4) if wanted is None else wanted
        return _Target(request.endpoint, window, reserve, self._counters(option))

    def _fit(self, target: _Target, body: Body, found: _Found) -> _Fit:
        gone = 0
        if found.may_trim:
            body, gone = trimmed(target.endpoint, body, target.fits)
        warnings = [f"the oldest turns ({gone})"] if gone else []
        shown, made = self._stitched(target, body, found) if found.passages else ([], body)
        if found.passages and not shown:
            warnings.append("context, for which it has no room")
        return _Fit(made, shown, warnings)

    def _stitched(self, target: _Target, body: Body, found: _Found) -> tuple[list[Passage], Body]:
        """The passages that fit, and the body with them; the prompt alone where none does."""
        free = target.free(body)
        share = min(int(self._config.share * target.window), self._config.max_tokens)
        empty = target.text(fence.block([]))
        for _ in range(_ROUNDS):
            budget = min(free, target.bound(share))
            if budget - empty < _LEAST_TOKENS:
                break
            shown = fitted(found.passages, found.question, budget - empty, target.passage)
            if not shown:
                break
            made = stitched(target.endpoint, body, fence.block(shown))
            if made is None:
                break
            over = -target.free(made)
            if over <= 0:
                return shown, made
            # Tokens do not add up exactly where texts meet: once more, with less.
            free -= over + _MARGIN_TOKENS
        return [], body


@dataclass(frozen=True, slots=True)
class _Fit:
    """What one target gets."""

    body: Body
    shown: Sequence[Passage]
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Target:
    """One target's window, in its own tokens."""

    endpoint: Endpoint
    window: int
    reserve: int
    counter: Counter | None

    @property
    def _counted(self) -> Counter:
        return self.counter or ByBytes()

    def free(self, body: Body) -> int:
        """Tokens left beside a prompt and its answer; below 0 when they do not fit."""
        used = self._counted.prompt(self.endpoint, body)
        return self.window - self.reserve - used - _MARGIN_TOKENS

    def fits(self, body: Body) -> bool:
        """Whether prompt and answer do."""
        return self.free(body) >= 0

    def text(self, text: str) -> int:
        """Tokens of a text, at most."""
        return self._counted.text(text)

    def passage(self, passage: Passage) -> int:
        """Tokens of a passage with its heading, at most."""
        return self.text(fence.heading(passage, 100) + fence.harmless(passage.text) + "\n") + 1

    def bound(self, tokens: int) -> int:
        """So many tokens in the unit that ``text`` counts in."""
        return tokens if self.counter is not None else tokens * _ESTIMATED_BYTES_PER_TOKEN


def own_words(request: Request, option: Option) -> Body:
    """The client's own body under the target's name for the model."""
    return {**request.body, "model": option.engine_name or option.target.partition("/")[2]}


def _size(passages: Sequence[Passage]) -> int:
    """Bytes of their block."""
    return len(fence.block(passages).encode("utf-8", "replace")) if passages else 0


def _prompts(request: Request) -> int:
    """How many times a block is put in."""
    prompt = request.body.get("prompt") if request.endpoint is Endpoint.COMPLETIONS else None
    return len(prompt) if isinstance(prompt, list) else 1


def _citations(shown: Sequence[Passage]) -> tuple[dict[str, Any], ...]:
    return tuple(
        {
            "marker": fence.marker(number),
            "document": passage.document,
            "chunk": passage.chunk,
            "title": passage.title,
            "score": passage.score,
        }
        for number, passage in enumerate(shown, 1)
    )


def _question(request: Request) -> str:
    """The newest user text; together with the one before where it says little by itself."""
    newest = request.text[-_QUERY_CHARS:]
    if len(newest.split()) >= _SHORT_WORDS or len(request.turns) < 2:
        return newest
    return f"{request.turns[-2][-_QUERY_CHARS:]}\n{newest}"


def _share_of(request: Request) -> float:
    """Seconds of a request's own time that may go into looking again: a tenth."""
    return float("inf") if request.hints.timeout_s is None else request.hints.timeout_s / 10
