"""Keeps the purses filled: asks the authority ahead of need, and at once when a purse is short.

One ask is under way at a time, and each carries all wishes that came up meanwhile. Before an ask
that gives something back is sent, the router stops spending that part; what an answer grants is
spent only after it arrived. So at no moment do the routers together own more than the authority has
counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from router.budgets.authority import (
    Authority,
    AuthorityUnreachable,
    LeaseAnswer,
    LeaseAsk,
    Wish,
)
from router.budgets.purses import Purse, Purses
from router.config.budgets import BudgetsConfig

BEAT_S = 1.0
"""Between two looks ahead."""
QUIET_S = 0.5
"""After an authority did not answer, requests do not wait for it again so soon."""
_AT_ONCE = 1000
"""Wishes in one ask at most."""
_AHEAD_BEATS = 60
"""A purse holds what it uses in so many beats, if the limit allows: the registry may be away for so
long without anybody noticing."""
_CALMER = 0.8
"""What is left of a pace after a beat in which less was used."""
_BURST = 4
"""When a purse turns out short, so many times the shortage is asked for on top."""
_SCARCE = 10
"""Below a tenth of the limit nobody keeps anything ahead of need."""
_log = logging.getLogger("graftwork.budgets")


class Lessee:
    """One holder of leases. Belongs to one event loop."""

    def __init__(
        self, purses: Purses, authority: Authority, holder: str, config: BudgetsConfig
    ) -> None:
        self.holder = holder
        self._purses = purses
        self._authority = authority
        self._config = config
        self._number = 0
        self._short: dict[int, Purse] = {}
        self._next: asyncio.Future[bool] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._beating: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._quiet_until = 0.0
        self._leaving = False
        self.reached = True
        """Whether the authority answered the last ask."""

    def start(self) -> None:
        """Begin to look ahead in the background."""
        self._beating = asyncio.create_task(self._beat())

    async def more(self, short: Sequence[tuple[Purse, int]]) -> bool:
        """Ask for what purses are short of; returns whether the authority answered.

        Waits for the network, never for a disk of this machine, and only for a request that the
        leases at hand do not cover.
        """
        if asyncio.get_running_loop().time() < self._quiet_until:
            return False
        for purse, amount in short:
            purse.asked += amount
            self._short[id(purse)] = purse
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        answered = self._next
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_while_short())
        try:
            return await asyncio.shield(answered)
        finally:
            for purse, amount in short:
                purse.asked -= amount

    async def _ask_while_short(self) -> None:
        answered = self._next
        try:
            while self._next is not None:
                async with self._turn:
                    # Wishes that come up from here on have to wait for the next ask.
                    answered, self._next = self._next, None
                    short, self._short = list(self._short.values()), {}
                    answered.set_result(await self._ask(short))
        finally:
            self._asking = None
            for waiting in (answered, self._next):
                if waiting is not None and not waiting.done():
                    waiting.set_result(False)
            self._next = None

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                await self.look_ahead()
            except Exception:  # noqa: BLE001 - one odd answer must not end the renewals
                _log.exception("leases of budgets could not be renewed")

    async def look_ahead(self) -> None:
        """Report what was used, give back what is not needed, get what soon will be."""
        async with self._turn:
            over = self._purses.over()
            self._purses.drop(over)
            for purse in over:
                purse.granted, purse.free = min(purse.granted, purse.spent), 0
            changed = [
                purse
                for purse in (*over, *self._purses.all())
                if purse.told != (purse.spent, self._want(purse))
            ]
            for start in range(0, len(changed), _AT_ONCE):
                await self._ask(changed[start : start + _AT_ONCE])
            for purse in self._purses.all():
                used = purse.spent + purse.held
                purse.pace = max(used - purse.used_before, purse.pace * _CALMER)
                purse.used_before = used

    async def _ask(self, purses: Sequence[Purse]) -> bool:
        wishes = []
        for purse in purses:
            want = self._want(purse)
            if not self.reached and not self._leaving:
                want = max(want, purse.granted)  # nothing is offered to who may not hear it
            purse.granted = min(purse.granted, want)
            wishes.append(_wish(purse, want))
        self._number += 1
        ask = LeaseAsk(holder=self.holder, number=self._number, wishes=tuple(wishes))
        try:
            async with asyncio.timeout(self._config.grant_timeout_s):
                answer = await self._authority.lease(ask)
        except (AuthorityUnreachable, TimeoutError) as error:
            if self.reached:
                _log.warning("the authority over budgets does not answer: %s", error)
            self.reached = False
            self._quiet_until = asyncio.get_running_loop().time() + QUIET_S
            return False
        self.reached, self._quiet_until = True, 0.0
        _apply(purses, ask, answer)
        return True

    def _want(self, purse: Purse) -> int:
        used, limit = purse.spent + purse.held, purse.account.limit
        if purse.free is not None and purse.free * _SCARCE < limit:
            return used + purse.asked
        pace = max(used - purse.used_before, purse.pace)
        ahead = max(int(pace * _AHEAD_BEATS), purse.asked * _BURST)
        ahead = min(ahead, int(limit * self._config.lease_share))
        return used + purse.asked + ahead

    async def aclose(self) -> None:
        """Give back everything that is not used up."""
        for task in (self._beating, self._asking):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        purses = list(self._purses.all())
        for purse in purses:
            purse.granted = min(purse.granted, purse.spent + purse.held)
            purse.used_before, purse.pace, purse.free = purse.spent + purse.held, 0.0, 0
        self._leaving = True
        await self._ask(purses)


def _wish(purse: Purse, want: int) -> Wish:
    account = purse.account
    return Wish(
        account=account.id,
        budget=account.budget,
        metric=account.metric.value,
        window=account.window,
        limit=account.limit,
        ends=account.ends,
        spent=purse.spent,
        want=want,
    )


def _apply(purses: Sequence[Purse], ask: LeaseAsk, answer: LeaseAnswer) -> None:
    found = {lease.account: lease for lease in answer.leases}
    for purse, wish in zip(purses, ask.wishes, strict=True):
        lease = found.get(wish.account)
        if lease is not None:
            purse.granted, purse.free, purse.used = lease.granted, lease.free, lease.used
            purse.told = (wish.spent, wish.want)
