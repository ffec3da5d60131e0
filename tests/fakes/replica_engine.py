"""A replica whose engine client and front end are fake; everything else is the real thing.

The client can be told to fail at any of its calls, before or after it did what it was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapters.store.lease import Lease
from adapters.store.local import LocalStore
from adapters.store.store import VersionStore
from serving.engine.loaded import COPYING, HELD, IN_SLOT, READING, LoadedAdapters
from serving.engine.slots import Slots
from serving.engine.staging import Stager
from serving.engine.surface import EngineSurface
from serving.engine.vllm import Engine
from serving.engine.work import Processed
from tests.fakes.tiny_adapter import tiny_adapter


@dataclass(frozen=True)
class FakeRequest:
    """As much of vLLM's ``LoRARequest`` as anybody looks at."""

    lora_name: str
    lora_int_id: int
    lora_path: str


Fault = Callable[[str], None]
"""Hears the call's name before it is done and again, with ``!``, after; raises to make it fail."""


class FakeClient:
    """The engine client: holds numbers. A file that is bad by its name is refused."""

    def __init__(self) -> None:
        self.errored = False
        self.held: dict[int, FakeRequest] = {}
        self.pinned: set[int] = set()
        self.loading: dict[int, FakeRequest] = {}
        """Those that come beside the steps."""
        self.asked = 0
        self.fault: Fault = lambda call: None
        self._loop = asyncio.Lock()
        self.reading: asyncio.Event | None = None
        """What a load waits for."""

    async def add_lora(self, lora_request: FakeRequest) -> bool:
        """Hold it, unless it is of the kind that no engine takes."""
        async with self._step("add_lora"):
            if self.reading is not None:
                await self.reading.wait()
            if lora_request.lora_name.startswith("bad@"):
                raise ValueError(f"{lora_request.lora_path} is of no use")
            self.held[lora_request.lora_int_id] = lora_request
        return True

    async def remove_lora(self, lora_id: int) -> bool:
        """Free it."""
        async with self._step("remove_lora"):
            assert lora_id not in self.loading, "its slot is being filled"
            gone = self.held.pop(lora_id, None)
            self.pinned.discard(lora_id)
        return gone is not None

    async def list_loras(self) -> set[int]:
        """What it holds; each question is counted."""
        async with self._step("list_loras"):
            self.asked += 1
            return set(self.held)

    async def pin_lora(self, lora_id: int) -> bool:
        """Keep its slot."""
        async with self._step("pin_lora"):
            self.pinned.add(lora_id)
        return True

    async def collective_rpc(self, method: str, *, args: tuple[Any, ...] = ()) -> list[Any]:
        """What the worker's extension does: unpin, and load beside the steps."""
        async with self._step(method):
            return [getattr(self, f"_{method.removeprefix('graftwork_')}")(*args)]

    def _unpin(self, number: int) -> None:
        self.pinned.discard(number)

    def _begin(self, name: str, number: int, path: str) -> str:
        self.loading = {number: FakeRequest(name, number, path)}
        return READING

    def _advance(self, number: int) -> str:
        """At the second look it is held."""
        request = self.loading.get(number)
        if request is None:
            return IN_SLOT if number in self.held else HELD
        if request.lora_name.startswith("bad@"):
            raise ValueError(f"{request.lora_path} is of no use")
        if number in self.held:
            del self.loading[number]
            return IN_SLOT
        self.held[number] = request
        return COPYING

    def _abandon(self, number: int) -> None:
        if self.loading.pop(number, None) is not None:
            self.held.pop(number, None)

    @asynccontextmanager
    async def _step(self, call: str) -> AsyncIterator[None]:
        """One call after the other, in the order in which they came, as in the engine's loop."""
        async with self._loop:
            await asyncio.sleep(0)
            self.fault(call)
            yield
            self.fault(f"{call}!")


class FakeEngine(Engine):
    """Its app answers 404 for a name that is not served, and 200 when it is let."""

    def __init__(self) -> None:
        self.client = FakeClient()
        self.front: dict[str, FakeRequest] = {}
        self._adapters = LoadedAdapters(self.client, self.front, FakeRequest)
        self.scored: list[str | None] = []
        self.base_score = -2.0
        self.while_scoring: Callable[[str | None], Awaitable[None]] | None = None
        self.tokens: Processed | None = None
        self.let = asyncio.Event()
        self.let.set()
        self.arrived = asyncio.Event()

    @property
    def adapters(self) -> LoadedAdapters:
        """The real thing, over the fake client."""
        return self._adapters

    @property
    def held(self) -> set[str]:
        """Names of what the client holds."""
        return {request.lora_name for request in self.client.held.values()}

    @property
    def pinned(self) -> set[str]:
        """Names of what the client keeps in a slot."""
        return {self.client.held[number].lora_name for number in self.client.pinned}

    def asgi_app(self) -> Any:
        """Answers under the name in the path."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            found = scope["path"].lstrip("/") in self.front
            self.arrived.set()
            await self.let.wait()
            status = 200 if found else 404
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        return app

    async def score(self, name: str | None, prompts: Sequence[str]) -> list[list[float]]:
        """One token each: with an adapter another one than with the base."""
        if name is not None:
            self.adapters.request(name)
        self.scored.append(name)
        if self.while_scoring is not None:
            await self.while_scoring(name)
        return [[-1.0 if name else self.base_score] for _ in prompts]

    def processed(self) -> Processed | None:
        """What the test says."""
        return self.tokens


def surface_of(
    engine: FakeEngine, root: Path, slots: int = 2, store: VersionStore | None = None
) -> EngineSurface:
    """The real surface over it; without a store every version's files are the tiny adapter's."""

    class OneVersion(LocalStore):
        def lease(self, alias: str, digest: str) -> Lease:
            return Lease(tiny_adapter(root / "version", 1))

    return EngineSurface(engine, Stager(store or OneVersion(root)), Slots(slots))
