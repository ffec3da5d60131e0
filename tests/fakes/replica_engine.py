"""An engine that behaves, behind the real surface of a replica."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adapters.store.local import LocalStore
from serving.engine.slots import Slots
from serving.engine.staging import Stager
from serving.engine.surface import EngineSurface
from serving.engine.vllm import Engine, EngineRefused, Held
from serving.engine.work import Processed
from tests.fakes.tiny_adapter import tiny_adapter


class FakeEngine(Engine):
    """Holds names; its app answers 404 for what it does not offer, and 200 when it is let."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.offered: set[str] = set()
        self.pinned: frozenset[str] = frozenset()
        self.asked = 0
        self.scored: list[str | None] = []
        self.base_score = -2.0
        self.tokens: Processed | None = None
        self.let = asyncio.Event()
        self.let.set()
        self.arrived = asyncio.Event()

    async def start(self) -> None:
        """Nothing to start."""

    def asgi_app(self) -> Any:
        """Answers under the name in the path."""

        async def app(scope: Any, receive: Any, send: Any) -> None:
            found = scope["path"].lstrip("/") in self.offered
            self.arrived.set()
            await self.let.wait()
            status = 200 if found else 404
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        return app

    async def add(self, name: str, path: str) -> Held:
        """Hold it, unless it is of the kind that no engine takes."""
        if name.startswith("bad@"):
            raise EngineRefused(f"{name} is of no use")
        self.held.add(name)
        self.offered.add(name)
        return Held(0.1, frozenset(self.held))

    def close(self, name: str) -> None:
        """Offer it no more."""
        self.offered.discard(name)

    async def pin(self, names: frozenset[str]) -> None:
        """Remember what is to keep its slot."""
        self.pinned = names

    async def remove(self, name: str) -> frozenset[str]:
        """Free it."""
        assert name not in self.offered
        self.held.discard(name)
        return frozenset(self.held)

    async def resident(self) -> frozenset[str]:
        """What it holds; each question is counted."""
        self.asked += 1
        return frozenset(self.held)

    async def score(self, name: str | None, prompts: Sequence[str]) -> list[list[float]]:
        """One token each: with an adapter another one than with the base."""
        self.scored.append(name)
        return [[-1.0 if name else self.base_score] for _ in prompts]

    def processed(self) -> Processed | None:
        """What the test says."""
        return self.tokens

    async def check(self) -> None:
        """It is well."""

    async def stop(self) -> None:
        """Nothing to stop."""


def surface_of(engine: FakeEngine, root: Path, slots: int = 2) -> EngineSurface:
    """The real surface over it; whatever is loaded, the files are the tiny adapter's."""

    class OneVersion(LocalStore):
        def path(self, alias: str, digest: str) -> Path:
            return tiny_adapter(root / "version", 1)

    return EngineSurface(engine, Stager(OneVersion(root)), Slots(slots))
