"""What the routes of an alias demand of its versions, from the configuration. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from adapters.config import LadderSettings
from adapters.flywheel.config import FlywheelConfig, Grader
from adapters.gate.judge import Demand
from adapters.registry import Plan, Stage

_CAREFUL: Final[tuple[Stage, ...]] = ("shadow", "canary", "live")
"""The most careful first."""


@dataclass(frozen=True, slots=True)
class Demands:
    """Of all routes of one alias together, the strictest."""

    intents: tuple[str, ...]
    demand: Demand
    grader: Grader
    judge: str | None
    max_items: int
    max_tokens: int
    ladder: tuple[Stage, ...]
    stall_s: float
    """Without any answer for so long, and after ``limit_s``, a test ends without a verdict."""
    limit_s: float

    @property
    def judged_by(self) -> dict[str, Any]:
        """What a verdict depends on: how long it took to find is no part of it."""
        timing = {"stall_s", "limit_s"}
        return {name: value for name, value in asdict(self).items() if name not in timing}

    def after(self, looks: int) -> Demand:
        """The same for a version that was judged before without a pass.

        Each look at the same version has half the chance of error of the one before it, so that
        all looks together have at most twice what one may have.
        """
        demand = self.demand
        return Demand(demand.margin, demand.alpha / 2**looks, demand.min_power)

    def first(self, wish: Plan, settings: LadderSettings) -> Plan:
        """Where one that has passed begins: on the ladder's first step, or a more careful wish."""
        stage = min(wish.stage, self.ladder[0], key=_CAREFUL.index)
        if stage == "live":
            return Plan("live")
        return Plan(stage, wish.percent if wish.percent > 0 else settings.canary_percent)


def demands_of(config: FlywheelConfig, alias: str) -> Demands | None:
    """What is demanded of the alias's versions; None: nothing."""
    routes = {name: route for name, route in config.routes.items() if route.alias == alias}
    gates = [route.gate for route in routes.values() if route.gate is not None]
    if not gates:
        return None
    ladders = [route.ladder for route in routes.values()]
    judging = next((gate for gate in gates if gate.grader != "auto"), gates[0])
    return Demands(
        intents=tuple(name for name, route in routes.items() if route.gate is not None),
        demand=Demand(
            min(gate.margin for gate in gates),
            min(gate.alpha for gate in gates),
            max(gate.min_power for gate in gates),
        ),
        grader=judging.grader,
        judge=judging.judge,
        max_items=max(gate.max_items for gate in gates),
        max_tokens=max(gate.max_tokens for gate in gates),
        ladder=min(ladders, key=lambda ladder: _CAREFUL.index(ladder[0])),
        stall_s=max(gate.stall_s for gate in gates),
        limit_s=max(gate.limit_s for gate in gates),
    )
