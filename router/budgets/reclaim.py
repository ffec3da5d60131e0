"""Gives back, in its name, what a router that is gone was granted and had not used.

Safe by what the tally says: it counts requests that were under way in full, so nothing that was or
may yet be charged is given back; and the ask is numbered after the holder's last one, so that one
of those which arrives late changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from router.budgets.authority import Authority, AuthorityUnreachable, LeaseAsk, LeaseWish
from router.budgets.tally import LeftBehind, left_behind, remove_ancient

RECLAIM_S = 30.0
"""Between two looks for tallies whose owners are gone."""
_AT_ONCE = 1000
_log = logging.getLogger("graftwork.budgets")


class Reclaim:
    """Looks into the folder of this machine's tallies."""

    def __init__(self, folder: Path, authority: Authority, timeout_s: float) -> None:
        self._folder = folder
        self._authority = authority
        self._timeout_s = timeout_s
        self.holders = 0
        """Routers whose leases were given back in their name."""

    async def once(self) -> None:
        """Give back what is found; what the authority did not hear is found again."""
        await asyncio.to_thread(remove_ancient, self._folder)
        for found in left_behind(self._folder):
            try:
                await self._give_back(found)
            except (AuthorityUnreachable, TimeoutError):
                return
            found.remove()
            self.holders += 1
            _log.info("lease_reclaimed", extra={"holder": found.holder})

    async def _give_back(self, found: LeftBehind) -> None:
        wishes = [
            LeaseWish(
                account=each.account,
                limit=each.limit,
                ends=each.ends,
                spent=each.used,
                want=each.used,
            )
            for each in found.accounts
        ]
        # The same parts with the same numbers each time: a part that was heard is stale then.
        for part, start in enumerate(range(0, len(wishes), _AT_ONCE), start=1):
            some = tuple(wishes[start : start + _AT_ONCE])
            ask = LeaseAsk(holder=found.holder, number=found.number + part, wishes=some)
            async with asyncio.timeout(self._timeout_s):
                await self._authority.lease(ask)
