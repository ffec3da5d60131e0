"""The states of one distillation, and the only table that says which moves are legal.

::

    queued ─ training ─ packaging ─ gating ─┬─ publishing ─┬─ live
       ↑________│___________│               │      └───────│─ refused
                                            └──────────────┴─ refused, failed, cancelled

Back to the queue goes what must be trained again on other data: a person's was erased.
"""

from __future__ import annotations

from enum import StrEnum


class DistillState(StrEnum):
    """How far a distillation is."""

    QUEUED = "queued"
    """Waiting for its dataset, for the alias's lease, or for the trainer."""
    TRAINING = "training"
    """The trainer's process works on it, or is being started again."""
    PACKAGING = "packaging"
    """The weights are there; they are pushed as a version."""
    GATING = "gating"
    """The version is checked, loaded, and tested against what answers the intent now."""
    PUBLISHING = "publishing"
    """It passed, and climbs the ladder."""
    LIVE = "live"
    """Its version went live."""
    REFUSED = "refused"
    """The version is not good enough: the gate says so, or what it did on the ladder."""
    FAILED = "failed"
    """Something around it broke."""
    CANCELLED = "cancelled"
    """Somebody stopped it."""


_S = DistillState
ENDED = frozenset({_S.LIVE, _S.REFUSED, _S.FAILED, _S.CANCELLED})
LEASED = frozenset({_S.TRAINING, _S.PACKAGING})
"""States in which a distillation holds the lease of its alias."""

_BAD = {_S.REFUSED, _S.FAILED, _S.CANCELLED}
MOVES: dict[DistillState, frozenset[DistillState]] = {
    _S.QUEUED: frozenset({_S.TRAINING, _S.FAILED, _S.CANCELLED}),
    _S.TRAINING: frozenset({_S.PACKAGING, _S.QUEUED, _S.FAILED, _S.CANCELLED}),
    _S.PACKAGING: frozenset({_S.GATING, _S.QUEUED, *_BAD}),
    _S.GATING: frozenset({_S.PUBLISHING, _S.LIVE, *_BAD}),
    _S.PUBLISHING: frozenset({_S.LIVE, *_BAD}),
    **dict.fromkeys(ENDED, frozenset()),
}


def allowed(current: DistillState, wanted: DistillState) -> bool:
    """Whether the table has an edge from ``current`` to ``wanted``."""
    return wanted in MOVES[current]
