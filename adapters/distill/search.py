"""A small search on request: neighbours of the defaults, each tried on a part of the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from adapters.distill.settings import Plan

_SHARE = 0.25
_FEWEST_STEPS = 10
# (factor of the rate, factor of the rank), the likeliest first.
_NEIGHBOURS = (
    (1.0, 1), (2.0, 1), (0.5, 1), (1.0, 2), (2.0, 2), (0.5, 2), (4.0, 1), (0.25, 1),
    (4.0, 2), (0.25, 2), (1.5, 1), (0.7, 1), (1.5, 2), (0.7, 2), (3.0, 1), (3.0, 2),
)  # fmt: skip


def trials(plan: Plan, count: int, max_rank: int) -> list[Plan]:
    """At most ``count`` plans, the first of them the default; ranks stay within ``max_rank``."""
    steps = max(_FEWEST_STEPS, round(plan.steps * _SHARE))
    found: list[Plan] = []
    for rate, rank in _NEIGHBOURS:
        if len(found) == count:
            break
        wide = min(plan.rank * rank, max_rank)
        tried = replace(
            plan,
            rate=plan.rate * rate,
            rank=wide,
            alpha=plan.alpha * wide / plan.rank,
            steps=steps,
            look_every=steps,
        )
        if tried not in found:
            found.append(tried)
    return found


def best(plan: Plan, found: Sequence[Mapping[str, Any]]) -> Plan:
    """The plan with the rate and rank whose held-out loss was lowest; what diverged has none."""
    judged = [trial for trial in found if trial["validation_loss"] is not None]
    if not judged:
        return plan
    winner = min(judged, key=lambda trial: float(trial["validation_loss"]))
    return replace(plan, rate=winner["rate"], rank=winner["rank"], alpha=winner["alpha"])
