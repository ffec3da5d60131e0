"""How the fake frontier carries out a fault."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from dataclasses import dataclass
from typing import Final

import orjson
from aiohttp import web
from multidict import CIMultiDict

from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier_answers import error_body
from tests.fakes.frontier_streams import error_event

JSON = "application/json"
GIANT_BYTES = 17 * 1024 * 1024
PING_S = 0.05
_HUGE = "x" * 1024 * 1024
_COUNTS = re.compile(rb'"(?:usage|usageMetadata)": ?(?=\{)')
_REASONS = re.compile(rb'"(?:finish_reason|stop_reason|stopReason|finishReason)": ?"[^"]*"')
_WORD = re.compile(rb"(?<=[ \"])(?:five|frontier|well)\b")
"""Where a byte goes wrong; every text that is to be garbled has one of them."""
_IN_PARTS = {Kind.CUT, Kind.BREAK_OFF, Kind.CUT_IN_EVENT, Kind.HANG_MIDWAY, Kind.SLOW_DRIP}


@dataclass(frozen=True)
class Wanted:
    """What a request wants.

    Attributes:
        endpoint: which of the public ones its path stands for.
        streams: whether the answer is streamed.
        content_type: of the answer.
        ping: a piece of a stream that says nothing.
    """

    endpoint: str
    streams: bool
    content_type: str
    ping: bytes


WANTED: Final = web.RequestKey("wanted", Wanted)


async def fail_early(request: web.Request, fault: Fault) -> web.StreamResponse | None:
    """Faults that come before, or instead of, an answer of either form."""
    match fault.kind:
        case Kind.STATUS:
            path = request[WANTED].endpoint
            response = error_response(path, fault.status, fault.message, fault.code)
            if fault.retry_after is not None:
                response.headers["Retry-After"] = fault.retry_after
            return response
        case Kind.RESET | Kind.CLOSE:
            _drop(request, reset=fault.kind is Kind.RESET)
            return web.Response()
        case Kind.HANG_BEFORE_HEADERS:
            await _hang()
        case Kind.HANG_BEFORE_FIRST_BYTE:
            await _begin(request, length=1000)
            await _hang()
        case Kind.SLOW_START:
            await asyncio.sleep(fault.delay_s)
        case Kind.ERROR_IN_200:
            return error_response(request[WANTED].endpoint, 200, fault.message, fault.code)
        case _ if fault.kind in _INSTEAD:
            return _say_instead(request, fault.kind, request[WANTED].content_type)
    return None


def amended(said: bytes, fault: Fault | None) -> bytes:
    """An answer's or an event's bytes without what the fault leaves out, or with a wrong byte."""
    match fault.kind if fault is not None else None:
        case Kind.NO_USAGE:
            return _without_counts(said)
        case Kind.NO_FINISH:
            return _REASONS.sub(lambda found: found[0].partition(b":")[0] + b":null", said)
        case Kind.BAD_UTF8:
            return _WORD.sub(b"\xff", said)
        case _:
            return said


def _without_counts(said: bytes) -> bytes:
    found = _COUNTS.search(said)
    if found is None:
        return said
    depth, end = 0, found.end()
    while True:  # counts hold no texts, so every brace is one
        depth += {b"{": 1, b"}": -1}.get(said[end : end + 1], 0)
        end += 1
        if not depth:
            return said[: found.end()] + b"null" + _without_counts(said[end:])


def headers_for(request: web.Request, fault: Fault | None) -> CIMultiDict[str]:
    """The headers of an answer."""
    kind = fault.kind if fault is not None else None
    headers = CIMultiDict({"Content-Type": request[WANTED].content_type})
    match kind:
        case Kind.WRONG_TYPE:
            headers["Content-Type"] = "text/plain"
        case Kind.HUGE_HEADERS:
            headers["X-Huge"] = _HUGE
        case Kind.ODD_HEADERS:
            headers["content-type"] = request[WANTED].content_type.replace(
                "; charset", " ;  CHARSET"
            )
            headers.extend({"X-Twice": "one", "Set-Cookie": "a=b", "X-Empty": "", "X-Odd": "grüße"})
            headers.extend({"x-twice": "two", "Set-Cookie": "c=d", "Retry-After": "soon"})
    return headers


_INSTEAD = {
    Kind.EMPTY,
    Kind.REDIRECT,
    Kind.BAD_GZIP,
    Kind.NOT_HTTP,
    Kind.HTML,
    Kind.TWO_LENGTHS,
    Kind.OTHER_JSON,
}


def _say_instead(request: web.Request, kind: Kind, content_type: str) -> web.Response:
    """Something that is no answer."""
    match kind:
        case Kind.REDIRECT:
            return web.Response(status=307, headers={"Location": "http://127.0.0.1:9/elsewhere"})
        case Kind.BAD_GZIP:
            headers = {"Content-Encoding": "gzip", "Content-Type": content_type}
            return web.Response(body=b"not compressed at all", headers=headers)
        case Kind.NOT_HTTP:
            _say_raw(request, b"220 mail.example ESMTP ready\r\n")
            return web.Response()
        case Kind.TWO_LENGTHS:
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n"
            _say_raw(request, head.encode() + b"Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}")
            return web.Response()
        case Kind.OTHER_JSON:
            return web.json_response({"status": "ok"})
        case Kind.HTML:
            return web.Response(text="<html>Welcome</html>", content_type="text/html")
        case _:
            return web.Response(body=b"", headers={"Content-Type": content_type})


async def fail_whole(request: web.Request, content: bytes, fault: Fault) -> web.StreamResponse:
    """Faults in the course of a whole answer."""
    if fault.kind is Kind.PINGS:
        return await _ping(await _begin(request, length=1_000_000), b" ")
    if fault.kind not in _IN_PARTS:
        return _said_at_once(request, content, fault)
    response = await _begin(request, length=len(content))
    step = len(content) // 8 + 1
    for start in range(0, len(content), step):
        if fault.kind is Kind.SLOW_DRIP:
            await asyncio.sleep(fault.delay_s)
        elif start > len(content) // 2:
            if fault.kind is Kind.HANG_MIDWAY:
                await _hang()
            _drop(request, reset=fault.kind is not Kind.BREAK_OFF)
            return response
        await response.write(content[start : start + step])
    return response


def _said_at_once(request: web.Request, content: bytes, fault: Fault) -> web.Response:
    match fault.kind:
        case Kind.ERROR_MIDWAY:
            return error_response(request[WANTED].endpoint, 200, fault.message, fault.code)
        case Kind.GIANT:
            content = b'{"x":"' + b"x" * GIANT_BYTES + b'"}'
        case Kind.MALFORMED:
            content = content[:-7]
        case Kind.BAD_JSON:
            content = content[:-7] + b"}"
    return web.Response(body=content, headers=headers_for(request, fault))


async def may_pass(
    request: web.Request,
    response: web.StreamResponse,
    fault: Fault,
    number: int,
    event: bytes,
    *,
    last: bool,
) -> bool:
    """Faults in the course of a stream: whether the event is still to be sent."""
    if fault.kind is Kind.SLOW_DRIP:
        await asyncio.sleep(fault.delay_s)
    if fault.kind is Kind.NO_END and last:
        return False
    if number < fault.after:
        return True
    match fault.kind:
        case Kind.HANG_MIDWAY:
            await _hang()
        case Kind.GIANT:
            await response.write(b"data: " + b"x" * GIANT_BYTES)
            await _hang()
        case Kind.PINGS:
            await _ping(response, request[WANTED].ping)
        case Kind.BREAK_OFF | Kind.CUT | Kind.CUT_IN_EVENT:
            await _break_off(request, response, fault.kind, event)
            return False
        case Kind.ERROR_MIDWAY:
            await response.write(error_event(request[WANTED].endpoint, fault.message, fault.code))
            return False
        case Kind.MALFORMED | Kind.BAD_JSON:
            end = b"}\n\n" if fault.kind is Kind.BAD_JSON else b"\n\n"
            await response.write(b'data: {"choices":[{"delta":' + end)
            return False
    return True


async def _break_off(
    request: web.Request, response: web.StreamResponse, kind: Kind, event: bytes
) -> None:
    if kind is Kind.CUT_IN_EVENT:
        await response.write(event[: len(event) // 2])
    if kind is not Kind.BREAK_OFF:
        await asyncio.sleep(0.02)  # a reset overtakes bytes that are still under way
    _drop(request, reset=kind is not Kind.BREAK_OFF)


async def _begin(request: web.Request, length: int) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": request[WANTED].content_type})
    if not request[WANTED].streams:
        response.content_length = length
    await response.prepare(request)
    return response


def error_response(path: str, status: int, message: str, code: str | None) -> web.Response:
    """An error in the path's dialect."""
    body = orjson.dumps(error_body(path, message, code))
    return web.Response(body=body, status=status, content_type=JSON)


def _drop(request: web.Request, *, reset: bool) -> None:
    transport = request.transport
    if transport is None:
        return
    if reset:
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()


def _say_raw(request: web.Request, data: bytes) -> None:
    transport = request.transport
    if isinstance(transport, asyncio.Transport):
        transport.write(data)
        transport.close()


async def _ping(response: web.StreamResponse, data: bytes) -> web.StreamResponse:
    while True:
        await response.write(data)
        await asyncio.sleep(PING_S)


async def _hang() -> None:
    await asyncio.Event().wait()  # until the client leaves, which cancels the handler
