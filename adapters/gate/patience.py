"""How long a test of the gate may take: nobody waits for ever for a target that has fallen silent.

A test holds up every later version of its alias. It ends when nothing has come for a while, whoever
is asked, and at the latest when its time is over.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TypeVar

from adapters.errors import GateOverdue

_T = TypeVar("_T")


class Patience:
    """Of one test. ``stall_s``: without any answer; ``limit_s``: of the whole test; seconds."""

    def __init__(self, stall_s: float, limit_s: float) -> None:
        self._stall_s = stall_s
        self._limit_s = limit_s
        self._waits_for: Counter[str] = Counter()
        self._came = 0
        self._ends = 0.0
        self._timeout: asyncio.Timeout | None = None

    @asynccontextmanager
    async def ends(self) -> AsyncIterator[None]:
        """The block is the test. Raises ``GateOverdue``."""
        now = asyncio.get_running_loop().time()
        self._ends = now + self._limit_s
        try:
            async with asyncio.timeout_at(self._until(now)) as self._timeout:
                yield
        except TimeoutError:
            if self._timeout is None or not self._timeout.expired():
                raise
            raise GateOverdue(self._reason()) from None

    def moved(self) -> None:
        """Something was done."""
        self._came += 1
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(self._until(asyncio.get_running_loop().time()))

    async def answer_of(self, who: str, answer: Awaitable[_T]) -> _T:
        """Wait for an answer, so that it can be said whose did not come."""
        self._waits_for[who] += 1
        # Not put right when it ends otherwise: then the test ends, and this is who held it up.
        said = await answer
        self._waits_for[who] -= 1
        self.moved()
        return said

    def _until(self, now: float) -> float:
        return min(now + self._stall_s, self._ends)

    def _reason(self) -> str:
        late = asyncio.get_running_loop().time() >= self._ends
        silent = ", ".join(sorted(+self._waits_for)) or "somebody who looks at answers"
        if late:
            return (
                f"the test was not done in {self._limit_s:g} s, after {self._came} steps; it waited"
                f" for {silent}"
            )
        return (
            f"the test stood still for {self._stall_s:g} s, after {self._came} steps: no answer of "
            f"{silent}"
        )
