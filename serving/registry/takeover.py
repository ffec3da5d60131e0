"""Takeover as the registry's process does it: the book, the watch over live versions, triggers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from adapters.admin import takeover
from adapters.distill.triggers import GoldCount, Signs, Triggers
from adapters.jobs.periodic import Every, PeriodicJobs
from adapters.takeover.book import TakeoverBook, TargetUsage, TokenPrice
from adapters.takeover.watch import Watch, taken_back
from router.admin.usage import UsageQuestion
from router.choose.cards import frontier_cards
from router.wire.table import Bound, bound
from serving.config.settings import Settings
from serving.registry.accounts.surface import AccountsSurface
from serving.registry.adapters import Adapters
from serving.registry.distilling import Distilling

_WATCH_S = 1.0
_TRIGGERS_S = 2.0
_MAJOR = "major"


class _Usage:
    """The books of this registry."""

    def __init__(self, accounts: AccountsSurface) -> None:
        self._accounts = accounts

    def by_target(self, since: float) -> Sequence[TargetUsage]:
        """By intent and target. Blocks."""
        question = UsageQuestion(since, time.time() + 1, by=("intent", "target"))
        return [
            TargetUsage(
                str(row["intent"]),
                str(row["target"]),
                row["requests"],
                row["input_tokens"],
                row["output_tokens"],
                row["usd"],
            )
            for row in self._accounts.used(question)
        ]


class _Prices:
    """What the configured frontiers ask for."""

    def __init__(self, settings: Settings) -> None:
        cards = frontier_cards(settings.router.providers).values()
        self._prices = {
            card.target: TokenPrice(card.price.input_usd, card.price.output_usd) for card in cards
        }

    def __call__(self, target: str) -> TokenPrice | None:
        return self._prices.get(target)


class Takeover:
    """Who answers which intent, and when that changes by itself."""

    def __init__(
        self,
        settings: Settings,
        adapters: Adapters,
        accounts: AccountsSurface,
        distilling: Distilling,
        gold: GoldCount,
    ) -> None:
        config, evidence = settings.flywheel, adapters.evidence.of
        adapters.ladder.routes = config.ladders
        default = settings.router.auto.frontier
        self._registry = adapters.registry
        self._book = TakeoverBook(
            config,
            adapters.registry,
            _Usage(accounts),
            _Prices(settings),
            evidence,
            None if default is None else f"frontier:{default}",
        )
        self._triggers = Triggers(
            config,
            distilling.distillations,
            distilling.asking,
            gold,
            Signs(
                lambda: any(each.level == _MAJOR for each in accounts.drifts.newest),
                partial(taken_back, adapters.registry),
            ),
            distilling.wake,
            adapters.events,
        )
        self._watch = Watch(config, adapters.registry, adapters.rollout, evidence, adapters.events)

    def resources(self) -> list[Bound]:
        """Rows of the admin plane."""
        return bound(takeover.RESOURCES, self._book)

    def add_to(self, jobs: PeriodicJobs) -> None:
        """Background work."""
        jobs.add("watch-quality", self._look, Every(_WATCH_S, max_retry_s=30.0))
        jobs.add("triggers", self._ask, Every(_TRIGGERS_S, max_retry_s=30.0))

    # Not while a predecessor serves: whoever writes first is the one that goes on.

    async def _look(self) -> None:
        if self._registry.writing.writer is not None:
            await self._watch.tick()

    async def _ask(self) -> None:
        if self._registry.writing.writer is not None:
            await self._triggers.tick()
