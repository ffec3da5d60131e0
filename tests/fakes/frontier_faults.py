"""How the fake frontier carries out a fault."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import orjson
from aiohttp import web

from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier_answers import error_body
from tests.fakes.frontier_streams import error_event

JSON = "application/json"
GIANT_BYTES = 17 * 1024 * 1024
PING_S = 0.05
_IN_PARTS = {Kind.CUT, Kind.BREAK_OFF, Kind.CUT_IN_EVENT, Kind.HANG_MIDWAY, Kind.SLOW_DRIP}


async def fail_early(request: web.Request, fault: Fault) -> web.StreamResponse | None:
    """Faults that come before, or instead of, an answer of either form."""
    match fault.kind:
        case Kind.STATUS:
            response = error_response(request.path, fault.status, fault.message, fault.code)
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
            return error_response(request.path, 200, fault.message, fault.code)
        case _ if fault.kind in _INSTEAD:
            return _say_instead(request, fault.kind, _kind_of(await request.json()))
    return None


_INSTEAD = {Kind.EMPTY, Kind.REDIRECT, Kind.BAD_GZIP, Kind.NOT_HTTP, Kind.HTML}


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
        case Kind.HTML:
            return web.Response(text="<html>Welcome</html>", content_type="text/html")
        case _:
            return web.Response(body=b"", content_type=content_type)


async def fail_whole(request: web.Request, content: bytes, fault: Fault) -> web.StreamResponse:
    """Faults in the course of a whole answer."""
    if fault.kind is Kind.ERROR_MIDWAY:
        return error_response(request.path, 200, fault.message, fault.code)
    if fault.kind is Kind.GIANT:
        return web.Response(body=b'{"x":"' + b"x" * GIANT_BYTES + b'"}', content_type=JSON)
    if fault.kind is Kind.PINGS:
        return await _ping(await _begin(request, length=1_000_000), b" ")
    if fault.kind is Kind.MALFORMED:
        return web.Response(body=content[:-7], content_type=JSON)
    if fault.kind not in _IN_PARTS:
        return web.Response(body=content, content_type=JSON)
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
            await _ping(response, b": still here\n\n")
        case Kind.BREAK_OFF | Kind.CUT | Kind.CUT_IN_EVENT:
            await _break_off(request, response, fault.kind, event)
            return False
        case Kind.ERROR_MIDWAY:
            await response.write(error_event(request.path, fault.message, fault.code))
            return False
        case Kind.MALFORMED:
            await response.write(b'data: {"choices":[{"delta":\n\n')
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
    kind = _kind_of(await request.json())
    response = web.StreamResponse(headers={"Content-Type": kind})
    if kind == JSON:
        response.content_length = length
    await response.prepare(request)
    return response


def _kind_of(body: dict[str, Any]) -> str:
    return "text/event-stream" if body.get("stream") else JSON


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
