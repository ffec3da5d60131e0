"""The answer that goes to the client, whoever gives it, and in how many parts.

A stream that broke goes on elsewhere: what was said, on what body another goes on, and who. The
client sees one stream: the prefix that it has, then the continuation, each character once.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from router.config.delivery import DeliveryConfig
from router.errors import RouterError, TargetBroken
from router.exchange import Exchange
from router.request import Request
from router.send.attempt import Calls, Started
from router.send.health import Upstream
from router.send.remedy import Step, sort
from router.targets.base import Target
from router.wire.endpoint import Usage
from router.wire.events import Events, Piece, is_progress
from router.wire.formats import FORMATS
from router.wire.formats.base import BOUNDS, Continued, Reader, Reading, Splice
from router.wire.formats.seam import Seam, split

Body = dict[str, Any]

_FOLD_BYTES = 64 * 1024
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "echo": (False,),
    "suffix": ("",),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "thinking": ({"type": "disabled"},),
    # Of Responses; their tools answer with items of their own, so there are none.
    "tools": ([],),
    "include": ([],),
    "background": (False,),
    "text": ({"format": {"type": "text"}},),
    "truncation": ("disabled",),
}
_FREE_CHOICES = frozenset({"auto", "none"})


class Transcript:
    """Everything that the client got of one stream, read from its events only when it broke.

    While all is well, runs of events are only put aside. Every 64 KiB they are read into text, so
    that what is kept stays about as long as the answer (law 9).

    Args:
        wire: its format.
        max_chars: longer texts are not kept.
        answers: how many answers (choices) the stream is to have.
    """

    __slots__ = ("_answers", "_held", "_max_chars", "_reader", "_size", "wire")

    def __init__(self, wire: Continued, max_chars: int, answers: int = 1) -> None:
        self.wire = wire
        self._reader: Reader | None = None
        self._held: list[bytes] = []
        self._size = 0
        self._max_chars = max_chars
        self._answers = answers

    @property
    def reader(self) -> Reader:
        """Reads them; made when the first of them are read."""
        if self._reader is None:
            self._reader = self.wire.reader()
        return self._reader

    def add(self, run: Events) -> None:
        """These events go out."""
        self._held.append(run.raw)  # not what was read of it: many small things live on then
        self._size += len(run.raw)
        if self._size > _FOLD_BYTES:
            self.read()

    def obstacle(self) -> str | None:
        """Why it cannot be continued from here; None: it can."""
        reading = self.read()
        return reading.obstacle or reading.missing

    @property
    def has_ended(self) -> bool:
        """Whether every answer told why it ended: one of several is not all of them."""
        return len(self.read().ended) >= self._answers

    def read(self) -> Reading:
        """What was said up to here."""
        reader = self.reader
        reading = reader.reading
        held, self._held, self._size = self._held, [], 0
        try:
            for event in Events(b"".join(held)):
                found = event.object()
                if found is not None:
                    reader.read(found)
        except (ValueError, LookupError, TypeError, AttributeError):
            reading.blocked("it had sent something that is not its API")
        if len(reading.text) > self._max_chars:
            reading.forget(f"it was longer than {self._max_chars} characters")
        return reading


class Rescuer:
    """Continues the streams of one sender.

    Args:
        calls: makes the calls.
        config: how often, how long.
        left_s: seconds that a request has left.
    """

    def __init__(
        self, calls: Calls, config: DeliveryConfig, left_s: Callable[[Exchange], float]
    ) -> None:
        self._calls = calls
        self._config = config
        self._left_s = left_s

    def transcript(self, exchange: Exchange) -> Transcript | None:
        """Where to note what goes out; None when there will be no rescue anyway."""
        config = self._config.rescue
        wire = FORMATS[exchange.request.endpoint]
        is_continued = exchange.request.stream and config.enabled
        if not is_continued or not isinstance(wire, Continued):
            return None
        return Transcript(wire, config.max_chars, wire.answers(exchange.request.body))

    def ended(self, exchange: Exchange, transcript: Transcript) -> Events | None:
        """The missing end of a stream that had said everything; None: something is missing."""
        wire, reading = transcript.wire, transcript.read()
        if transcript.has_ended:
            return wire.ending(transcript.reader, reading.deltas, full=False)
        # Each piece is at least one token: as many pieces as tokens were allowed is all there is.
        limit = limit_of(exchange.request.body)
        full = limit is not None and reading.deltas >= limit and transcript.obstacle() is None
        if not full or obstacle(wire, exchange.request.body) is not None:
            return None
        return wire.ending(transcript.reader, reading.deltas, full=True)

    async def go_on(
        self,
        exchange: Exchange,
        transcript: Transcript,
        broken: Upstream,
        error: TargetBroken,
        prompt_tokens: int | None,
        began: Target,
    ) -> tuple[Started, Splice]:
        """Another answer that begins where the stream broke, and what joins it to the stream.

        Raises:
            TargetBroken: ``error``, when nobody may or can go on.
        """
        why_not = self._obstacle(exchange, transcript, error, began)
        if why_not is not None:
            exchange.delivery.note(not_rescued=broken.option.target, why=why_not)
            raise error
        reading = transcript.read()
        prefill, space = split(reading.text)
        for upstream in self._upstreams(exchange, broken, prefill):
            left_s = self._left_s(exchange)
            if left_s <= 0 or len(exchange.delivery.attempts) >= self._config.retry.max_attempts:
                break
            try:
                await exchange.cover(upstream.option)
                whole = await self._calls.body(exchange, upstream.option)
                body = rest_of(whole, reading.deltas)
                begun = await exchange.delivery.begun(upstream.option, prefill)
                started = await self._calls.start(
                    exchange, upstream, left_s, body=body, prefill=begun
                )
            except RouterError:
                continue
            _note(exchange, broken, upstream, reading.deltas, error)
            exchange.delivery.answered_by(started.attempt)
            joined = transcript.wire.splice(
                transcript.reader, Seam(space), reading.deltas, prompt_tokens
            )
            return started, joined
        exchange.delivery.note(not_rescued=broken.option.target, why="nobody who may go on can")
        raise error

    def _obstacle(
        self, exchange: Exchange, transcript: Transcript, error: TargetBroken, began: Target
    ) -> str | None:
        if sort(error).step in {Step.STOP, Step.LARGER}:
            return "the target refused to go on"
        done = len(exchange.delivery.rescued)
        if done >= self._config.rescue.max_rescues:
            return f"it was rescued {done} times already"
        if _is_kept(exchange.request, began):
            return "who began it keeps the answer under its id"
        return obstacle(transcript.wire, exchange.request.body) or transcript.obstacle()

    def _upstreams(self, exchange: Exchange, broken: Upstream, prefill: str) -> Iterator[Upstream]:
        """Who may (law 5) and can go on, best first; who just failed comes last."""
        now = time.monotonic()
        last: list[Upstream] = []
        for option in exchange.decision.options:
            if not option.allowed or option.target in exchange.delivery.given_up:
                continue
            for upstream in self._calls.upstreams(option, now):
                if prefill and not upstream.target.can_continue(exchange.request.endpoint):
                    continue
                if upstream.key == broken.key:
                    last.append(upstream)
                elif upstream.lets_in(now):
                    yield upstream
        for upstream in last:
            if upstream.lets_in(now) and upstream.health.retries.withdraw(now):
                yield upstream


def _is_kept(request: Request, began: Target) -> bool:
    """Whether a later request may refer to the answer, and would find what one target said alone.

    Providers keep their own Responses unless told not to.
    """
    return began.keeps(request.endpoint) and request.body.get("store") is not False


def _note(
    exchange: Exchange, broken: Upstream, by: Upstream, tokens: int, error: TargetBroken
) -> None:
    exchange.delivery.note(
        rescued=broken.option.target,
        by=by.option.target,
        after_tokens=tokens,
        why=error.failure.value,
    )


def obstacle(wire: Continued, body: Body) -> str | None:
    """Why a stream for this request cannot be continued; None: it can."""
    known = wire.continues
    for name, value in body.items():
        if value is None or name in known or value in _HARMLESS.get(name, ()):
            continue
        return f"a stream with {name!r} is not continued"
    choice = body.get("tool_choice") or "auto"
    if (choice.get("type") if isinstance(choice, dict) else choice) not in _FREE_CHOICES:
        return "a stream that must call a tool is not continued"
    return wire.obstacle(body)


def rest_of(body: Body, used: int) -> Body:
    """The body for the continuation, when ``used`` tokens were sent already."""
    found = dict(body)
    for name, least in (*((bound, 1) for bound in BOUNDS), ("min_tokens", 0)):
        limit = found.get(name)
        if isinstance(limit, int) and not isinstance(limit, bool):
            found[name] = max(least, limit - used)
    return found


def limit_of(body: Body) -> int | None:
    """The client's bound on the answer, tokens."""
    limits = [body.get(bound) for bound in BOUNDS]
    found = [n for n in limits if isinstance(n, int) and not isinstance(n, bool)]
    return min(found) if found else None


