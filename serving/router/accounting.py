"""Budgets and usage of one router process, wired together."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

from adapters.jobs.periodic import Every, PeriodicJobs
from router.account.usage import UsageMeter
from router.budgets.authority import AuthorityUnreachable, LocalAuthority
from router.budgets.holds import Bounds, Budgets
from router.budgets.leased import LeasedLimits
from router.budgets.lessee import BEAT_S, Lessee
from router.budgets.reclaim import RECLAIM_S, Reclaim
from router.budgets.tally import Tally
from router.config.budgets import BudgetsConfig
from router.replicas.table import TableHolder
from router.targets.directory import Catalog
from serving.router.authority import RegistryAccounts

_log = logging.getLogger("graftwork.budgets")
REPORT_S = 1.0
"""Between two reports of usage to the registry."""


class Accounting:
    """Everything about money in one router. ``folder``: for tallies of this machine's routers.

    Attributes:
        budgets: sets aside and settles.
        usage: counts who used what.
        leased_limits: this router's part of each limit.
    """

    def __init__(
        self,
        config: BudgetsConfig,
        catalog: Catalog,
        holder: TableHolder,
        identity: str,
        folder: Path,
    ) -> None:
        # Unique per process: what a crashed predecessor held must not be taken for its own.
        self._holder_name = f"{identity}/{secrets.token_hex(4)}"
        self._registry = RegistryAccounts(holder)
        authority = LocalAuthority() if config.authority == "local" else self._registry
        tally = self._open_tally(config, folder)
        self.leased_limits = LeasedLimits(config, tally=tally)
        self.usage = UsageMeter()
        self._lessee = Lessee(self.leased_limits, authority, self._holder_name, config, tally)
        self._reclaim = Reclaim(folder, authority, config.grant_timeout_s)
        self.budgets = Budgets(config, Bounds(catalog, config), self.leased_limits, self._lessee)
        self._has_limits = bool(config.limits)
        self._local = config.authority == "local"

    def _open_tally(self, config: BudgetsConfig, folder: Path) -> Tally | None:
        if not config.limits or config.authority == "local":
            return None
        try:
            return Tally(folder, self._holder_name, config.max_accounts)
        except OSError as error:
            # Without one, what this process holds stays spent if it is killed.
            _log.warning("no_tally_of_budgets", extra={"folder": str(folder)}, exc_info=error)
            return None

    def add_to(self, jobs: PeriodicJobs) -> None:
        """Renew leases and report usage again and again."""
        if self._has_limits:
            jobs.add("renew-leases", self._lessee.look_ahead, Every(BEAT_S))
        if self._has_limits and not self._local:
            jobs.add("reclaim-leases", self._reclaim.once, Every(RECLAIM_S, at_once=True))
        if not self._local:
            jobs.add("report-usage", self.report, Every(REPORT_S))

    async def report(self) -> None:
        """Hand the counts over now; what the registry does not take is told again next time."""
        try:
            await self.usage.deliver(self._registry, self._holder_name)
        except AuthorityUnreachable:
            return

    async def aclose(self) -> None:
        """Give leases back, hand over the last counts, close every connection.

        To be called when the jobs have stopped.
        """
        if not self._local:
            await self.report()
        await self.budgets.aclose()
        await self._registry.aclose()
