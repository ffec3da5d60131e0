"""An engine replica's internal ASGI app: vLLM's own routes, and the adapters it holds.

- ``GET /internal/adapters``: what the engine holds
- ``PUT``, ``DELETE /internal/adapters/{name}``: load, unload
- ``PUT /internal/pins``: which adapters keep a slot of the batch
- ``POST /internal/probe``: score prompts with an adapter and with the base
- everything else goes to vLLM untouched

The count of requests under way is kept here because bytes do not pass through Ray.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapters.resources import Resource
from router.errors import Refused, RouterError
from router.prices import Work
from router.wire.table import ResourceApp, bound
from serving.engine.loaded import EngineError, EngineRefused
from serving.engine.slots import Slots
from serving.engine.staging import Stager, StagingError
from serving.engine.vllm import Engine
from serving.engine.work import BusyTime
from serving.internal import paths
from serving.internal.server import ASGIApp, Receive, Scope, Send

_ASK_EVERY_S = 60.0
_PIN_TIMEOUT_S = 5.0
_TARGET = b"x-graftwork-target"
_ADAPTER = b"adapter:"


class LoadBody(BaseModel):
    """Which version; the replica finds the files in the content store."""

    model_config = ConfigDict(frozen=True)

    alias: str
    digest: str


class PinBody(BaseModel):
    """Engine names that keep a slot of the batch; all others do not."""

    model_config = ConfigDict(frozen=True)

    names: frozenset[str]


class ProbeBody(BaseModel):
    """Prompts to score with an adapter and with the base; ``golden`` with the adapter only."""

    model_config = ConfigDict(frozen=True)

    name: str
    prompts: tuple[str, ...]
    golden: tuple[str, ...] = ()


@dataclass(frozen=True)
class Residency:
    """What requests may use on this replica, by the engine's own word."""

    answer: int
    """Which word: a higher number is a later one."""
    resident: frozenset[str]
    pinned: frozenset[str]
    """Of those, the ones that keep a slot of the batch."""


