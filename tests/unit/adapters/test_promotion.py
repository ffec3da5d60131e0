"""The verdicts of the promotion ladder."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.config import LadderSettings
from adapters.ladder.anytime import beyond_doubt, log_below, log_worse
from adapters.ladder.promotion import (
    LadderVerdict,
    is_worse,
    judge_canary,
    judge_shadow,
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
    """Whatever the counts, nothing speaks against a version that fails as often."""
    hits = round(n * share)
    assert log_worse(hits, n, hits * m, n * m, 0.0) <= 1e-9
    assert log_worse(hits, n, hits * m, n * m, 0.02) == -math.inf


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
def test_looking_after_every_request_raises_no_more_false_alarms(rate: float) -> None:
    """1,000 requests of each of 200 versions that are just as bad as is allowed: at most 5 % go."""
    chance, alarms, looks, versions = np.random.default_rng(5), 0, 1000, 200
    for _ in range(versions):
        new = np.cumsum(chance.random(looks) < rate + 0.02)
        old = np.cumsum(chance.random(looks) < rate)
        alarms += any(
            beyond_doubt(log_worse(int(new[n]), n + 1, int(old[n]), n + 1, 0.02), 0.05)
            for n in range(0, looks, 10)
        )
    assert alarms / versions <= 0.05


def test_a_version_that_is_worse_is_found() -> None:
    """A tenth more errors: within some hundred requests, in all of 50 versions."""
    chance = np.random.default_rng(6)
    for _ in range(50):
        new = np.cumsum(chance.random(600) < 0.15)
        old = np.cumsum(chance.random(600) < 0.02)
        assert any(
            beyond_doubt(log_worse(int(new[n]), n + 1, int(old[n]), n + 1, 0.02), 0.05)
            for n in range(600)
        )


def test_agreement_is_watched_as_it_comes() -> None:
    """Scores between 0 and 1, looked at after each: one that agrees enough is not withdrawn."""
    chance, alarms = np.random.default_rng(8), 0
    for _ in range(200):
        scores = np.cumsum(chance.beta(2, 2, 400))
        alarms += any(
            beyond_doubt(log_below(float(scores[n]), n + 1, 0.5), 0.05) for n in range(0, 400, 4)
        )
    assert alarms / 200 <= 0.05
    assert judge_shadow(traffic(shadowed=30, agreement=3), SETTINGS).verdict is (
        LadderVerdict.ROLL_BACK
    )


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
