"""Background work by name: started once, awaited by many, cancelled together at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from adapters.events import EventBus

_log = logging.getLogger("graftwork.jobs")
Work = Callable[[], Coroutine[Any, Any, None]]


class Jobs:
    """Keeps hold of tasks, since the event loop itself would let them be collected."""

    def __init__(self, events: EventBus) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        """By name the last one; one that it is queued behind is in ``_all`` only."""
        self._all: set[asyncio.Task[None]] = set()
        self._events = events
        self._closed = False

    def start(self, name: str, work: Work) -> None:
        """Start ``work`` unless a job of that name is under way."""
        if name not in self._tasks:
            self._launch(name, work)

    def queue(self, name: str, work: Work) -> None:
        """Start ``work``, after the job of that name if one is under way."""
        before = self._tasks.get(name)
        if before is None:
            self._launch(name, work)
            return

        async def after() -> None:
            await asyncio.wait({before})
            await work()

        self._launch(name, after)

    def busy(self, name: str) -> bool:
        """Whether the job is under way."""
        return name in self._tasks

    async def wait(self, name: str, timeout_s: float | None = None) -> None:
        """Wait for the job if it is under way. Neither its failure nor our leaving touches it."""
        task = self._tasks.get(name)
        if task is not None:
            await asyncio.wait({task}, timeout=timeout_s)

    async def idle(self) -> None:
        """Wait until no job is left, those started meanwhile included."""
        while self._all:
            await asyncio.wait(set(self._all))
            await asyncio.sleep(0)

    async def aclose(self) -> None:
        """Cancel every job and wait until it has ended; later starts are ignored."""
        self._closed = True
        tasks = list(self._all)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _launch(self, name: str, work: Work) -> None:
        if self._closed:
            return
        task = asyncio.create_task(work(), name=name)
        self._tasks[name] = task
        self._all.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._all.discard(task)
        if self._tasks.get(task.get_name()) is task:
            del self._tasks[task.get_name()]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("job_failed", extra={"job": task.get_name()}, exc_info=error)
            self._events.emit("job-failed", job=task.get_name(), error=repr(error))
