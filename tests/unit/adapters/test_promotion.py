"""The verdicts of the promotion ladder."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adapters.config import LadderSettings
from adapters.ladder.promotion import (
    LadderVerdict,
    difference_low,
    is_worse,
    judge_canary,
    judge_shadow,
    wilson,
)
from adapters.traffic import LATENCY_BOUNDS_S, VersionTraffic, bucket, total

SETTINGS = LadderSettings(min_requests=100, min_requests_to_roll_back=20, min_shadowed=50)


def traffic(
    requests: int = 0,
    errors: int = 0,
    seconds: float = 0.1,
    shadowed: int = 0,
    agreement: float = 0,
) -> VersionTraffic:
    """Counts with all answers in one latency bucket."""
    latency = [0] * (len(LATENCY_BOUNDS_S) + 1)
    latency[bucket(seconds)] = max(0, requests - errors)
    return VersionTraffic(
        requests=requests,
        errors=errors,
        latency=tuple(latency),
        shadowed=shadowed,
        agreement=agreement,
    )


def test_a_shadow_waits_for_its_minimum() -> None:
    """49 of 50 secret answers, however good, are not enough."""
    found = judge_shadow(traffic(shadowed=49, agreement=49), SETTINGS)
    assert found.verdict is LadderVerdict.WAIT
    assert "49 of 50" in found.reason


def test_a_shadow_that_agrees_climbs_and_one_that_does_not_is_withdrawn() -> None:
    """Mean agreement decides once there is enough of it."""
    assert (
        judge_shadow(traffic(shadowed=60, agreement=55), SETTINGS).verdict is LadderVerdict.PROMOTE
    )
    assert (
        judge_shadow(traffic(shadowed=60, agreement=10), SETTINGS).verdict
        is LadderVerdict.ROLL_BACK
    )


def test_a_shadow_that_fails_is_withdrawn() -> None:
    """Secret answers that never came count against it."""
    failing = traffic(requests=30, errors=30, shadowed=60, agreement=30)
    assert judge_shadow(failing, SETTINGS).verdict is LadderVerdict.ROLL_BACK


def test_a_canary_with_clear_errors_is_rolled_back_early() -> None:
    """Half of 20 requests failing is beyond doubt before the promotion minimum is reached."""
    found = judge_canary(traffic(20, 10), traffic(1000, 1), SETTINGS)
    assert found.verdict is LadderVerdict.ROLL_BACK
    assert "50.0%" in found.reason


def test_one_unlucky_error_rolls_nothing_back() -> None:
    """One failure in 20 is no evidence against a version with none in 1000."""
    assert is_worse(traffic(20, 1), traffic(1000, 0), SETTINGS) is None


def test_a_slow_canary_is_rolled_back() -> None:
    """Twice the latency at the quantile is over the ratio."""
    found = judge_canary(traffic(200, seconds=0.5), traffic(200, seconds=0.1), SETTINGS)
    assert found.verdict is LadderVerdict.ROLL_BACK


def test_a_healthy_canary_is_promoted_once_both_have_enough() -> None:
    """Both sides need the minimum, then an equal canary climbs."""
    assert judge_canary(traffic(150), traffic(50), SETTINGS).verdict is LadderVerdict.WAIT
    assert judge_canary(traffic(50), traffic(150), SETTINGS).verdict is LadderVerdict.WAIT
    assert judge_canary(traffic(150), traffic(150), SETTINGS).verdict is LadderVerdict.PROMOTE


@given(n=st.integers(1, 500), share=st.floats(0, 1), m=st.integers(1, 500))
def test_equal_rates_are_never_beyond_doubt(n: int, share: float, m: int) -> None:
    """The lower bound of the difference of equal rates is at most about zero."""
    assert difference_low(round(n * share), n, round(n * share) * m, n * m) <= 1e-9


@given(n=st.integers(0, 1000), hits=st.integers(0, 1000))
def test_wilson_contains_the_estimate(n: int, hits: int) -> None:
    """The interval lies within 0 and 1 and holds the observed rate."""
    hits = min(hits, n)
    low, high = wilson(hits, n)
    assert 0 <= low <= high <= 1
    if n:
        assert low - 1e-9 <= hits / n <= high + 1e-9


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 10)), max_size=6))
def test_counts_add_up_and_come_apart(parts: list[tuple[int, int]]) -> None:
    """A total minus its beginning is the rest, so that deltas of several routers can be summed."""
    pieces = [traffic(requests=a + b, errors=b, shadowed=a, agreement=a / 2) for a, b in parts]
    whole, first = total(pieces), total(pieces[:1])
    assert whole.since(first) == total(pieces[1:])


def test_a_router_that_began_anew_is_counted_from_zero() -> None:
    """Counts that went down mean a new process: all of them are new."""
    assert traffic(5).since(traffic(100)).requests == 5


def test_quantiles_are_bucket_bounds() -> None:
    """The median of one bucket's answers is that bucket's bound."""
    assert traffic(10, seconds=0.09).latency_s(0.5) == 0.1
    assert VersionTraffic().latency_s(0.5) is None
