"""The newest routing table, handed to every router at its own pace.

A router's answer to a table says what it applies, so nobody has to ask it afterwards; one that is
slow or dead holds up nobody else, and gets the newest table when it answers again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from adapters.aliases import Peer, RoutingTable
from adapters.errors import FleetError
from serving.internal.reports import RouterState

Put = Callable[[Peer, bytes], Awaitable[RouterState]]
UNHEARD = RouterState(revision=-1, epoch=-1)


class Broadcast:
    """What each live router said last. ``put`` sends one a table and may raise ``FleetError``."""

    def __init__(self, put: Put, routers: Callable[[], Iterable[Peer]]) -> None:
        self._put = put
        self._routers = routers
        self._states: dict[str, RouterState] = {}
        self._revision = -1
        self._payload = b""
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._heard = asyncio.Condition()
        self._ended = False

    def send(self, table: RoutingTable) -> None:
        """Begin to hand a table to every live router; never blocks."""
        self._revision = table.revision
        self._payload = table.model_dump_json().encode()
        for router in self._routers():
            before = self._sending.get(router.id)
            if before is None or before.done():
                task = asyncio.create_task(self._send(router))
                self._sending[router.id] = task
                task.add_done_callback(partial(self._sent, router.id))

    async def _send(self, router: Peer) -> None:
        sent = -1
        while sent < self._revision:
            sent = self._revision
            try:
                await self.hear(router, await self._put(router, self._payload))
            except FleetError:
                # At its next report it is told that its table is old.
                return

    def _sent(self, identity: str, task: asyncio.Task[None]) -> None:
        if self._sending.get(identity) is task:
            del self._sending[identity]

    async def hear(self, router: Peer, state: RouterState) -> None:
        """Take what a router said about itself."""
        async with self._heard:
            alive = {peer.id for peer in self._routers()} | {router.id}
            self._states = {i: known for i, known in self._states.items() if i in alive}
            # Answers overtake each other: an older one must not take an acknowledgement back.
            if state.revision >= self._states.get(router.id, UNHEARD).revision:
                self._states[router.id] = state
            self._heard.notify_all()

    def states(self) -> dict[str, RouterState]:
        """Every live router's last word; ``UNHEARD`` for one that never spoke."""
        return {peer.id: self._states.get(peer.id, UNHEARD) for peer in self._routers()}

    async def agreed(self, holds: Callable[[RouterState], bool], timeout_s: float) -> bool:
        """Wait until what every live router says ``holds``; False when one is late."""

        def all_hold() -> bool:
            return all(map(holds, self.states().values()))

        try:
            async with asyncio.timeout(timeout_s), self._heard:
                await self._heard.wait_for(lambda: self._ended or all_hold())
                return all_hold()
        except TimeoutError:
            return False

    async def end(self) -> None:
        """No table is made any more: nobody waits for what routers would say to one."""
        async with self._heard:
            self._ended = True
            self._heard.notify_all()

    async def aclose(self) -> None:
        """Stop sending."""
        tasks = list(self._sending.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
