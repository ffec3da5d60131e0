"""From a target's answer to the client: headers of the contract, bytes as they arrive, the end."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import orjson

from router.errors import RouterError, TargetBroken, error_body
from router.judge.watched import Outgoing
from router.pipeline import Pipeline
from router.request import Exchange
from router.wire.asgi import Header, Send, encode_headers, error_headers, send_body, send_json
from router.wire.sse import error_event

_EVENT_STREAM = "text/event-stream"


async def respond(pipeline: Pipeline, exchange: Exchange, answer: Outgoing, send: Send) -> None:
    """Pass the answer on; the answer is closed in any case."""
    try:
        chunks = pipeline.outbound(exchange, answer)
        if answer.content_type.startswith(_EVENT_STREAM):
            await _stream(pipeline, exchange, answer, chunks, send)
        else:
            await _whole(pipeline, exchange, answer, chunks, send)
    finally:
        await answer.aclose()


async def _whole(
    pipeline: Pipeline,
    exchange: Exchange,
    answer: Outgoing,
    chunks: AsyncIterator[bytes],
    send: Send,
) -> None:
    body = b"".join([chunk async for chunk in chunks])
    exchange.account.begins(answer.status, time.perf_counter() - exchange.request.started)
    pipeline.price(exchange)
    headers = response_headers(exchange)
    await send_body(send, answer.status, body, answer.content_type.encode("latin-1"), headers)


async def _stream(
    pipeline: Pipeline,
    exchange: Exchange,
    answer: Outgoing,
    chunks: AsyncIterator[bytes],
    send: Send,
) -> None:
    started = False
    try:
        async for chunk in chunks:
            if not started:
                started = True
                await _start_stream(exchange, answer.status, send)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except TargetBroken as error:
        exchange.account.breaks(error.code)
        if not started:
            raise
        body = error_event(
            exchange.request.endpoint,
            error.message,
            code=error.code,
            kind=error.type,
            sequence=error.sequence,
        )
        await send({"type": "http.response.body", "body": body, "more_body": True})
    if not started:
        await _start_stream(exchange, answer.status, send)
    pipeline.price(exchange)
    await send({"type": "http.response.body", "body": final_comment(exchange)})


async def _start_stream(exchange: Exchange, status: int, send: Send) -> None:
    exchange.account.begins(status, time.perf_counter() - exchange.request.started)
    headers: list[Header] = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
        *response_headers(exchange),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})


def final_comment(exchange: Exchange) -> bytes:
    """What is known only at the end of a stream, as an SSE comment that clients skip."""
    facts: dict[str, Any] = {
        "decision_id": exchange.request.decision_id,
        "target": exchange.chosen.target if exchange.chosen else None,
        "attempts": len(exchange.delivery.attempts),
        "input_tokens": exchange.account.usage.input_tokens,
        "output_tokens": exchange.account.usage.output_tokens,
        "cost_usd": exchange.account.cost_usd,
    }
    rescued = [note for note in exchange.delivery.notes if "rescued" in note]
    if rescued:
        facts["rescued"] = rescued
    return b": graftwork " + orjson.dumps(facts) + b"\n\n"


async def respond_error(exchange: Exchange, error: RouterError, send: Send) -> None:
    """An error as a complete response."""
    exchange.account.fails(error.status, error.code)
    headers = [*response_headers(exchange), *encode_headers(error_headers(error))]
    request = exchange.request
    await send_json(send, error.status, error_body(request.endpoint, error, request.id), headers)


def response_headers(exchange: Exchange) -> list[Header]:
    """The contract's response headers, as far as they are known now."""
    account, intent, confidence = exchange.account, exchange.decision.intent, exchange.confidence
    rate, stages = account.rate, account.stages
    timings = ", ".join(f"{each.stage};dur={each.seconds * 1000:.2f}" for each in stages)
    values = {
        "x-request-id": exchange.request.id,
        "x-graftwork-decision-id": exchange.request.decision_id,
        "x-graftwork-target": exchange.chosen.target if exchange.chosen else "none",
        "x-graftwork-intent": intent.name or "none",
        "x-graftwork-confidence": "none" if confidence is None else f"{confidence:.4f}",
        "x-graftwork-attempts": str(len(exchange.delivery.attempts)),
        "x-graftwork-cost-usd": f"{exchange.account.cost_usd:.8f}",
        "x-graftwork-overhead-ms": f"{stages.overhead_s * 1000:.2f}",
        "x-ratelimit-limit-requests": str(rate.limit),
        "x-ratelimit-remaining-requests": str(rate.remaining),
        "x-ratelimit-reset-requests": f"{rate.resets_s:.0f}s",
        "server-timing": timings,
        **exchange.account.headers,
    }
    return encode_headers(values)
