"""Budgets and usage of one router process, wired together."""

from __future__ import annotations

import asyncio
import logging
import secrets

from router.account.usage import UsageMeter
from router.budgets.amounts import Bounds
from router.budgets.authority import AuthorityUnreachable, LocalAuthority
from router.budgets.holds import Budgets
from router.budgets.leased import LeasedLimits
from router.budgets.lessee import Lessee
from router.config.budgets import BudgetsConfig
from router.replicas.table import TableHolder
from router.targets.directory import Catalog
from serving.router.authority import RegistryAccounts

REPORT_S = 1.0
"""Between two reports of usage to the registry."""
_log = logging.getLogger("graftwork.router")


class Accounting:
    """Everything about money in one router.

    Attributes:
        budgets: sets aside and settles.
        usage: counts who used what.
        leased_limits: this router's part of each limit.
    """

    def __init__(
        self, config: BudgetsConfig, catalog: Catalog, holder: TableHolder, identity: str
    ) -> None:
        # Unique per process: what a crashed predecessor held must not be taken for its own.
        self._holder_name = f"{identity}/{secrets.token_hex(4)}"
        self._registry = RegistryAccounts(holder)
        authority = LocalAuthority() if config.authority == "local" else self._registry
        self.leased_limits = LeasedLimits(config)
        self.usage = UsageMeter()
        lessee = Lessee(self.leased_limits, authority, self._holder_name, config)
        self.budgets = Budgets(config, Bounds(catalog, config), self.leased_limits, lessee)
        self._local = config.authority == "local"
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Renew leases and report usage in the background."""
        self.budgets.start()
        if not self._local:
            self._task = asyncio.create_task(self._reporting())

    async def _reporting(self) -> None:
        while True:
            await asyncio.sleep(REPORT_S)
            try:
                await self.report()
            except Exception:  # noqa: BLE001 - one odd answer must not end the reports
                _log.exception("usage could not be reported")

    async def report(self) -> None:
        """Hand the counts over now; what the registry does not take is told again next time."""
        try:
            await self.usage.deliver(self._registry, self._holder_name)
        except AuthorityUnreachable:
            return

    async def aclose(self) -> None:
        """Give leases back, hand over the last counts, close every connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self.report()
        await self.budgets.aclose()
        await self._registry.aclose()
