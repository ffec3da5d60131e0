"""Send to the best target that can answer; when it cannot, to the next (law 3, law 5)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from adapters.aliases import Replica
from router.catalog import Catalog
from router.config import LimitsConfig
from router.errors import (
    BudgetExceeded,
    Overloaded,
    RouterError,
    TargetRejected,
    TargetTimeout,
    TargetUnavailable,
)
from router.request import Assemble, Attempt, Exchange, Option
from router.table import TableHolder
from router.targets.base import Answer, Call, Target, Usage

_PASSED_ON = ("traceparent", "tracestate", "anthropic-version", "anthropic-beta")
MAX_ATTEMPTS = 6


class Counted:
    """An answer that tells when it is over, so that its replica's load is right."""

    def __init__(self, answer: Answer, over: Callable[[], None]) -> None:
        self._answer = answer
        self._over: Callable[[], None] | None = over
        self.status = answer.status
        self.content_type = answer.content_type

    @property
    def usage(self) -> Usage:
        """Token counts as the target reported them."""
        return self._answer.usage

    def chunks(self) -> AsyncIterator[bytes]:
        """The body's bytes as they arrive."""
        return self._answer.chunks()

    async def aclose(self) -> None:
        """Give the connection back, or cut it; idempotent."""
        over, self._over = self._over, None
        if over is not None:
            over()
        await self._answer.aclose()


class Sender:
    """Tries the permitted options in order, and for a local one its replicas in order of load."""

    def __init__(
        self, catalog: Catalog, holder: TableHolder, limits: LimitsConfig, assemble: Assemble
    ) -> None:
        self._catalog = catalog
        self._assemble = assemble
        self._holder = holder
        self._limits = limits

    async def send(self, exchange: Exchange) -> Counted:
        """The first answer whose status has arrived. Raises the last failure."""
        deadline = time.monotonic() + self._timeout_s(exchange)
        failure: RouterError | None = None
        for option in exchange.options:
            if not option.allowed or option.target in exchange.given_up:
                continue
            for target, replica in self._targets(option):
                left_s = deadline - time.monotonic()
                if left_s <= 0 or len(exchange.attempts) >= MAX_ATTEMPTS:
                    raise failure or TargetTimeout("no time left to answer")
                try:
                    await exchange.cover(option)
                    return await self._try(exchange, option, target, replica, left_s)
                except BudgetExceeded as error:  # a cheaper target may still be within the budget
                    failure = failure or error
                    break
                except (TargetUnavailable, Overloaded) as error:
                    failure = error
        raise failure or TargetUnavailable(
            f"nothing that may answer {exchange.model!r} is up; GET /readyz tells more", status=503
        )

    def _timeout_s(self, exchange: Exchange) -> float:
        limit = self._limits.request_timeout_s
        return min(limit, exchange.hints.timeout_s or limit)

    def _targets(self, option: Option) -> list[tuple[Target, Replica | None]]:
        if option.is_local:
            places = self._holder.places(option)
            return [(self._catalog.local(option, place), place) for place in places]
        return [(self._catalog.frontier(option), None)]

    async def _try(
        self,
        exchange: Exchange,
        option: Option,
        target: Target,
        replica: Replica | None,
        left_s: float,
    ) -> Counted:
        attempt = Attempt(option, replica.id if replica else None)
        exchange.attempts.append(attempt)
        exchange.chosen = option
        started = time.perf_counter()
        try:
            answer = await self._call(exchange, option, target, replica, left_s)
            attempt.outcome = "ok"
            attempt.usage = answer.usage
            return answer
        except TargetRejected as error:
            attempt.outcome = f"rejected {error.status}"
            raise
        except RouterError as error:
            attempt.outcome = error.code
            raise
        finally:
            attempt.seconds = time.perf_counter() - started

    async def _call(
        self,
        exchange: Exchange,
        option: Option,
        target: Target,
        replica: Replica | None,
        left_s: float,
    ) -> Counted:
        call = _call(exchange, self._assemble(exchange, option), left_s)
        if replica is None or option.engine_name is None:
            return Counted(await target.send(call), _nothing)
        name = option.engine_name
        queue = self._holder.queues.of(replica.id, exchange.table.base_id)
        await queue.acquire(name, exchange.priority)
        try:
            answer = await target.send(call)
        except BaseException as error:
            queue.release(name)
            if isinstance(error, TargetUnavailable):
                self._holder.suspect(replica)
            raise
        return Counted(answer, lambda: queue.release(name))


def _call(exchange: Exchange, body: dict[str, Any], timeout_s: float) -> Call:
    headers = {name: exchange.headers[name] for name in _PASSED_ON if name in exchange.headers}
    return Call(
        endpoint=exchange.endpoint,
        body=body,
        stream=exchange.stream,
        request_id=exchange.request_id,
        timeout_s=timeout_s,
        headers=headers,
    )


def _nothing() -> None:
    return None
