"""Takes back what was taken over, when it is not good any more, and has the alias learn again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from adapters.aliases import engine_name
from adapters.errors import AdapterError
from adapters.evaluation import GateResult, Tally
from adapters.events import EventBus
from adapters.flywheel.config import FlywheelConfig, LearningRouteConfig
from adapters.publish.rollout import Rollout
from adapters.registry import Registry, VersionBrief
from adapters.takeover.quality import Baseline, fallen
from adapters.traffic import VersionTraffic

BY = "takeover"
_LINES = 200
Evidence = Callable[[str], VersionTraffic]
"""What all routers counted of a version, by its engine name."""


class Watch:
    """Looks at the live version of every route that says how far quality may drop."""

    def __init__(
        self,
        config: FlywheelConfig,
        registry: Registry,
        rollout: Rollout,
        evidence: Evidence,
        events: EventBus,
    ) -> None:
        self._routes = {
            intent: route
            for intent, route in config.routes.items()
            if route.triggers.quality_drop is not None
        }
        self._registry = registry
        self._rollout = rollout
        self._evidence = evidence
        self._events = events
        self._failing: dict[str, tuple[str, str]] = {}
        """By alias, of a configured route: the version that could not be taken back, and why."""

    async def tick(self) -> None:
        """One look."""
        if not self._routes:
            return
        snapshot = await asyncio.to_thread(self._registry.snapshot)
        live = {alias.name: alias.live for alias in snapshot.aliases if alias.live is not None}
        for intent, route in self._routes.items():
            digest = live.get(route.alias)
            version = None if digest is None else snapshot.version(route.alias, digest)
            if version is not None:
                await self._look(intent, route, version)

    async def _look(self, intent: str, route: LearningRouteConfig, version: VersionBrief) -> None:
        baseline = _baseline(version.gate, intent, route)
        if baseline is None:
            return
        traffic = self._evidence(engine_name(version.alias, version.digest))
        reason = fallen(traffic, baseline)
        if reason is None:
            return
        try:
            # Whoever moved it since it was looked at has decided otherwise.
            await self._rollout.rollback(
                version.alias, by=BY, quarantine=reason, leaving=version.digest
            )
        except AdapterError as error:
            # Tried again at each look, and told once: a second's event each would push out others.
            failed = (version.digest, str(error))
            if self._failing.get(version.alias) != failed:
                self._failing[version.alias] = failed
                self._events.emit(
                    "demotion-failed", version.alias, version.digest, error=str(error)
                )
            return
        self._failing.pop(version.alias, None)
        self._events.emit("demoted", version.alias, version.digest, intent=intent, reason=reason)


def _baseline(gate: GateResult | None, intent: str, route: LearningRouteConfig) -> Baseline | None:
    """What the gate counted for the intent, or over all; None where nobody tested it."""
    drop = route.triggers.quality_drop
    tally: Tally | None = None if gate is None else gate.intents.get(intent) or gate.overall
    if tally is None or drop is None:
        return None
    return Baseline(tally.good / tally.judged, drop)


def taken_back(registry: Registry, alias: str) -> float | None:
    """When the watch last took a live version of an alias back, seconds since the epoch. Blocks."""
    lines = registry.history(alias, _LINES)
    return max((line.at.timestamp() for line in lines if line.actor == BY), default=None)
