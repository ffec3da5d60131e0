"""The client of one request: its body comes from here, and its answer leaves here."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, ClassVar, Final

import orjson

from router.audit.decision import record_of, shown
from router.delivery import Outgoing, Stitched, Tap
from router.errors import RouterError, TargetBroken, error_body, unexpected
from router.exchange import Account, Exchange
from router.stages import Heading
from router.wire.asgi import (
    Bodies,
    Header,
    Present,
    Receive,
    Scope,
    Send,
    encode_headers,
    error_headers,
    send_body,
    send_json,
)
from router.wire.events import Body, Events
from router.wire.formats import FORMATS
from router.wire.formats.base import Format

_EVENT_STREAM: Final = "text/event-stream"
_MAX_WARNING: Final = 1000
_log = logging.getLogger("graftwork.router")


class Client:
    """Whom one request came from.

    Nothing that ends a response leaves before ``finish``: until then the request can be settled and
    put on record.

    Args:
        scope, receive, send: of ASGI.
        bodies: reads them.
    """

    only_asks: ClassVar[bool] = False
    """Wants to know what would be done, and no answer."""
    is_free: ClassVar[bool] = False
    """What it wants costs nothing: limits of cost say nothing about it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, bodies: Bodies) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._bodies = bodies
        self._streaming = False
        self._last = b""
        self._whole: tuple[Outgoing, bytes] | None = None
        self._error: RouterError | None = None

    async def read(self) -> bytes:
        """The body, unpacked. Raises what refuses it, and ``ClientLeft`` when it was cut."""
        return await self._bodies.read(self._scope, self._receive)

    def present(self) -> Present:
        """Inside ``with``, work ends with ``ClientLeft`` as soon as the client is gone."""
        return Present(self._receive)

    async def pass_on(
        self,
        exchange: Exchange,
        answer: Outgoing,
        taps: Iterable[Tap | None],
        first_byte: Callable[[Account], Awaitable[None]],
    ) -> None:
        """Send a stream as it comes, up to its end; read a whole answer.

        ``taps`` hear all of it; ``first_byte`` is waited for before the first byte leaves.

        Raises:
            TargetBroken: of an answer of which nothing was sent.
            RouterError: ``first_byte`` did.
        """
        heard_by = [tap for tap in taps if tap is not None]
        if not answer.content_type.startswith(_EVENT_STREAM):
            with exchange.account.stages.waiting():
                pieces = [piece async for piece in answer.chunks()]
            for tap in heard_by:
                for piece in pieces:
                    tap.hears(piece)
                tap.ends()
            self._whole = answer, b"".join([piece.raw for piece in pieces])
            _begin(exchange, answer.status)
            return
        try:
            await self._stream(exchange, answer, heard_by, first_byte)
        except TargetBroken as error:
            if not self._streaming:
                raise
            self._break_off(exchange, error)

    async def _stream(
        self,
        exchange: Exchange,
        answer: Outgoing,
        taps: Sequence[Tap],
        first_byte: Callable[[Account], Awaitable[None]],
    ) -> None:
        waiting, send, pieces = exchange.account.stages.waiting(), self._send, answer.chunks()
        wire = FORMATS[exchange.request.endpoint]
        while True:
            with waiting:
                run = await anext(pieces, None)
            for tap in taps:
                if run is None:
                    tap.ends()
                else:
                    tap.hears(run)
            if not self._streaming:
                with exchange.account.stages.within(Heading.AUDIT, "on-record"):
                    await first_byte(exchange.account)
                await self._start_stream(exchange, answer.status)
            if run is None:
                return
            chunk = run.raw
            if self._last:
                self._last += chunk
                continue
            if wire.mark in chunk and wire.ends(chunk) and isinstance(run, Events):
                chunk, self._last = _before_the_end(run, wire)
            if chunk:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def _start_stream(self, exchange: Exchange, status: int) -> None:
        self._streaming = True
        _begin(exchange, status)
        headers: list[Header] = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
            *response_headers(exchange),
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    def fail(self, exchange: Exchange, error: Exception) -> None:
        """The answer is an error, and the end of a stream that has begun is an error event."""
        if not isinstance(error, RouterError):
            _log.error("unexpected error in request %s", exchange.request.id, exc_info=error)
            error = unexpected()
        if self._streaming:
            self._break_off(exchange, error)
            return
        self._error, self._whole = error, None
        exchange.account.fails(error.status, error.code)

    def _break_off(self, exchange: Exchange, error: RouterError) -> None:
        """A stream that has begun ends with an error event in place of its end."""
        exchange.account.breaks(error.code)
        wire = FORMATS[exchange.request.endpoint]
        self._last = wire.error_events(error, number=error.sequence)

    async def finish(self, exchange: Exchange) -> None:
        """Send what is left: the end of a stream, a whole answer or an error."""
        if self._streaming:
            body = final_comment(exchange) + self._last
            await self._send({"type": "http.response.body", "body": body})
        elif self._error is not None:
            await self._refuse(exchange, self._error)
        elif self._whole is not None:
            answer, body = self._whole
            body = cited(body, exchange.context)
            kind = answer.content_type.encode("latin-1")
            await send_body(self._send, answer.status, body, kind, response_headers(exchange))

    async def _refuse(self, exchange: Exchange, error: RouterError) -> None:
        request = exchange.request
        headers = [*response_headers(exchange), *encode_headers(error_headers(error))]
        body = error_body(request.endpoint, error, request.id)
        await send_json(self._send, error.status, body, headers)


