"""Scale from zero: while there is no engine and somebody asks, Ray Serve is told so.

Engines report their load themselves, because bytes do not pass through Ray; with none there is
nobody to report. A call of the engine deployment that waits at Ray Serve's handle is what its
autoscaler takes as a reason for the first replica. Frontier models answer meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable


class Waker:
    """At most one call waits at a time (law 9), when one ``look`` at a time is under way.

    Args:
        call: reaches an engine; returns when there is one.
        requests: how many requests came so far.
        has_engine: whether one takes traffic.
    """

    def __init__(
        self,
        call: Callable[[], Awaitable[object]],
        requests: Callable[[], int],
        has_engine: Callable[[], bool],
    ) -> None:
        self._call = call
        self._requests = requests
        self._has_engine = has_engine
        self._seen = 0

    async def look(self) -> None:
        """Ask for an engine when requests came since the last look and there is none.

        Returns when there is one. Raises what Ray Serve raises: the next request asks again.
        """
        before, self._seen = self._seen, self._requests()
        if self._seen > before and not self._has_engine():
            await self._call()
