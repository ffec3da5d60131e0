"""What is kept of answered requests to be learned from: who consented, what is sampled or tells.

    captures.tap(exchange)                # makes a bounded copy while the answer passes
    captures.follow(exchange)             # after the last byte
    captures.tell(decision_id, {...})     # what became known later

Nobody waits for any of it. A finished request is read, recognised and redacted in the background,
one at a time and with pauses, so that answering comes first; what is redacted goes to the spool.
Until then it is in memory only, where a crash loses it; from then on it is not lost.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final

from adapters.corpus.delivery import Entry, to_line
from adapters.corpus.merging import ANSWERS
from adapters.corpus.signals import Signal
from router.capture.consent import Consent
from router.capture.conversation import Unreadable
from router.capture.counts import CaptureCounts, Dropped
from router.capture.entries import Entries, offer_of
from router.capture.recent import BoundedCopy, Finished, Recent
from router.capture.repeats import Repeats
from router.capture.signals import of_shadow, speaks
from router.capture.spool import Line, Spool
from router.capture.unwritten import Unwritten
from router.config.capture import CaptureConfig
from router.delivery import ESCALATED, VIOLATED, Tap
from router.errors import GuardUnavailable, ReviewPending
from router.exchange import Exchange
from router.request import Option
from router.wire.endpoint import Endpoint

QUEUED: Final = 1000
_QUEUED_BYTES: Final = 64 * 2**20
_GROUP_S: Final = 0.1
"""So long entries gather before they are synced together."""
_PAUSE: Final = 2.0
"""While requests come, after each so many times as long as it took: at most a third of one core."""
_TOLD_AT_ONCE: Final = 64
"""Decisions of which other routers are told at a time: clients judge as many as they like."""
_TRIES: Final = 3
_RETRY_S: Final = 2.0
_SIGNALS: Final = frozenset(signal.value for signal in Signal)
_log = logging.getLogger("graftwork.router")

Elsewhere = Callable[[str], Awaitable[None]]
"""Has the other routers keep a decision's exchange, if one of them remembers it."""


@dataclass(slots=True, eq=False)
class _Later:
    """What became known of a request."""

    decision_id: str
    signs: Mapping[str, str]
    details: Mapping[str, Any]
    finished: Finished | None
    at: float = field(default_factory=time.time)
    size: int = 1024


_Job = Finished | _Later


