"""The circuit breaker: when it opens, for how long, and whom it lets in to look."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.config.delivery import BreakerConfig
from router.send.health import Breaker, State

CONFIG = BreakerConfig(consecutive=3, min_calls=10, open_s=10, open_max_s=30)


def breaker(config: BreakerConfig = CONFIG) -> Breaker:
    """A closed one."""
    return Breaker(config, random.Random(1))


def fail(found: Breaker, now: float, times: int = 1) -> None:
    """That many calls, one after the other, all bad."""
    for _ in range(times):
        found.failure(now, probe=found.enter())


def test_failures_in_a_row_open_it() -> None:
    """A success in between starts the count anew."""
    found = breaker()
    fail(found, 0, 2)
    found.success(0, probe=found.enter())
    fail(found, 0, 2)
    assert found.lets_in(0)
    fail(found, 0)
    assert found.state is State.OPEN
    assert not found.lets_in(1)


def test_a_share_of_failures_opens_it() -> None:
    """Every second call fails: never three in a row, and yet too many."""
    found = breaker()
    for step in range(5):
        found.success(step, probe=found.enter())
        fail(found, step)
    assert found.state is State.OPEN


def test_failures_out_of_the_window_are_forgotten() -> None:
    """The same share, spread over hours, says nothing."""
    found = breaker()
    for step in range(50):
        found.success(step * 40.0, probe=found.enter())
        fail(found, step * 40.0 + 1)
    assert found.state is State.CLOSED


def test_half_open_lets_one_in_and_closes_after_good_probes() -> None:
    """One probe at a time, two good ones in a row."""
    found = breaker()
    fail(found, 0, 3)
    later = 13.0
    assert found.lets_in(later)
    probe = found.enter()
    assert probe
    assert not found.lets_in(later)
    found.success(later, probe=probe)
    assert found.lets_in(later)
    found.success(later, probe=found.enter())
    assert found.state is State.CLOSED


def test_a_bad_probe_opens_it_for_longer_up_to_a_bound() -> None:
    """10 s, 20 s, 30 s, 30 s, each plus or minus a fifth."""
    found, now = breaker(), 0.0
    fail(found, now, 3)
    waits = []
    for _ in range(4):
        waits.append(found.opens_in(now))
        now += waits[-1]
        assert found.lets_in(now)
        fail(found, now)
    for wait, usual in zip(waits, [10, 20, 30, 30], strict=True):
        assert usual * 0.8 <= wait <= usual * 1.2


def test_a_probe_that_says_nothing_makes_room_for_another() -> None:
    """The client left during the probe."""
    found = breaker()
    fail(found, 0, 3)
    found.release(probe=found.enter())
    assert found.lets_in(13)


def test_verdicts_of_older_calls_do_not_count_while_it_is_open() -> None:
    """They began before it opened: neither close it nor prolong it."""
    found = breaker()
    older = [found.enter() for _ in range(2)]
    fail(found, 0, 3)
    before = found.opens_in(0)
    found.failure(0, probe=older[0])
    found.success(0, probe=older[1])
    assert found.state is State.OPEN
    assert found.opens_in(0) == before


@pytest.mark.parametrize("probes", [1, 3])
@given(steps=st.lists(st.tuples(st.sampled_from(["good", "bad", "left"]), st.floats(0, 20))))
def test_never_more_probes_than_allowed(probes: int, steps: list[tuple[str, float]]) -> None:
    """Whatever happens, with calls that overlap: half open means few calls at once."""
    found = breaker(CONFIG.model_copy(update={"probes": probes}))
    under_way: list[bool] = []
    now = 0.0
    for what, passed in steps * 3:
        now += passed
        if found.lets_in(now):
            under_way.append(found.enter())
        assert sum(under_way) <= probes
        if len(under_way) > 2 or what == "left":
            probe = under_way.pop(0) if under_way else None
            if probe is None:
                continue
            if what == "good":
                found.success(now, probe=probe)
            elif what == "bad":
                found.failure(now, probe=probe)
            else:
                found.release(probe=probe)
