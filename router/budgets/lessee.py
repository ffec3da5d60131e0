"""Keeps leased limits filled: asks the authority ahead of need, and at once when one is short.

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
    LeaseWish,
)
from router.budgets.leased import LeasedLimit, LeasedLimits
from router.budgets.tally import Tally
from router.config.budgets import BudgetsConfig

BEAT_S = 1.0
"""Between two looks ahead."""
QUIET_S = 0.5
"""After an authority did not answer, requests do not wait for it again so soon."""
_AT_ONCE = 1000
"""Wishes in one ask at most."""
_AHEAD_BEATS = 60
"""A leased limit holds what it uses in so many beats, if it may: the registry may be away for so
long without anybody noticing."""
_CALMER = 0.8
"""What is left of a pace after a beat in which less was used."""
_BURST = 4
"""When a leased part turns out short, so many times the shortage is asked for on top."""
_SCARCE = 10
"""Below a tenth of the limit nobody keeps anything ahead of need."""
_log = logging.getLogger("graftwork.budgets")


class Lessee:
    """One holder of leases. Belongs to one event loop."""

    def __init__(
        self,
        leased_limits: LeasedLimits,
        authority: Authority,
        holder: str,
        config: BudgetsConfig,
        tally: Tally | None = None,
    ) -> None:
        self.holder = holder
        self._tally = tally
        self._leased_limits = leased_limits
        self._authority = authority
        self._config = config
        self._number = 0
        self._short: dict[int, LeasedLimit] = {}
        self._next: asyncio.Future[bool] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._quiet_until = 0.0
        self._leaving = False
        self.reached = True
        """Whether the authority answered the last ask."""

    async def more(self, short: Sequence[tuple[LeasedLimit, int]]) -> bool:
        """Ask for what leased_limits are short of; returns whether the authority answered.

        Waits for the network, never for a disk of this machine, and only for a request that the
        leases at hand do not cover.
        """
        if asyncio.get_running_loop().time() < self._quiet_until:
            return False
        for leased, amount in short:
            leased.asked += amount
            self._short[id(leased)] = leased
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        answered = self._next
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_while_short())
        try:
            return await asyncio.shield(answered)
        finally:
            for leased, amount in short:
                leased.asked -= amount

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

    async def look_ahead(self) -> None:
        """Report what was used, give back what is not needed, get what soon will be."""
        async with self._turn:
            over = self._leased_limits.over()
            self._leased_limits.drop(over)
            for leased in over:
                leased.granted, leased.free = min(leased.granted, leased.spent), 0
            changed = [
                leased
                for leased in (*over, *self._leased_limits.all())
                if leased.reported != (leased.spent, self._want(leased))
            ]
            for start in range(0, len(changed), _AT_ONCE):
                await self._ask(changed[start : start + _AT_ONCE])
            for leased in self._leased_limits.all():
                used = leased.spent + leased.held
                leased.pace = max(used - leased.used_before, leased.pace * _CALMER)
                leased.used_before = used

    async def _ask(self, leased_limits: Sequence[LeasedLimit]) -> bool:
        wishes = []
        for leased in leased_limits:
            want = self._want(leased)
            if not self.reached and not self._leaving:
                want = max(want, leased.granted)  # nothing is offered to who may not hear it
            leased.granted = min(leased.granted, want)
            wishes.append(_wish(leased, want))
        self._number += 1
        if self._tally is not None:
            self._tally.asked(self._number)
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
        _apply(leased_limits, ask, answer)
        return True

    def _want(self, leased: LeasedLimit) -> int:
        used, limit = leased.spent + leased.held, leased.account.limit
        if leased.free is not None and leased.free * _SCARCE < limit:
            return used + leased.asked
        pace = max(used - leased.used_before, leased.pace)
        ahead = max(int(pace * _AHEAD_BEATS), leased.asked * _BURST)
        ahead = min(ahead, int(limit * self._config.lease_share))
        return used + leased.asked + ahead

    async def aclose(self) -> None:
        """Give back everything that is not used up."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        leased_limits = list(self._leased_limits.all())
        for leased in leased_limits:
            leased.granted = min(leased.granted, leased.spent + leased.held)
            leased.used_before, leased.pace, leased.free = leased.spent + leased.held, 0.0, 0
        self._leaving = True
        given_back = await self._ask(leased_limits)
        if self._tally is not None:
            self._tally.close(settled=given_back)


def _wish(leased: LeasedLimit, want: int) -> LeaseWish:
    account = leased.account
    return LeaseWish(
        account=account.id,
        budget=account.budget,
        metric=account.metric.value,
        window=account.window,
        limit=account.limit,
        ends=account.ends,
        spent=leased.spent,
        want=want,
    )


def _apply(leased_limits: Sequence[LeasedLimit], ask: LeaseAsk, answer: LeaseAnswer) -> None:
    found = {lease.account: lease for lease in answer.leases}
    for leased, wish in zip(leased_limits, ask.wishes, strict=True):
        lease = found.get(wish.account)
        if lease is not None:
            leased.granted, leased.free, leased.used = lease.granted, lease.free, lease.used
            leased.reported = (wish.spent, wish.want)
