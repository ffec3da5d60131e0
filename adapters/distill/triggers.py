"""What starts a distillation by itself: enough new gold, worse answers, drift, or the time.

Nothing starts for an alias while one is under way or waits, nor soon after the last one ended, so
that nothing thrashes. After a gate that could not judge for want of items, new gold alone counts
once there is as much as it missed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from adapters.distill.asking import Asking, NotDistillable
from adapters.distill.distillations import Distillation, Distillations, TooManyOpen
from adapters.events import EventBus
from adapters.flywheel.config import FlywheelConfig, LearningRouteConfig, TriggersConfig

_BY = "trigger"


class GoldCount(Protocol):
    """How much was reviewed. Blocks."""

    def count_gold(self, intent: str | None = None, since: float | None = None) -> int:
        """Gold answers of an intent that were settled since a time."""
        ...


@dataclass(frozen=True, slots=True)
class Signs:
    """What else may start one.

    Attributes:
        drifting: whether what is asked or answered is unlike the week before. Must not block.
        taken_back: when the live version of an alias was last taken back because its answers had
            become worse, seconds since the epoch; None: never. Blocks.
    """

    drifting: Callable[[], bool]
    taken_back: Callable[[str], float | None]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one route at one moment. Times are seconds since the epoch."""

    now: float
    new_gold: int
    """Since the intent's last distillation began."""
    last: Distillation | None
    """Of the intent."""
    drifting: bool
    fallen: bool = False
    """A version of it was taken back because its answers had become worse."""
    cools: bool = False
    """Another intent's distillation into the same alias is under way, or ended just now."""


def due(triggers: TriggersConfig, facts: Facts) -> str | None:
    """Which trigger has a distillation started now; None: none has. Pure."""
    if facts.cools or is_cooling(triggers, facts.last, facts.now):
        return None
    if triggers.new_gold is not None and facts.new_gold >= max(
        triggers.new_gold, _missing(facts.last)
    ):
        return "new_gold"
    if facts.new_gold == 0:
        return None  # The same data would make the same version again.
    if facts.fallen:
        return "quality_drop"
    if triggers.drift and facts.drifting:
        return "drift"
    since = 0.0 if facts.last is None else facts.last.created_at
    if triggers.every_h is not None and facts.now - since >= triggers.every_h * 3600:
        return "schedule"
    return None


def is_cooling(triggers: TriggersConfig, last: Distillation | None, now: float) -> bool:
    """Whether it is too soon after the last one, or that has not ended."""
    if last is None:
        return False
    return last.ended_at is None or now - last.ended_at < triggers.cooldown_s


def _missing(last: Distillation | None) -> int:
    """How many gold answers the last gate missed."""
    gate: Mapping[str, Any] = (last.gate or {}) if last is not None else {}
    missing = gate.get("n_missing")
    return int(missing) if isinstance(missing, int | float) else 0


class Triggers:
    """Looks at every configured route; asks for distillations."""

    def __init__(
        self,
        config: FlywheelConfig,
        distillations: Distillations,
        asking: Asking,
        gold: GoldCount,
        signs: Signs,
        wake: Callable[[], None],
        events: EventBus,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._distillations = distillations
        self._asking = asking
        self._gold = gold
        self._signs = signs
        self._wake = wake
        self._events = events
        self._clock = clock

    async def tick(self) -> None:
        """One look at each route."""
        for intent, route in self._config.routes.items():
            if cause := await asyncio.to_thread(self._due, intent, route):
                await self._start(intent, cause)

    def _due(self, intent: str, route: LearningRouteConfig) -> str | None:
        triggers = route.triggers
        if triggers == TriggersConfig(cooldown_s=triggers.cooldown_s):
            return None
        # An alias may learn several intents: what one of them has learned is no news of another.
        last = self._distillations.newest(route.alias, intent=intent)
        since, now = None if last is None else last.created_at, self._clock()
        facts = Facts(
            now,
            self._gold.count_gold(intent, since),
            last,
            triggers.drift and self._signs.drifting(),
            triggers.quality_drop is not None and self._has_fallen(route.alias, since),
            is_cooling(triggers, self._distillations.newest(route.alias), now),
        )
        return due(triggers, facts)

    def _has_fallen(self, alias: str, since: float | None) -> bool:
        """Whether a version was taken back and nothing was distilled since; the registry knows it
        after a restart as well.
        """
        at = self._signs.taken_back(alias)
        return at is not None and at > (since or 0.0)

    async def _start(self, intent: str, cause: str) -> None:
        def ask() -> None:
            wish = self._asking.wish(intent=intent, cause=cause, author=_BY)
            self._distillations.ask(wish)

        try:
            await asyncio.to_thread(ask)
        except (NotDistillable, TooManyOpen) as error:
            self._events.emit("trigger-failed", intent=intent, cause=cause, error=str(error))
            return
        self._wake()
