"""Finding somebody who goes on where a stream broke."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from router.config.delivery import DeliveryConfig
from router.errors import RouterError, TargetBroken
from router.request import Exchange, Option, Request
from router.send.attempt import Calls, Started
from router.send.remedy import Step, sort
from router.send.rescue.eligible import limit_of, obstacle, rest_of
from router.send.rescue.said import Transcript
from router.send.upstream import Upstream
from router.wire.endpoint import Endpoint
from router.wire.events import Events
from router.wire.formats import format_of
from router.wire.formats.base import Splice
from router.wire.formats.seam import Seam, split


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
        wire = format_of(exchange.request.endpoint)
        if not exchange.request.stream or not config.enabled or wire.continues is None:
            return None
        return Transcript(wire, config.max_chars, wire.answers(exchange.request.body))

    def ended(self, exchange: Exchange, transcript: Transcript) -> Events | None:
        """The missing end of a stream that had said everything; None: something is missing."""
        wire, reading = format_of(exchange.request.endpoint), transcript.read()
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
        began: Option,
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
                body = rest_of(self._calls.body(exchange, upstream.option), reading.deltas)
                started = await self._calls.start(
                    exchange, upstream, left_s, body=body, prefill=prefill
                )
            except RouterError:
                continue
            _note(exchange, broken, upstream, reading.deltas, error)
            exchange.delivery.answered_by(started.attempt)
            wire = format_of(exchange.request.endpoint)
            joined = wire.splice(transcript.reader, Seam(space), reading.deltas, prompt_tokens)
            return started, joined
        exchange.delivery.note(not_rescued=broken.option.target, why="nobody who may go on can")
        raise error

    def _obstacle(
        self, exchange: Exchange, transcript: Transcript, error: TargetBroken, began: Option
    ) -> str | None:
        if sort(error).step in {Step.STOP, Step.LARGER}:
            return "the target refused to go on"
        done = len(exchange.delivery.rescued)
        if done >= self._config.rescue.max_rescues:
            return f"it was rescued {done} times already"
        if _is_kept(exchange.request, began):
            return "who began it keeps the answer under its id"
        wire = format_of(exchange.request.endpoint)
        return obstacle(wire, exchange.request.body) or transcript.obstacle()

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
            if upstream.lets_in(now) and upstream.health.budget.withdraw(now):
                yield upstream


def _is_kept(request: Request, began: Option) -> bool:
    """Whether a later request may refer to the answer, and would find what one target said alone.

    Providers keep Responses unless told not to; engines do not.
    """
    if request.endpoint is not Endpoint.RESPONSES or request.body.get("store") is False:
        return False
    return not began.is_local


def _note(
    exchange: Exchange, broken: Upstream, by: Upstream, tokens: int, error: TargetBroken
) -> None:
    exchange.delivery.note(
        rescued=broken.option.target,
        by=by.option.target,
        after_tokens=tokens,
        why=error.failure.value,
    )
