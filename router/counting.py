"""``/v1/messages/count_tokens``: the tokens of a conversation, counted by who would answer it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from router.admit.admission import Admission
from router.audit.requests import RequestRecords
from router.errors import Overloaded, RouterError, TargetUnavailable
from router.exchange import Exchange
from router.replicas.table import TableHolder
from router.request import Option
from router.respond import Client, response_headers
from router.targets.counting import TIMEOUT_S
from router.targets.directory import Catalog
from router.wire.asgi import Bodies, Receive, Scope, Send, encode_headers, send_json

PATH = "/v1/messages/count_tokens"


@dataclass(frozen=True)
class TokenCounts:
    """Asks targets to count."""

    holder: TableHolder
    catalog: Catalog
    admission: Admission

    async def count(self, exchange: Exchange, option: Option) -> int | None:
        """What the target of an option counts; None when it cannot.

        Raises ``TargetRejected``, ``TargetUnavailable``, ``GuardUnavailable`` and, without a
        replica or room, ``Overloaded``.
        """
        with self.admission.place(exchange.request):
            return await self._asked(exchange, option)

    async def _asked(self, exchange: Exchange, option: Option) -> int | None:
        body = await exchange.delivery.outgoing(option, exchange.request.body)
        wait_s = exchange.request.hints.timeout_s or TIMEOUT_S
        if not option.is_local:
            try:
                return await self.catalog.frontier(option).count(body, wait_s)
            except RouterError as error:
                error.message = exchange.delivery.restored(option, error.message)
                raise
        return await self._local(option, {**body, "model": option.engine_name}, wait_s)

    async def _local(self, option: Option, body: dict[str, object], wait_s: float) -> int:
        failed: TargetUnavailable | None = None
        for place in self.holder.places(option):
            try:
                return await self.catalog.local(option, place).count(body, wait_s)
            except TargetUnavailable as error:
                failed = error
        raise failed or Overloaded(f"No replica holds {option.target} now.", retry_after_s=1.0)


class TokenCounter(Client):
    """Wants to know how many tokens its messages are.

    Nothing is generated, but a target sees the text: the request is on record like any other (law
    8), from its admission on.
    """

    only_asks = True
    is_free = True

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        bodies: Bodies,
        counts: TokenCounts,
        exchange: Exchange,
        records: RequestRecords,
    ) -> None:
        super().__init__(scope, receive, send, bodies)
        self._counts = counts
        self._exchange = exchange
        self._records = records
        self._ended = False

    async def read(self) -> bytes:
        """The body, of a request that was just admitted."""
        self._records.begin(self._exchange)
        return await super().read()

    async def finish(self, exchange: Exchange) -> None:
        """Send the count, or why there is none, once it is on record. An estimate says so."""
        tokens, warning = None, None
        if self._error is None:
            tokens, warning = await self._counted(exchange)
            exchange.account.begins(200, time.perf_counter() - exchange.request.started)
        self.end()
        await self._records.last_byte(exchange.account)
        if self._error is not None:
            await self._refuse(exchange, self._error)
            return
        headers = response_headers(exchange)
        if warning is not None:
            headers += encode_headers({"x-graftwork-warning": warning})
        await send_json(self._send, 200, {"input_tokens": tokens}, headers)

    def end(self) -> None:
        """Put the end on record, whatever it is; idempotent."""
        if not self._ended:
            self._ended = True
            self._records.end(self._exchange)

    async def _counted(self, exchange: Exchange) -> tuple[int, str | None]:
        chosen = exchange.decision.first
        assert chosen is not None
        # No target sees the text before the begin of this is on the disk.
        await self._records.first_byte(exchange.account)
        tokens = await self._counts.count(exchange, chosen)
        if tokens is not None:
            return tokens, None
        warning = f"input_tokens is an estimate: {chosen.target} does not count"
        return exchange.request.needs.input_tokens, warning
