"""What the state of a version means for the distillation that made it. Pure."""

from __future__ import annotations

from adapters.distill.distillations import Distillation
from adapters.distill.states import DistillState
from adapters.registry import VersionRecord
from adapters.registry.lifecycle import CALLABLE, UNFINISHED, State

CLIMBS = frozenset({State.SHADOW, State.CANARY})
ON_THE_WAY = UNFINISHED - {State.DRAINING}
_WAS_LIVE = CALLABLE - CLIMBS
_BROKEN = frozenset({State.REJECTED, State.QUARANTINED, State.FAILED})


def follows(row: Distillation, version: VersionRecord) -> tuple[DistillState, str] | None:
    """Where a distillation goes, and why; None: it stays where it is."""
    state = version.state
    if state in _WAS_LIVE:
        return DistillState.LIVE, ""
    if state in CLIMBS:
        climbing = row.state is DistillState.PUBLISHING
        return None if climbing else (DistillState.PUBLISHING, "")
    if row.state is DistillState.PUBLISHING:
        return DistillState.REFUSED, version.error or "it was withdrawn while it climbed the ladder"
    if state in ON_THE_WAY:
        return None
    if state is State.REFUSED:
        return DistillState.REFUSED, _refusal(row, version)
    if state in _BROKEN:
        return DistillState.FAILED, version.error or f"the version is {state}"
    return DistillState.REFUSED, "the version was taken out of service"


def _refusal(row: Distillation, version: VersionRecord) -> str:
    gate = row.gate or {}
    reason = str(gate.get("reason") or version.error or "the gate refused it")
    missing = gate.get("n_missing")
    return f"{reason}; {missing} more gold answers are needed to judge it" if missing else reason
