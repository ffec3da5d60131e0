"""The smallest possible door: one target served over HTTP, so that official SDKs can talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from aiohttp import web

from router.errors import RouterError, TargetBroken
from router.targets.base import Call, Target
from router.wire.endpoint import Endpoint
from router.wire.formats import FORMATS


@asynccontextmanager
async def door(target: Target) -> AsyncIterator[str]:
    """Serve ``target`` on loopback; yields the base URL, without ``/v1``."""

    async def serve(request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        headers = {name.lower(): value for name, value in request.headers.items()}
        endpoint = Endpoint(request.path)
        call = Call(endpoint, body, bool(body.get("stream")), "req-door", 10.0, headers)
        return await _answer(request, target, call)

    app = web.Application()
    for endpoint in Endpoint:
        app.router.add_post(endpoint, serve)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _answer(request: web.Request, target: Target, call: Call) -> web.StreamResponse:
    try:
        answer = await target.send(call)
    except RouterError as error:
        return web.json_response(error.body(), status=error.status)
    response = web.StreamResponse(headers={"Content-Type": answer.content_type})
    await response.prepare(request)
    try:
        async for chunk in answer.chunks():
            await response.write(chunk.raw)
    except TargetBroken as error:
        await response.write(FORMATS[call.endpoint].error_events(error))
    finally:
        await answer.aclose()
    await response.write_eof()
    return response
