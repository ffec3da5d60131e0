"""A model is asked as often as its quota says, and says when again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import Failure, TargetUnavailable
from router.targets.quota import Quota


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now_s


def wait_s(quota: Quota) -> float:
    """0 when a call was taken, else seconds until one would be."""
    refused: TargetUnavailable | None = None
    try:
        quota.take()
    except TargetUnavailable as error:
        refused = error
    if refused is None:
        return 0.0
    assert refused.failure is Failure.LIMITED
    assert refused.retry_after_s is not None
    return refused.retry_after_s


@given(st.integers(1, 50), st.lists(st.floats(0, 20), max_size=200))
def test_no_minute_has_more_than_twice_the_limit_and_no_hour_more_than_its_share(
    limit: int, pauses: list[float]
) -> None:
    """A bucket holds a minute's worth, and what is taken beyond has come in since."""
    clock = Clock()
    quota = Quota("t", limit, None, clock)
    taken = 0
    for pause in pauses:
        clock.now_s += pause
        taken += not wait_s(quota)
        assert taken <= limit + clock.now_s * limit / 60 + 1e-6


@given(st.integers(1, 100), st.integers(1, 100_000), st.integers(0, 300_000))
def test_after_the_wait_there_is_room(requests: int, tokens: int, used: int) -> None:
    """Also after a debt of tokens, and not before."""
    clock = Clock()
    quota = Quota("t", requests, tokens, clock)
    while not (seconds := wait_s(quota)):
        quota.used(used)
    clock.now_s += seconds * 0.5
    assert wait_s(quota) == pytest.approx(seconds * 0.5, abs=1e-3)
    clock.now_s += seconds * 0.5 + 1e-3
    assert not wait_s(quota)


def test_without_limits_everything_is_taken() -> None:
    """As it is by default."""
    quota = Quota("t", None, None)
    for _ in range(1000):
        quota.take()
        quota.used(10**9)
