"""One call of one upstream, up to the moment when it has really begun to answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self

from router.config.delivery import DeliveryConfig
from router.config.providers import CallLimits
from router.delivery import CANCELLED, OK, REJECTED, Answering, Attempt
from router.errors import (
    Failure,
    InvalidRequest,
    Overloaded,
    RouterError,
    TargetBroken,
    TargetRejected,
    TargetTimeout,
)
from router.exchange import Exchange
from router.govern.detectors import holds_personal
from router.replicas.table import TableHolder
from router.request import Option
from router.send.health import HealthBook, Ticket, Upstream
from router.send.remedy import Blame, as_rejection, sort
from router.stages import Heading
from router.targets.base import Call
from router.targets.directory import Catalog
from router.wire.endpoint import Usage
from router.wire.events import Body as WholeBody
from router.wire.events import Events, Piece
from router.wire.formats import FORMATS
from router.wire.headers import passed_on

_MOMENT_S = 0.001
MAX_HELD_BYTES = 64 * 1024
"""More than this of a stream's beginning is not held back, whatever it says."""
Body = dict[str, Any]


class Started:
    """An answer that has begun: a stream that said something, or a whole body that is here."""

    def __init__(
        self,
        upstream: Upstream,
        attempt: Attempt,
        ticket: Ticket,
        answer: Answering,
        over: Callable[[], None],
        idle_s: float,
    ) -> None:
        self.upstream = upstream
        self.attempt = attempt
        self.status = answer.status
        self.content_type = answer.content_type
        self.began = time.perf_counter() - attempt.seconds
        self._ticket = ticket
        self._answer = answer
        self._over: Callable[[], None] | None = over
        self._idle_s = idle_s
        self._held: list[Piece] = []
        self.source = answer.chunks()
        """The rest, after what was taken. Raises ``TargetBroken``."""

    @property
    def usage(self) -> Usage:
        """Token counts as the target reported them."""
        return self._answer.usage

    async def open(self, exchange: Exchange) -> None:
        """Read on until there is content. Raises ``TargetBroken`` when it breaks before."""
        size, carries = 0, FORMATS[exchange.request.endpoint].carries
        async for piece in self.source:
            self._held.append(piece)
            size += len(piece.raw)
            if size > MAX_HELD_BYTES or (isinstance(piece, Events) and any(map(carries, piece))):
                break
        self._ticket.alive(time.monotonic())

    async def read(self, limit_bytes: int, timer: asyncio.Timeout) -> None:
        """Read the whole body. Raises ``TargetBroken`` when it is cut, too large or no answer."""
        size, deadline = 0, timer.when() or float("inf")
        loop = asyncio.get_running_loop()
        ends = deadline
        parts: list[WholeBody] = []
        async for piece in self.source:
            if isinstance(piece, WholeBody) and piece:
                parts.append(piece)
            size += len(piece.raw)
            if size > limit_bytes:
                raise TargetBroken(f"{self.upstream.target.name} sent more than {limit_bytes} B.")
            until = min(deadline, loop.time() + self._idle_s)
            # Moving a timer costs more than reading a piece: only when it moves by much.
            if abs(until - ends) > self._idle_s / 8:
                ends = until
                timer.reschedule(until)
        self._held = [parts[0] if len(parts) == 1 else WholeBody(b"".join([p.raw for p in parts]))]
        self.finish()

    def take(self) -> list[Piece]:
        """What was read before the answer counted as begun; once."""
        held, self._held = self._held, []
        return held

    @property
    def is_over(self) -> bool:
        """Whether everything was read, or the answer was closed."""
        return self._over is None

    def watched(self) -> IdleWatch:
        """Interrupts the source when it has been silent for too long."""
        return IdleWatch(self._idle_s, self._stalled)

    def broke(self, error: TargetBroken) -> None:
        """The answer failed in the middle: note it where the next request looks."""
        self.attempt.outcome = error.failure.value
        self.attempt.seconds = time.perf_counter() - self.began
        self._ticket.bad(time.monotonic(), sort(error).blame)

    async def aclose(self) -> None:
        """Give the connection back, or cut it; idempotent."""
        if self._over is not None and self.attempt.outcome == OK:
            self.attempt.outcome = CANCELLED
        self._ticket.release()
        self._free()
        await self._answer.aclose()

    def _stalled(self) -> None:
        self._answer.interrupt(
            TargetBroken(
                f"{self.upstream.target.name} sent nothing for {self._idle_s:g} s.",
                failure=Failure.STALLED,
            )
        )

    def finish(self) -> None:
        """The last byte is here."""
        self.attempt.seconds = time.perf_counter() - self.began
        self._ticket.good(time.monotonic())
        self._free()

    def _free(self) -> None:
        over, self._over = self._over, None
        if over is not None:
            over()