class Captures:
    """Of one router. Belongs to the event loop that ``start`` is called on.

    Args:
        config: what may be kept.
        entries: redacts.
        spool: keeps what is on its way.
        counts: for metrics.
        wake: told that the spool has something to deliver.
        elsewhere: the other routers.
        repeats: notices what is asked again.
    """

    def __init__(
        self,
        config: CaptureConfig,
        entries: Entries,
        spool: Spool,
        counts: CaptureCounts,
        elsewhere: Elsewhere,
        repeats: Repeats,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.consent = Consent(config)
        self.recent = Recent(config.recent, config.recent_mb * 2**20, config.recent_s)
        self.wake = wake
        self._entries = entries
        self._spool = spool
        self._counts = counts
        self._elsewhere = elsewhere
        self._repeats = repeats
        self._queues: tuple[deque[_Job], deque[_Job]] = (deque(), deque())
        """What matters, and what is only sampled."""
        self._bytes = 0
        self._unwritten = Unwritten(spool, counts)
        self._something = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._telling: set[asyncio.Task[None]] = set()
        self._now: _Job | None = None
        self._asked = 0
        """Requests that were answered since the start."""

    # On the request path

    def tap(self, exchange: Exchange) -> Tap | None:
        """Keeps a copy of the answer, where somebody will read it."""
        if exchange.decision.shadow is None and not self._keeps(exchange):
            return None
        return BoundedCopy(exchange)

    def _keeps(self, exchange: Exchange) -> bool:
        return exchange.decision.ruling.review is not None or self._trains(exchange)

    def _trains(self, exchange: Exchange) -> bool:
        """Whether it may be learned from: who asks consented, and did not say no this time."""
        request = exchange.request
        if request.hints.no_capture or request.endpoint is Endpoint.EMBEDDINGS:
            return False
        caller = request.caller
        is_local = caller is not None and caller.is_local
        return self.consent.of(request.tenant, is_local=is_local).consent

    def follow(self, exchange: Exchange) -> None:
        """Take an answered request on, if it may be kept."""
        self._asked += 1
        raw = exchange.delivery.captured
        trains = self._trains(exchange)
        if not _is_answered(exchange) or not (trains or exchange.decision.ruling.review):
            return
        if raw is None or exchange.delivery.cut:
            if exchange.account.error is None:
                self._counts.dropped(Dropped.TOO_LARGE)
                return
            raw = b""
        told = bool(exchange.decision.ruling.review) or _tells(exchange)
        wanted = told or self._sampled(exchange)
        finished = Finished(exchange, raw, trains, wanted)
        if trains:
            self.recent.add(finished)
        self._put(finished, urgent=told)

    def _sampled(self, exchange: Exchange) -> bool:
        """A conversation is sampled as a whole; the same one always falls out the same way."""
        request = exchange.request
        is_local = request.caller is not None and request.caller.is_local
        share = self.consent.of(request.tenant, is_local=is_local).share
        name = request.hints.session or request.decision_id
        chance = int.from_bytes(blake2b(name.encode("utf-8", "replace"), digest_size=8).digest())
        return chance < share * 2**64

    # What becomes known later

    def tell(
        self, decision_id: str, signs: Mapping[str, str], details: Mapping[str, Any] | None = None
    ) -> None:
        """Something speaks for keeping an exchange: signals, each with its reason, and details.

        Only of a request that may be learned from; its texts are redacted here.
        """
        finished = self.recent.find(decision_id)
        if finished is None:
            self._elsewhere_too(decision_id)
        else:
            finished.also |= {} if finished.taken else dict(signs)
            self._keep(finished)
        self._put(_Later(decision_id, dict(signs), dict(details or {}), finished), urgent=True)

    def compared(self, exchange: Exchange, option: Option, secret: str, agreement: float) -> None:
        """A candidate answered the same in secret; what differs is worth a look."""
        sign = of_shadow(agreement)
        if sign is not None and self._trains(exchange):
            answer = {"target": option.target, "response": secret}
            why = f"agreement {agreement:.3f}"
            self.tell(exchange.request.decision_id, {sign.value: why}, {ANSWERS: [answer]})

    def keep(self, decision_id: str) -> bool:
        """Keep an exchange for which something speaks, if it is remembered here."""
        finished = self.recent.find(decision_id)
        if finished is not None:
            self._keep(finished)
        return finished is not None

    def _keep(self, finished: Finished) -> None:
        if not finished.taken:
            finished.wanted = True
            self._put(finished, urgent=True)

    def _elsewhere_too(self, decision_id: str) -> None:
        if len(self._telling) >= _TOLD_AT_ONCE:
            self._counts.dropped(Dropped.BUSY)
            return
        task = asyncio.create_task(_quietly(self._elsewhere(decision_id)))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    # In the background

    def _put(self, job: _Job, *, urgent: bool) -> None:
        queue = self._queues[0] if urgent else self._queues[1]
        queue.append(job)
        self._bytes += job.size
        while self.queued > QUEUED or self._bytes > _QUEUED_BYTES:
            oldest = (self._queues[1] or self._queues[0]).popleft()
            self._bytes -= oldest.size
            self._counts.dropped(Dropped.BUSY)
        self._something.set()

    def start(self) -> None:
        """Begin to work."""
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._write())]

    async def _work(self) -> None:
        await self._entries.ready()
        while True:
            job = self._next()
            if job is None:
                self._something.clear()
                await self._something.wait()
                continue
            began, asked = time.perf_counter(), self._asked
            self._now = job
            try:
                await self._do(job)
            except Exception as error:  # noqa: BLE001 - the next one is worked on all the same
                # The message may repeat what was said.
                _log.error("an exchange could not be kept: %s", type(error).__name__)
                self._counts.dropped(Dropped.BROKEN)
            finally:
                self._now = None
            took_s = time.perf_counter() - began
            await asyncio.sleep(min(1.0, took_s * _PAUSE) if self._asked != asked else 0)

    def _next(self) -> _Job | None:
        for queue in self._queues:
            if queue:
                job = queue.popleft()
                self._bytes -= job.size
                return job
        return None

    async def _do(self, job: _Job) -> None:
        for turn in range(_TRIES):
            try:
                await (self._later(job) if isinstance(job, _Later) else self._finished(job))
            except Unreadable:
                self._counts.dropped(Dropped.UNREADABLE)
                return
            except GuardUnavailable:
                if turn == _TRIES - 1:
                    self._counts.dropped(Dropped.GUARD)
                    return
                await asyncio.sleep(_RETRY_S * turn)
            else:
                return

    async def _finished(self, job: Finished) -> None:
        if job.trains and not job.heard:
            job.heard = True
            await self._hear(job)
        if job.taken:
            return
        answer, signs = await self._entries.look(job)
        for sign in signs:
            self._counts.saw(sign)
        if not (job.wanted or speaks(job.exchange, signs)):
            return
        told = bool(signs or job.also or job.exchange.decision.ruling.review)
        entry = await self._entries.exchange(job, answer, signs)
        job.taken = True
        self._counts.kept()
        self._spools(entry, urgent=told)

    async def _hear(self, job: Finished) -> None:
        """Tell of earlier turns what this one says of them."""
        for heard in await self._repeats.hear(job, self.recent):
            details = {}
            if heard.content_with is not None:
                answer, _ = await self._entries.look(heard.content_with)
                chosen = heard.content_with.exchange.delivery.chosen
                target = "none" if chosen is None else chosen.target
                details = {ANSWERS: [{"target": target, "response": offer_of(answer)}]}
            self.tell(heard.decision_id, heard.signs, details)

    async def _later(self, job: _Later) -> None:
        for sign in _SIGNALS.intersection(job.signs):
            self._counts.saw(Signal(sign))
        details = {**job.details, **({"signs": dict(job.signs)} if job.signs else {})}
        if job.finished is None:
            entry = await self._entries.unknown(job.decision_id, job.signs, details, job.at)
        else:
            entry = await self._entries.afterwards(job.finished, job.signs, details, job.at)
        self._spools(entry, urgent=True)

    def _spools(self, entry: Entry, *, urgent: bool) -> None:
        self._unwritten.add(Line(to_line(entry), urgent))

    async def _write(self) -> None:
        """Entries on the disk, in groups."""
        while True:
            await asyncio.sleep(_GROUP_S)
            if self._unwritten.waiting:
                await self.written()

    @property
    def queued(self) -> int:
        """Answered requests that wait to be redacted."""
        return len(self._queues[0]) + len(self._queues[1])

    @property
    def unwritten(self) -> int:
        """Redacted entries that wait for the disk."""
        return len(self._unwritten)

    def queued_of(self, subject: str) -> int:
        """How many that wait here are of a person."""
        waiting = sum(_is_of(job, subject) for queue in self._queues for job in queue)
        return waiting + (self._now is not None and _is_of(self._now, subject))

    async def drop(self, subject: str) -> int:
        """Forget those, and have what is redacted of them meanwhile on the disk; how many."""
        dropped = 0
        for queue in self._queues:
            for job in [each for each in queue if _is_of(each, subject)]:
                queue.remove(job)
                self._bytes -= job.size
                dropped += 1
        while self._now is not None and _is_of(self._now, subject):  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.01)
        await self.written()
        return dropped

    async def written(self) -> None:
        """Have all that is redacted on the disk, if it takes it."""
        if await self._unwritten.write():
            self.wake()

    async def settled(self) -> None:
        """Wait until all that was taken on is on the disk, or dropped."""
        while self._now is not None or self.queued:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(0.01)
        await self.written()

    async def aclose(self) -> None:
        """Put what is redacted on the disk, and stop."""
        tasks = [*self._tasks, *self._telling]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.written()
        await asyncio.to_thread(self._spool.close)


def _is_of(job: _Job, subject: str) -> bool:
    finished = job.finished if isinstance(job, _Later) else job
    return finished is not None and subject in finished.exchange.request.subjects


def _is_answered(exchange: Exchange) -> bool:
    account = exchange.account
    if account.error == ReviewPending.code or _is_violated(exchange):
        return True
    return account.status == 200 and account.error is None


def _is_violated(exchange: Exchange) -> bool:
    """Whether nothing went out because every answer broke a rule."""
    attempts = exchange.delivery.attempts
    return (
        bool(attempts) and attempts[-1].outcome == VIOLATED and exchange.account.error is not None
    )


def _tells(exchange: Exchange) -> bool:
    """Whether something speaks for it already; what the answer says is looked at later."""
    outcomes = (attempt.outcome for attempt in exchange.delivery.attempts)
    return exchange.delivery.review is not None or ESCALATED in outcomes


async def _quietly(asked: Awaitable[None]) -> None:
    try:
        await asked
    except Exception as error:  # noqa: BLE001 - nobody waits for it
        _log.warning("another router could not be told: %s", type(error).__name__)