class EngineSurface:
    """Dispatches between vLLM's app and the adapter routes."""

    def __init__(self, engine: Engine, stager: Stager, slots: Slots) -> None:
        self._engine = engine
        self._adapters = engine.adapters
        self._slots = slots
        self._stager = stager
        self._vllm: ASGIApp = engine.asgi_app()
        self._control = ResourceApp(bound(_CONTROL, self), explain=_explained)
        self.in_flight = 0
        self._begun = 0
        self._probes = 0
        self._said: frozenset[str] = frozenset()
        self._answers = 0
        self._ask_at = 0.0
        self._busy = BusyTime()
        self._idle = asyncio.Event()
        self._idle.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(paths.PREFIX):
            await self._control(scope, receive, send)
            return
        self.in_flight += 1
        self._begun += 1
        self._idle.clear()
        try:
            # A look at the metrics or the models is no work.
            with self._busy if scope.get("method") == "POST" else nullcontext():
                async with self._slots.using(_adapter_of(scope)):
                    await self._vllm(scope, receive, send)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()

    async def drained(self) -> None:
        """Wait until no request is under way."""
        await self._idle.wait()

    def work(self) -> Work | None:
        """What was done since the start; None: the engine does not count tokens."""
        tokens = self._engine.processed()
        if tokens is None:
            return None
        return Work(
            busy_s=self._busy.seconds(),
            request_s=self._busy.each_s(),
            input_tokens=tokens[0],
            output_tokens=tokens[1],
        )

    async def residency(self) -> Residency:
        """What the engine holds, as it last said; asked again after a failure and now and then.

        Not at each call: a question makes the engine's worker spin on its queue for a second. While
        it does not answer, what no failed call has touched stays as it was. Never waits for a load
        that is under way: whoever reports late is taken for dead.
        """
        if time.monotonic() >= self._ask_at and not self._adapters.busy:
            with suppress(EngineError), self._asked_again():
                await self._adapters.ask()
        self._say()
        pinned = self._adapters.pinned & self._slots.pinned & self._said
        return Residency(self._answers, self._said, pinned)

    def _say(self) -> dict[str, Any]:
        """What is resident; the number tells others which of two answers is the later one."""
        self._stager.keep(self._adapters.held)
        if self._said != self._adapters.served:
            self._answers += 1
            self._said = self._adapters.served
            for name in (self._slots.held() | self._slots.pinned) - self._said:
                self._slots.drop(name)
        return {"resident": sorted(self._said), "answer": self._answers}

    @contextmanager
    def _asked_again(self) -> Iterator[None]:
        """Whatever ends the block early, the engine is asked again soon; else only now and then."""
        try:
            yield
        except BaseException:
            self._ask_at = 0.0
            raise
        self._ask_at = time.monotonic() + _ASK_EVERY_S

    async def listed(self, _: Request) -> JSONResponse:
        with self._asked_again():
            await self._adapters.ask()
        return JSONResponse(self._say())

    async def load(self, request: Request) -> JSONResponse:
        name = request.path_params["name"]
        body = LoadBody.model_validate_json(await request.body())
        async with self._stager.stage(body.alias, body.digest) as files:
            try:
                with self._asked_again():
                    held = await self._adapters.add(name, str(files))
            finally:
                self._stager.keep(self._adapters.held)
        already = held.seconds == 0.0
        if held.in_slot:
            self._slots.touch(name)
        return JSONResponse({"seconds": held.seconds, "already_resident": already, **self._say()})

    async def unload(self, request: Request) -> JSONResponse:
        name = request.path_params["name"]
        if requests := self._slots.requests(name):
            raise _refused(f"{requests} requests are under way on {name}", paths.IN_USE)
        with self._asked_again():
            # Nothing comes between the look and this: who arrives later is sent elsewhere.
            await self._adapters.remove(name)
        return JSONResponse(self._say())

    async def pin(self, request: Request) -> JSONResponse:
        names = PinBody.model_validate_json(await request.body()).names
        if len(names) >= self._slots.size:
            raise _refused(
                f"{len(names)} pins leave none of {self._slots.size} slots to others",
                paths.TOO_MANY,
            )
        # First what lets go, then the doors, then what takes: the engine never keeps a slot that a
        # request was let in for.
        await self._adapters.pin(self._slots.pinned & self._adapters.served & names)
        if not await self._slots.reserve(names, _PIN_TIMEOUT_S):
            raise _refused("every slot is in use", paths.IN_USE)
        await self._adapters.pin(names)
        for name in names:
            self._slots.touch(name)
        return JSONResponse({"pinned": sorted(names)})

    async def probe(self, request: Request) -> Response:
        body = ProbeBody.model_validate_json(await request.body())
        alone, before = not self.in_flight and not self._probes, self._begun
        self._probes += 1
        self._begun += 1
        try:
            async with self._slots.using(body.name):
                with self._busy:
                    pairs = [await self._pair(body.name, prompt) for prompt in body.prompts]
                    golden = await self._engine.score(body.name, body.golden)
        finally:
            self._probes -= 1
        said = {
            "adapter": [ours for ours, _ in pairs],
            "base": [theirs for _, theirs in pairs],
            "golden": golden,
            "quiet": alone and self._begun == before + 1,
        }
        # orjson writes NaN as null, which the registry reads as one: a broken adapter has some.
        return Response(orjson.dumps(said), media_type="application/json")

    async def _pair(self, name: str, prompt: str) -> tuple[list[float], list[float]]:
        """One prompt's scores with an adapter and with the base.

        Beside other requests both at once, so that they meet the same batch, in an order that
        chance decides: for an adapter that does nothing the two are then alike in all but name. On
        a quiet engine one after the other: alone, each is exact.
        """
        names: list[str | None] = [name, None]
        if secrets.randbelow(2):
            names.reverse()
        if self.in_flight:
            scored = await asyncio.gather(*(self._engine.score(each, [prompt]) for each in names))
        else:
            scored = [await self._engine.score(each, [prompt]) for each in names]
        by_name = {each: rows[0] for each, rows in zip(names, scored, strict=True)}
        return by_name[name], by_name[None]


def _adapter_of(scope: Scope) -> str:
    """The engine name that the router says this request is for; empty for the base."""
    for name, value in scope["headers"]:
        if name == _TARGET and value.startswith(_ADAPTER):
            return str(value.removeprefix(_ADAPTER).decode("latin-1"))
    return ""


def _refused(message: str, code: str) -> Refused:
    return Refused(409, message, code=code)


def _explained(error: Exception) -> RouterError | None:
    if not isinstance(error, (EngineError, StagingError)):
        return None
    code = paths.REFUSED if isinstance(error, EngineRefused) else paths.FAILED
    return _refused(str(error), code)


_CONTROL: tuple[Resource[EngineSurface], ...] = (
    Resource("internal", "GET", paths.ADAPTERS, EngineSurface.listed),
    Resource("internal", "PUT", paths.ADAPTER, EngineSurface.load),
    Resource("internal", "DELETE", paths.ADAPTER, EngineSurface.unload),
    Resource("internal", "PUT", paths.PINS, EngineSurface.pin),
    Resource("internal", "POST", paths.PROBE, EngineSurface.probe),
)