class Calls:
    """Makes calls, and knows who could be called."""

    def __init__(
        self,
        catalog: Catalog,
        holder: TableHolder,
        config: DeliveryConfig,
        book: HealthBook,
    ) -> None:
        self._catalog = catalog
        self._holder = holder
        self._config = config
        self.book = book

    def upstreams(self, option: Option, now: float) -> list[Upstream]:
        """Where an option can be asked now, least loaded first."""
        health = self.book.of(option.target, now)
        if not option.is_local:
            return [Upstream(option, self._catalog.frontier(option), health)]
        return [
            Upstream(
                option,
                self._catalog.local(option, place),
                health,
                place,
                self.book.of(f"replica:{place.id}", now),
            )
            for place in self._holder.places(option)
        ]

    def window(self, exchange: Exchange, option: Option) -> int | None:
        """Tokens that fit into a target's context; None when nobody knows."""
        if option.is_local:
            return exchange.decision.table.max_model_len
        return self._catalog.frontier(option).card.context_window

    async def body(self, exchange: Exchange, option: Option) -> Body:
        """What the context stage makes for a target, as far as that may see it."""
        with exchange.account.stages.within(Heading.CONTEXT, "context"):
            made = await exchange.delivery.made(option)
        with exchange.account.stages.within(Heading.GOVERNANCE, "vault"):
            return await exchange.delivery.outgoing(option, made)

    async def start(
        self,
        exchange: Exchange,
        upstream: Upstream,
        left_s: float,
        *,
        others: Callable[[], bool] | None = None,
        body: Body | None = None,
        prefill: str = "",
    ) -> Started:
        """Call and wait for the answer to begin.

        Args:
            exchange: the request; gets one more attempt.
            upstream: who is called.
            left_s: seconds that are left for the whole request.
            others: whether somebody else could still answer; then some of the time is theirs.
            body: in place of what the context stage makes; such an answer is not judged.
            prefill: what the assistant said so far.

        Raises:
            TargetError, Overloaded: there is no answer; already noted in attempt and records.
        """
        probe = exchange.decision.probe if body is None and upstream.option.is_local else None
        if body is None:
            # Before it counts as a call: nobody was asked when there is nothing to ask with.
            body = await self.body(exchange, upstream.option)
        replica = upstream.replica
        attempt = exchange.delivery.call(upstream.option, replica.id if replica else None)
        warn = partial(exchange.delivery.warn, upstream.target.name)
        call = _call(exchange, body, left_s, prefill, probe, warn)
        ticket = Ticket(upstream)
        began = time.perf_counter()
        try:
            with exchange.account.stages.waiting():
                started = await self._begin(exchange, upstream, attempt, ticket, call, others)
        except RouterError as error:
            failed = self._failed(upstream, attempt, ticket, error)
            if isinstance(failed, InvalidRequest):
                exchange.delivery.not_called(attempt, failed.code)
            failed.message = exchange.delivery.restored(upstream.option, failed.message)
            raise failed from error
        except BaseException:
            attempt.outcome = CANCELLED
            ticket.release()
            raise
        finally:
            attempt.seconds = time.perf_counter() - began
        attempt.outcome = OK
        started.began = began
        if self._config.hedge.enabled:
            health = upstream.health
            (health.streams if call.stream else health.wholes).add(attempt.seconds)
        return started

    def _failed(
        self, upstream: Upstream, attempt: Attempt, ticket: Ticket, error: RouterError
    ) -> RouterError:
        now = time.monotonic()
        error = as_rejection(error)
        if isinstance(error, TargetRejected):
            attempt.outcome = f"{REJECTED} {error.status}"
            ticket.good(now)
            return error
        failure = getattr(error, "failure", None)
        attempt.outcome = failure.value if isinstance(failure, Failure) else error.code
        blame = sort(error).blame
        if upstream.replica is not None:
            if failure is Failure.MISSING:
                blame = Blame.NOBODY  # this replica does not hold the adapter (yet): no fault
            if blame is Blame.PLACE:
                self._holder.suspect(upstream.replica)
        ticket.bad(now, blame, error.retry_after_s)
        return error

    async def _begin(
        self,
        exchange: Exchange,
        upstream: Upstream,
        attempt: Attempt,
        ticket: Ticket,
        call: Call,
        others: Callable[[], bool] | None,
    ) -> Started:
        own, usual = upstream.target.limits, self._config.timeouts
        idle_s = own.idle_s or usual.idle_s
        wait_s = self._wait_s(own, call, others)
        leave: Callable[[], None] = _nothing
        step = Failure.BUSY
        answer: Answering | None = None
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(wait_s) as timer:
                entering = loop.time()
                leave = await self._enter(exchange, upstream)
                step = Failure.TIMEOUT
                if loop.time() - entering > _MOMENT_S:  # the time in our queue is not the target's
                    left_s = call.timeout_s - (loop.time() - entering)
                    timer.reschedule(loop.time() + min(wait_s, left_s))
                sent = await upstream.target.send(call)
                answer = exchange.delivery.incoming(upstream.option, sent)
                attempt.usage = answer.usage
                started = Started(upstream, attempt, ticket, answer, leave, idle_s)
                exchange.delivery.opens(started)
                if call.stream:
                    await started.open(exchange)
                else:
                    await started.read(self._config.max_answer_bytes, timer)
                return started
        except BaseException as error:
            leave()
            if answer is not None:
                await answer.aclose()
            if not isinstance(error, TimeoutError):
                raise
            if step is Failure.BUSY:
                raise Overloaded(
                    "No replica had room for this request in time.", retry_after_s=1.0
                ) from error
            raise TargetTimeout(
                f"{upstream.target.name} did not answer in {wait_s:.3g} s."
            ) from error

    def _wait_s(self, own: CallLimits, call: Call, others: Callable[[], bool] | None) -> float:
        """How long a call may wait for its answer: usually, or less when little time is left."""
        usual = self._config.timeouts
        if call.stream:
            wait_s = own.first_token_s or usual.first_token_s
        else:
            wait_s = own.whole_answer_s or usual.whole_answer_s
        part_s = call.timeout_s * usual.share
        if part_s < wait_s and others is not None and others():
            return part_s
        return min(wait_s, call.timeout_s)

    async def _enter(self, exchange: Exchange, upstream: Upstream) -> Callable[[], None]:
        """Wait for a place in the replica's queue; returns what gives it back, once."""
        name, replica = upstream.option.engine_name, upstream.replica
        if replica is None or name is None:
            return _nothing
        queue = self._holder.queues.of(replica.id, exchange.decision.table.base_id)
        await queue.acquire(name, exchange.request.priority)
        return _once(lambda: queue.release(name))


