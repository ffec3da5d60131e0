"""Requests for the measurements: words that no cache has seen, counted in tokens."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.api import Api

_WORDS = ("may", "i", "return", "the", "kettle", "lamp", "sofa", "order", "after", "some", "days",
          "chair", "phone", "parcel", "refund", "gift", "card", "price")  # fmt: skip


@dataclass
class Counted:
    """What came back in some seconds."""

    seconds: float = 0.0
    answers: int = 0
    failed: int = 0
    read: int = 0
    written: int = 0

    @property
    def written_per_s(self) -> float:
        """Generated tokens."""
        return self.written / self.seconds

    @property
    def read_per_s(self) -> float:
        """Prompt tokens."""
        return self.read / self.seconds


@dataclass
class Words:
    """Texts that begin differently each time, so that no prefix is cached."""

    chance: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311

    def text(self, count: int) -> str:
        """So many words."""
        return " ".join(self.chance.choices(_WORDS, k=max(4, count)))

    def call(self, model: str, read: int, written: int) -> dict[str, Any]:
        """A completion of exactly so many tokens."""
        return {
            "model": model, "messages": [{"role": "user", "content": self.text(read)}],
            "max_tokens": written, "temperature": 0, "ignore_eos": True,
        }  # fmt: skip


async def throughput(
    api: Api, models: Sequence[str], clients: int, seconds: float, read: int, written: int
) -> Counted:
    """Closed loop; ``models`` by turns. What begins after the time is not sent."""
    words, counted = Words(random.Random(time.time_ns())), Counted()  # noqa: S311
    began = time.perf_counter()

    async def client(turn: int) -> None:
        while time.perf_counter() - began < seconds:
            turn += 1
            call = words.call(models[turn % len(models)], read, written)
            status, answer = await api.chat(call)
            if status != 200:
                counted.failed += 1
                continue
            counted.answers += 1
            counted.read += answer["usage"]["prompt_tokens"]
            counted.written += answer["usage"]["completion_tokens"]

    await asyncio.gather(*(client(turn) for turn in range(clients)))
    counted.seconds = time.perf_counter() - began
    return counted


@asynccontextmanager
async def streams(
    api: Api, model: str, number: int, written: int
) -> AsyncIterator[list[tuple[float, float]]]:
    """So many streams for the length of the block; times of tokens and the gaps before them."""
    words, stop = Words(), asyncio.Event()
    gaps: list[tuple[float, float]] = []

    async def stream() -> None:
        while not stop.is_set():
            gaps.extend([gap async for gap in api.gaps(words.call(model, 32, written))])

    tasks = [asyncio.create_task(stream()) for _ in range(number)]
    try:
        yield gaps
    finally:
        stop.set()
        await asyncio.gather(*tasks, return_exceptions=True)
