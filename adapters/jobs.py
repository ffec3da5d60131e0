"""Background work by name: started once, awaited by many, cancelled together at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from adapters.events import EventBus


class Jobs:
    """Keeps hold of tasks, since the event loop itself would let them be collected."""

    def __init__(self, events: EventBus) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._events = events
        self._closed = False

    def start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start ``work`` unless a job of that name is under way."""
        if name in self._tasks or self._closed:
            return
        task = asyncio.create_task(work(), name=name)
        self._tasks[name] = task
        task.add_done_callback(self._finished)

    def running(self, name: str) -> bool:
        """Whether a job of that name is under way."""
        return name in self._tasks

    async def wait(self, name: str, timeout_s: float | None = None) -> None:
        """Wait for the job if it is under way. Neither its failure nor our leaving touches it."""
        task = self._tasks.get(name)
        if task is not None:
            await asyncio.wait({task}, timeout=timeout_s)

    async def idle(self) -> None:
        """Wait until no job is left, those started meanwhile included."""
        while self._tasks:
            await asyncio.wait(set(self._tasks.values()))
            await asyncio.sleep(0)

    async def aclose(self) -> None:
        """Cancel every job and wait until it has ended; later starts are ignored."""
        self._closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task.get_name(), None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._events.emit("job-failed", job=task.get_name(), error=repr(error))