def _call(
    exchange: Exchange,
    body: Body,
    timeout_s: float,
    prefill: str,
    probe: Mapping[str, Any] | None,
    warn: Callable[[str], None],
) -> Call:
    request = exchange.request
    return Call(
        endpoint=request.endpoint,
        body=body,
        stream=request.stream,
        request_id=request.id,
        timeout_s=timeout_s,
        headers=passed_on(request.headers, holds_personal, warn),
        prefill=prefill,
        probe=probe,
        warn=warn,
    )


def _nothing() -> None:
    return None


def _once(what: Callable[[], None]) -> Callable[[], None]:
    """``what``, of which only the first call counts."""
    due = [what]

    def call() -> None:
        if due:
            due.pop()()

    return call


class IdleWatch:
    """Calls ``expired`` once when a read has waited for longer than ``idle_s``.

    One timer per stream: when it fires it looks how long the wait really was, and starts anew for
    the rest. While the client is slow and nothing is read, nothing expires.

    Attributes:
        since: when the read that is under way began, by ``time()``; None while nothing is read.
        time: the loop's clock, seconds.
    """

    __slots__ = ("_expired", "_handle", "_idle_s", "_loop", "since", "time")

    def __init__(self, idle_s: float, expired: Callable[[], None]) -> None:
        self._idle_s = idle_s
        self._expired = expired
        self._loop = asyncio.get_running_loop()
        self.time = self._loop.time
        self.since: float | None = None

    def __enter__(self) -> Self:
        self.since = self.time()
        self._handle = self._loop.call_later(self._idle_s, self._look)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.cancel()

    def _look(self) -> None:
        waited = 0.0 if self.since is None else self.time() - self.since
        if waited < self._idle_s:
            self._handle = self._loop.call_later(self._idle_s - waited, self._look)
        else:
            self._expired()