class Delivered:
    """An answer that has begun.

    Attributes:
        status: of the answer.
        content_type: of its body.
        usage: token counts of the answer as the client sees it; complete with its last byte.
    """

    def __init__(self, exchange: Exchange, started: Started, rescuer: Rescuer) -> None:
        self._exchange = exchange
        self._started = started
        self._began = started.upstream.target
        self._rescuer = rescuer
        self._splice: Splice | None = None
        self._prompt_tokens: int | None = None
        self._before = 0
        self._last: Piece = Events(b"")
        self._transcript = rescuer.transcript(exchange)
        self.status = started.status
        self.content_type = started.content_type
        counted = started.usage
        self.usage = Usage(counted.input_tokens, counted.output_tokens, counted.cached_input_tokens)

    async def chunks(self) -> AsyncIterator[Piece]:
        """The body; a stream in whole events, continued elsewhere when it breaks.

        Raises:
            TargetBroken: it broke and cannot be continued; an error event has to end it.
        """
        while True:
            started = self._started
            try:
                for piece in started.take():
                    if (passed := self._pass(piece)).raw:
                        yield passed
                if started.is_over:  # a whole answer
                    return
                with started.watched() as watch:
                    async for piece in started.source:
                        before, watch.since = watch.since, None  # the client may take its time
                        if (passed := self._pass(piece)).raw:
                            yield passed
                        is_news = is_progress(piece.raw)
                        watch.since = watch.time() if is_news else before
                started.finish()
            except TargetBroken as error:
                end = await self._recover(error)
                if end is not None:
                    yield end
                    return
            else:
                self._count()
                return

    def _pass(self, piece: Piece) -> Piece:
        """What the client gets for it."""
        if not isinstance(piece, Events):
            return piece
        self._started.attempt.streamed += piece.count()
        if self._splice is not None:
            piece = self._spliced(piece)
        if self._transcript is not None:
            self._transcript.add(piece)
        if piece.raw:
            self._last = piece
        return piece

    def _spliced(self, run: Events) -> Events:
        assert self._splice is not None
        try:
            return self._splice.feed(run)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise TargetBroken("The continuation does not have the shape of its API.") from error

    async def _recover(self, error: TargetBroken) -> Events | None:
        """The end of the stream, or None: it goes on. Raises the error when there is no way."""
        self._count()
        self._started.broke(error)
        wire = FORMATS[self._exchange.request.endpoint]
        error.sequence = wire.next_number(self._last.raw)
        await self._started.aclose()
        transcript = self._transcript
        if transcript is None:
            raise error
        end = self._rescuer.ended(self._exchange, transcript)
        if end is not None:
            return end
        if self._splice is None:
            self._prompt_tokens = self._started.usage.input_tokens
        broken = self._started.upstream
        self._started, self._splice = await self._rescuer.go_on(
            self._exchange, transcript, broken, error, self._prompt_tokens, self._began
        )
        self._before = transcript.read().deltas
        return None

    def _count(self) -> None:
        """Totals as the client sees them: what was sent before is prompt to who goes on."""
        counted, usage = self._started.usage, self.usage
        usage.cached_input_tokens = counted.cached_input_tokens
        if not self._before:
            usage.input_tokens, usage.output_tokens = counted.input_tokens, counted.output_tokens
            return
        if counted.output_tokens is not None:
            usage.output_tokens = self._before + counted.output_tokens
        if self._prompt_tokens is not None:
            usage.input_tokens = self._prompt_tokens
        elif counted.input_tokens is not None:
            usage.input_tokens = max(0, counted.input_tokens - self._before)

    async def aclose(self) -> None:
        """Give the connection back, or cut it; idempotent."""
        await self._started.aclose()
