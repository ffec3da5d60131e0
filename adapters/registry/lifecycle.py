"""The states of one version, and the only table that says which moves are legal.

::

    received ─ checked ─ stored ┬─ preparing ─┬─ prepared ┬─ shadow ⇄ canary ─┐
       │          │        │    └── gating ───┘    │      └────────────────── live ⇄ superseded
    rejected   failed   failed     │   │         failed                      └─ draining ─ retired
                             refused   failed│quarantined

What is retired on its way to its first request drains too: an engine may be loading it.
The registry is the one owner: it moves a version inside the transaction that gives the move its
meaning, and refuses every edge that is not drawn here.
"""

from __future__ import annotations

from enum import StrEnum

from adapters.errors import IllegalMove


class State(StrEnum):
    """Where a version stands on the adapter path."""

    RECEIVED = "received"
    """The bytes arrived and have a digest; nothing has been checked. Before the first engine is up
    it waits here, and may be retired."""
    REJECTED = "rejected"
    """Preflight refused it; its files are not in the store."""
    CHECKED = "checked"
    """Preflight passed; its files are not in the store yet."""
    STORED = "stored"
    """Its files are in the content-addressed store; no engine has seen it."""
    PREPARING = "preparing"
    """It is being loaded and probed; no request can reach it."""
    GATING = "gating"
    """The same where a route demands a gate: proven on one replica, it is being tested there."""
    REFUSED = "refused"
    """It did not pass the gate; pushing it again asks the gate again."""
    PREPARED = "prepared"
    """Every replica that should hold it does, and the probe passed; no request can reach it."""
    SHADOW = "shadow"
    """It answers a share of the alias's traffic in secret."""
    CANARY = "canary"
    """It answers a share of the alias's traffic."""
    LIVE = "live"
    """The alias points at it."""
    SUPERSEDED = "superseded"
    """It was live and stays resident, so that a rollback is one flip."""
    DRAINING = "draining"
    """No new request may start on it; it leaves the engines when the last one has ended."""
    RETIRED = "retired"
    """No engine holds it; its files stay in the store."""
    FAILED = "failed"
    """Something around it broke before it could serve; pushing it again tries again."""
    QUARANTINED = "quarantined"
    """It passed preflight but misbehaved in an engine; it is not tried again."""


_S = State

MOVES: dict[State, frozenset[State]] = {
    _S.RECEIVED: frozenset({_S.CHECKED, _S.REJECTED, _S.FAILED, _S.RETIRED}),
    _S.REJECTED: frozenset({_S.RECEIVED}),
    _S.CHECKED: frozenset({_S.STORED, _S.FAILED, _S.RECEIVED}),
    _S.STORED: frozenset({_S.PREPARING, _S.GATING, _S.FAILED, _S.DRAINING}),
    _S.PREPARING: frozenset({_S.PREPARED, _S.GATING, _S.FAILED, _S.QUARANTINED, _S.DRAINING}),
    _S.GATING: frozenset({_S.PREPARED, _S.REFUSED, _S.FAILED, _S.QUARANTINED, _S.DRAINING}),
    _S.REFUSED: frozenset({_S.RECEIVED}),
    _S.PREPARED: frozenset({_S.SHADOW, _S.CANARY, _S.LIVE, _S.FAILED, _S.RETIRED, _S.DRAINING}),
    _S.SHADOW: frozenset({_S.CANARY, _S.LIVE, _S.DRAINING, _S.QUARANTINED}),
    _S.CANARY: frozenset({_S.SHADOW, _S.LIVE, _S.DRAINING, _S.QUARANTINED}),
    _S.LIVE: frozenset({_S.SUPERSEDED, _S.DRAINING, _S.QUARANTINED}),
    _S.SUPERSEDED: frozenset({_S.LIVE, _S.SHADOW, _S.CANARY, _S.DRAINING, _S.QUARANTINED}),
    _S.DRAINING: frozenset({_S.RETIRED, _S.PREPARING}),
    # Bytes that come again start again; a second publish begins where the files already are.
    _S.RETIRED: frozenset({_S.RECEIVED, _S.PREPARING}),
    _S.FAILED: frozenset({_S.RECEIVED, _S.PREPARING}),
    _S.QUARANTINED: frozenset(),
}

CALLABLE = frozenset({_S.LIVE, _S.SUPERSEDED, _S.SHADOW, _S.CANARY})
"""A request may reach the version by alias or by its pinned name."""

RESIDENT = CALLABLE
"""Every replica that places the alias must hold the version."""

IN_ENGINE = RESIDENT | {_S.PREPARING, _S.GATING, _S.PREPARED, _S.DRAINING}
"""An engine may rightly hold the version; in any other state it is residue."""

COLLECTABLE = frozenset({_S.RETIRED, _S.FAILED, _S.REFUSED, _S.QUARANTINED})
"""Nobody serves the version; its files may leave the store after a time."""

PUBLISHING = frozenset({_S.STORED, _S.PREPARING, _S.GATING, _S.PREPARED})
"""On its way from the store to its first request."""

ARRIVING = PUBLISHING | {_S.RECEIVED, _S.CHECKED}
"""On its way to its first request: a pin of it is worth another try."""

WITHDRAWABLE = CALLABLE | PUBLISHING
"""It serves, or will: what is retired leaves from here."""

UNFINISHED = PUBLISHING | {_S.RECEIVED, _S.CHECKED, _S.DRAINING}
"""States that nobody rests in: after a crash they are continued or undone."""


def allowed(current: State, wanted: State) -> bool:
    """Whether the table has an edge from ``current`` to ``wanted``."""
    return wanted in MOVES[current]


def require(current: State, wanted: State) -> None:
    """Raise ``IllegalMove`` unless the table has the edge."""
    if not allowed(current, wanted):
        raise IllegalMove(
            f"a version that is {current} cannot become {wanted}",
            state=current.value,
            wanted=wanted.value,
        )
