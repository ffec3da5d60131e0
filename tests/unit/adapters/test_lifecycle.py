"""The state machine of a version."""

from __future__ import annotations

import pytest

from adapters.errors import IllegalMove
from adapters.registry.lifecycle import (
    CALLABLE,
    IN_ENGINE,
    MOVES,
    UNFINISHED,
    State,
    allowed,
    require,
)


def test_every_state_has_its_row() -> None:
    """Nobody can add a state and forget to say where it leads."""
    assert set(MOVES) == set(State)


def test_every_state_can_be_reached_from_received() -> None:
    """The table holds no island."""
    reached, frontier = {State.RECEIVED}, {State.RECEIVED}
    while frontier:
        frontier = {to for state in frontier for to in MOVES[state]} - reached
        reached |= frontier
    assert reached == set(State)


def test_a_version_becomes_callable_only_through_prepared() -> None:
    """No request can reach weights that no engine has proven: law 4."""
    entries = {state for state in State if MOVES[state] & CALLABLE} - CALLABLE
    assert entries == {State.PREPARED}


def test_a_callable_version_leaves_engines_only_by_draining() -> None:
    """A version in use is never simply dropped: law 1."""
    ways_out = {to for state in CALLABLE for to in MOVES[state]} - CALLABLE
    assert ways_out == {State.DRAINING, State.QUARANTINED}
    assert MOVES[State.DRAINING] == {State.RETIRED, State.PREPARING}


def test_nobody_rests_in_an_unfinished_state_that_engines_ignore() -> None:
    """States with engine residue are either finished on resume or callable."""
    assert IN_ENGINE - CALLABLE <= UNFINISHED


def test_quarantine_is_final() -> None:
    """A version that hurt an engine is not tried again."""
    assert not MOVES[State.QUARANTINED]


@pytest.mark.parametrize(
    ("before", "after"),
    [(State.RECEIVED, State.LIVE), (State.REJECTED, State.STORED), (State.LIVE, State.RETIRED)],
)
def test_an_edge_that_is_not_drawn_is_refused(before: State, after: State) -> None:
    """The error names both ends, for the person and for the program."""
    assert not allowed(before, after)
    with pytest.raises(IllegalMove) as caught:
        require(before, after)
    assert (caught.value.state, caught.value.wanted) == (before, after)
