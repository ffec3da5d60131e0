"""``/v1/messages/count_tokens``: the tokens of a conversation, counted by who would answer it."""

from __future__ import annotations

from dataclasses import dataclass

from router.errors import Overloaded, TargetUnavailable
from router.exchange import Exchange
from router.replicas.table import TableHolder
from router.request import Option
from router.respond import Client, response_headers
from router.targets.directory import Catalog
from router.wire.asgi import Receive, Scope, Send, encode_headers, send_json
from router.wire.body import Bodies

PATH = "/v1/messages/count_tokens"


@dataclass(frozen=True)
class TokenCounts:
    """Asks targets to count."""

    holder: TableHolder
    catalog: Catalog

    async def count(self, exchange: Exchange, option: Option) -> int | None:
        """What the target of an option counts; None when it cannot.

        Raises ``TargetRejected``, ``TargetUnavailable`` and, without a replica, ``Overloaded``.
        """
        body = exchange.request.body
        if not option.is_local:
            return await self.catalog.frontier(option).count(body)
        return await self._local(option, {**body, "model": option.engine_name})

    async def _local(self, option: Option, body: dict[str, object]) -> int:
        failed: TargetUnavailable | None = None
        for place in self.holder.places(option):
            try:
                return await self.catalog.local(option, place).count(body)
            except TargetUnavailable as error:
                failed = error
        raise failed or Overloaded(f"No replica holds {option.target} now.", retry_after_s=1.0)


class TokenCounter(Client):
    """Wants to know how many tokens its messages are."""

    only_asks = True

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, bodies: Bodies, counts: TokenCounts
    ) -> None:
        super().__init__(scope, receive, send, bodies)
        self._counts = counts

    async def finish(self, exchange: Exchange) -> None:
        """Send the count, or why there is none. An estimate says that it is one."""
        if self._error is not None:
            await self._refuse(exchange, self._error)
            return
        chosen = exchange.decision.first
        assert chosen is not None
        tokens = await self._counts.count(exchange, chosen)
        headers = response_headers(exchange)
        if tokens is None:
            tokens = exchange.request.needs.input_tokens
            warning = f"input_tokens is an estimate: {chosen.target} does not count"
            headers += encode_headers({"x-graftwork-warning": warning})
        await send_json(self._send, 200, {"input_tokens": tokens}, headers)
