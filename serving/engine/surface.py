"""An engine replica's internal ASGI app: vLLM's own routes, and the adapters it holds.

- ``GET /internal/adapters``: what the engine holds
- ``PUT``, ``DELETE /internal/adapters/{name}``: load, unload
- ``POST /internal/probe``: score prompts
- everything else goes to vLLM untouched

The count of requests under way is kept here because bytes do not pass through Ray.
"""

from __future__ import annotations

import asyncio
import time

import orjson
from pydantic import BaseModel, ConfigDict
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serving.engine.staging import Stager, StagingError
from serving.engine.vllm import Engine, EngineError, EngineRefused
from serving.internal import ASGIApp, Receive, Scope, Send

_ASK_EVERY_S = 60.0
REFUSED = "engine-refused"
"""Error code: the engine is well and will never take these files."""


class LoadBody(BaseModel):
    """Which version; the replica finds the files in the content store."""

    model_config = ConfigDict(frozen=True)

    alias: str
    digest: str


class ProbeBody(BaseModel):
    """Prompts to score, with an adapter or with the base (``name`` None)."""

    model_config = ConfigDict(frozen=True)

    name: str | None = None
    prompts: tuple[str, ...]


class EngineSurface:
    """Dispatches between vLLM's app and the adapter routes."""

    def __init__(self, engine: Engine, stager: Stager) -> None:
        self._engine = engine
        self._stager = stager
        self._vllm: ASGIApp = engine.asgi_app()
        self._control: ASGIApp = self._build_control()  # type: ignore[assignment]
        self.in_flight = 0
        self._resident: frozenset[str] = frozenset()
        self._ask_at = 0.0
        self._idle = asyncio.Event()
        self._idle.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith("/internal/"):
            await self._control(scope, receive, send)
            return
        self.in_flight += 1
        self._idle.clear()
        try:
            await self._vllm(scope, receive, send)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()

    async def drained(self) -> None:
        """Wait until no request is under way."""
        await self._idle.wait()

    def _build_control(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/internal/adapters", self._list, methods=["GET"]),
                Route("/internal/adapters/{name}", self._load, methods=["PUT"]),
                Route("/internal/adapters/{name}", self._unload, methods=["DELETE"]),
                Route("/internal/probe", self._probe, methods=["POST"]),
            ]
        )

    async def residency(self) -> frozenset[str]:
        """What the engine holds, as it last said; asked again after every change and now and then.

        Not at each call: a question makes the engine's worker spin on its queue for a second.
        """
        now = time.monotonic()
        if now >= self._ask_at:
            self._resident = await self._engine.resident()
            self._ask_at = now + _ASK_EVERY_S
        return self._resident

    async def _list(self, _: Request) -> JSONResponse:
        return JSONResponse({"resident": sorted(await self._ask())})

    async def _ask(self) -> frozenset[str]:
        self._ask_at = 0.0
        return await self.residency()

    async def _load(self, request: Request) -> JSONResponse:
        name = request.path_params["name"]
        body = LoadBody.model_validate_json(await request.body())
        if name in await self._ask():
            return JSONResponse({"seconds": 0.0, "already_resident": True})
        try:
            staged = await self._stager.stage(body.alias, body.digest)
            seconds = await self._engine.add(name, str(staged))
        except (EngineError, StagingError) as error:
            return _failed(error)
        finally:
            self._ask_at = 0.0
        return JSONResponse({"seconds": seconds, "already_resident": False})

    async def _unload(self, request: Request) -> JSONResponse:
        try:
            await self._engine.remove(request.path_params["name"])
        except EngineError as error:
            return _failed(error)
        finally:
            self._ask_at = 0.0
        return JSONResponse({})

    async def _probe(self, request: Request) -> Response:
        body = ProbeBody.model_validate_json(await request.body())
        if body.name is not None and body.name not in await self._ask():
            return _failed(EngineError(f"{body.name} is not resident"))
        scores = await self._engine.score(body.name, body.prompts)
        # orjson writes NaN as null, which the registry reads as one: a broken adapter has some.
        return Response(orjson.dumps({"logprobs": scores}), media_type="application/json")


def _failed(error: Exception) -> JSONResponse:
    code = REFUSED if isinstance(error, EngineRefused) else "failed"
    return JSONResponse({"error": {"message": str(error), "code": code}}, status_code=409)