class Onlooker(Client):
    """Asks what would be done with a request."""

    only_asks = True

    async def finish(self, exchange: Exchange) -> None:
        """Send the decision, also one that leaves nobody; or why there is none."""
        if self._error is not None and not exchange.decision.options:
            await self._refuse(exchange, self._error)
            return
        decision = {"object": "decision", "dry_run": True, **shown(record_of(exchange))}
        await send_json(self._send, 200, decision, response_headers(exchange))


def _before_the_end(run: Events, wire: Format) -> tuple[bytes, bytes]:
    """What a client may read at once, and the event after which it stops reading."""
    events = list(run)
    end = next(place for place, event in enumerate(events) if wire.ends(event.raw))
    before = b"".join([event.raw for event in events[:end]])
    return before, run.raw[len(before) :]


def _begin(exchange: Exchange, status: int) -> None:
    exchange.account.begins(status, time.perf_counter() - exchange.request.started)


def final_comment(exchange: Exchange) -> bytes:
    """What is known only at the end of a stream, as an SSE comment that clients skip."""
    account, delivery, chosen = exchange.account, exchange.delivery, exchange.chosen
    facts: dict[str, Any] = {
        "decision_id": exchange.request.decision_id,
        "target": chosen.target if chosen else None,
        "attempts": len(delivery.attempts),
        "input_tokens": account.usage.input_tokens,
        "output_tokens": account.usage.output_tokens,
        "cost_usd": account.cost_usd,
        "overhead_ms": round(account.stages.overhead_s * 1000, 2),
    }
    if exchange.context.citations:
        facts["citations"] = exchange.context.citations
    if redacted := exchange.redacted():
        facts["redacted"] = redacted
    if warnings := exchange.warnings:
        facts["warnings"] = warnings
    if delivery.findings:
        facts["safety"] = account.headers["x-graftwork-safety"]
    if delivery.rescued:
        facts["rescued"] = delivery.rescued
    return b": graftwork " + orjson.dumps(facts) + b"\n\n"


def cited(body: bytes, context: Stitched) -> bytes:
    """A whole answer with what it could draw on, beside its API's own fields."""
    found = Body(body).json if context.citations else None
    if found is None or found.get("error"):
        return body
    own = found.get("graftwork")
    more = {"citations": context.citations}
    return orjson.dumps({**found, "graftwork": {**own, **more} if isinstance(own, dict) else more})


def response_headers(exchange: Exchange) -> list[Header]:
    """The contract's response headers, as far as they are known now."""
    account, intent, confidence = exchange.account, exchange.decision.intent, exchange.confidence
    rate, stages = account.rate, list(account.stages)
    timings = ", ".join([f"{each.stage};dur={each.seconds * 1000:.2f}" for each in stages])
    overhead_s = sum([each.seconds for each in stages if each.heading is not None])
    values = {
        "x-request-id": exchange.request.id,
        "x-graftwork-decision-id": exchange.request.decision_id,
        "x-graftwork-target": exchange.chosen.target if exchange.chosen else "none",
        "x-graftwork-intent": intent.name or "none",
        "x-graftwork-confidence": "none" if confidence is None else f"{confidence:.4f}",
        "x-graftwork-attempts": str(len(exchange.delivery.attempts)),
        "x-graftwork-cost-usd": f"{account.cost_usd:.9f}",
        "x-graftwork-overhead-ms": f"{overhead_s * 1000:.2f}",
        "server-timing": timings,
    }
    if rate.limit:  # none was looked up for who is not known
        values["x-ratelimit-limit-requests"] = str(rate.limit)
        values["x-ratelimit-remaining-requests"] = str(rate.remaining)
        values["x-ratelimit-reset-requests"] = f"{rate.resets_s:.0f}s"
    values |= account.headers
    if documents := exchange.context.documents:
        values["x-graftwork-context"] = ",".join(documents)
    if warnings := exchange.warnings:
        values["x-graftwork-warning"] = _named(exchange, warnings)
    if redacted := exchange.redacted():
        values["x-graftwork-redacted"] = ",".join(f"{name}={n}" for name, n in redacted.items())
    return encode_headers(values)


def _named(exchange: Exchange, warnings: list[str]) -> str:
    """In one line of plain characters, not longer than a header may be."""
    who = exchange.chosen.target if exchange.chosen else "nobody"
    text = f"not taken by {who}: {', '.join(warnings)}"
    plain = "".join(each if " " <= each <= "~" else "?" for each in text)
    return plain if len(plain) <= _MAX_WARNING else f"{plain[: _MAX_WARNING - 3]}..."
