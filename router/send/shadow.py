"""A candidate answers in secret: after the live answer is out, the same call goes to it as well.

Nothing of it reaches the client, nothing is billed, and at most a few run at a time: when there is
no room the sample is skipped, because shadows must never delay answers.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from adapters.corpus.tools import call_of, same_calls, written
from router.account.usage import Traffic
from router.errors import RouterError
from router.exchange import HIT, Exchange
from router.replicas.table import TableHolder
from router.request import Option
from router.targets.base import Call
from router.targets.directory import Catalog
from router.wire.answered import Answered, answered
from router.wire.said import overlap

_log = logging.getLogger("graftwork.router")
_AT_ONCE: Final = 4
OnCompared = Callable[[Exchange, Option, str, float], object]
"""Told who said what instead of the live answer, and how much the two agree, 0 to 1."""
_TIMEOUT_S: Final = 120.0


class Shadow:
    """Runs and compares secret calls in the background.

    Attributes:
        failed: comparisons that came to nothing for a reason that is nobody's answer; the log says
            why. They count neither for nor against a version.
    """

    def __init__(
        self,
        catalog: Catalog,
        holder: TableHolder,
        traffic: Traffic,
        on_compared: OnCompared = lambda _exchange, _option, _secret, _agreement: None,
    ) -> None:
        self._on_compared = on_compared
        self._catalog = catalog
        self._holder = holder
        self._traffic = traffic
        self._tasks: set[asyncio.Task[None]] = set()
        self.failed = 0

    @property
    def under_way(self) -> int:
        """Secret calls now; at most 4."""
        return len(self._tasks)

    def follow(self, exchange: Exchange) -> None:
        """Start the secret call of a finished exchange that was sampled and answered."""
        option, live = exchange.decision.shadow, exchange.delivery.captured
        if (
            option is None
            or live is None
            or exchange.account.status != 200
            or exchange.account.cache == HIT
            or len(self._tasks) >= _AT_ONCE
        ):
            return
        if exchange.delivery.chosen != exchange.decision.first:
            return  # somebody else answered in its place: nothing to compare with
        task = asyncio.create_task(self._supervised(exchange, option, live))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _supervised(self, exchange: Exchange, option: Option, live: bytes) -> None:
        try:
            await self._compare(exchange, option, live)
        except Exception as error:  # noqa: BLE001 - nobody waits for it who could be told
            self.failed += 1
            # The message may repeat what was said.
            _log.error("a secret call of %s broke: %s", option.target, type(error).__name__)

    async def _compare(self, exchange: Exchange, option: Option, live: bytes) -> None:
        assert option.engine_name is not None
        request = exchange.request
        said = answered(request.endpoint, live, streamed=request.stream)
        with self._holder.pinned([option]):
            try:
                secret = await self._ask(exchange, option)
            except RouterError:
                secret = None
        agreement = None if secret is None else _agreement(secret, said)
        self._traffic.shadowed(option.engine_name, agreement)
        if secret is not None and agreement is not None:
            calls = _calls(secret)
            other = written(calls) if calls else secret.text
            self._on_compared(exchange, option, other, agreement)

    async def _ask(self, exchange: Exchange, option: Option) -> Answered | None:
        places = self._holder.places(option)
        if not places:
            return None
        target = self._catalog.local(option, places[0])
        call = Call(
            endpoint=exchange.request.endpoint,
            body=await exchange.delivery.body(option),
            stream=exchange.request.stream,
            request_id=f"{exchange.request.id}-shadow",
            timeout_s=_TIMEOUT_S,
        )
        answer = exchange.delivery.incoming(option, await target.send(call))
        try:
            raw = b"".join([piece.raw async for piece in answer.chunks()])
        finally:
            await answer.aclose()
        return answered(exchange.request.endpoint, raw, streamed=exchange.request.stream)

    async def aclose(self) -> None:
        """Stop what is under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _agreement(ours: Answered, theirs: Answered) -> float:
    """How much two answers have in common, 0 to 1; calls of tools are the same or are not."""
    if ours.calls or theirs.calls:
        return float(same_calls(_calls(ours), _calls(theirs)))
    return overlap(ours.text, theirs.text)


def _calls(answer: Answered) -> list[dict[str, Any]]:
    return [call_of(call.name, call.arguments) for call in answer.calls]
