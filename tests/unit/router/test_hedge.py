"""Hedging: a second call after the usual time, never to whom it may not go, the loser let go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from router.config.delivery import DeliveryConfig
from router.config.governance import GovernanceConfig
from router.errors import TargetRejected
from router.govern.detect.patterns import Patterns
from router.govern.governance import Governance
from router.govern.scan import Detectors
from router.request import Option
from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier
from tests.fakes.sending import BASE, Desk, desk, frontier, until

A, B = frontier("a"), frontier("b")


@pytest.fixture
def a() -> Iterator[FakeFrontier]:
    """The slow one."""
    with FakeFrontier(text="from a") as running:
        yield running


@pytest.fixture
def b() -> Iterator[FakeFrontier]:
    """The one that helps out."""
    with FakeFrontier(text="from b") as running:
        yield running


def config(**hedge: Any) -> DeliveryConfig:
    """Hedging after one measured call, at once."""
    return DeliveryConfig.model_validate(
        {"hedge": {"enabled": True, "min_samples": 1, "min_delay_s": 0.05, **hedge}}
    )


async def warm(sending: Desk, option: Option, stream: bool = False) -> None:
    """One call, so that the usual time is known."""
    await sending.answer(sending.exchange(option, stream=stream))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", [Kind.HANG_BEFORE_HEADERS, Kind.HANG_BEFORE_FIRST_BYTE])
async def test_the_faster_answer_wins_and_the_other_is_let_go(
    a: FakeFrontier, b: FakeFrontier, kind: Kind, stream: bool
) -> None:
    """The loser's connection is closed, and its attempt stays on the bill."""
    async with desk({"a": a, "b": b}, config=config()) as sending:
        await warm(sending, A, stream)
        a.misbehave(kind)
        exchange = sending.exchange(A, B, stream=stream)
        body = await sending.answer(exchange)
        await until(lambda: a.left == 1)
    assert b"from" in body
    assert b" b" in body
    assert exchange.chosen == B
    assert [(x.target, x.outcome) for x in exchange.delivery.attempts] == [
        (A.target, "cancelled"),
        (B.target, "ok"),
    ]
    assert {"hedged": A.target, "by": B.target} in exchange.delivery.notes


async def test_another_replica_is_the_first_to_help(a: FakeFrontier, b: FakeFrontier) -> None:
    """The same model answers, from elsewhere; the frontier is not asked."""
    with FakeFrontier() as far:
        async with desk({"far": far}, [a, b], config=config()) as sending:
            await warm(sending, BASE)
            sending.holder.suspect(sending.holder.current.replicas[1])
            a.misbehave(Kind.HANG_BEFORE_HEADERS)
            exchange = sending.exchange(BASE, frontier("far"))
            assert b"from b" in await sending.answer(exchange)
        assert not far.requests
    assert exchange.delivery.attempts[-1].replica == "r1"


async def test_nobody_forbidden_helps_out(a: FakeFrontier, b: FakeFrontier) -> None:
    """Law 5: the slow one is waited for instead."""
    async with desk({"a": a, "b": b}, config=config()) as sending:
        await warm(sending, A)
        a.misbehave(Fault(Kind.SLOW_START, delay_s=0.4))
        exchange = sending.exchange(A, frontier("b", allowed=False))
        assert b"from a" in await sending.answer(exchange)
    assert not b.requests


async def test_the_first_may_still_win(a: FakeFrontier, b: FakeFrontier) -> None:
    """Whoever begins first; the help is let go."""
    async with desk({"a": a, "b": b}, config=config()) as sending:
        await warm(sending, A)
        a.misbehave(Fault(Kind.SLOW_START, delay_s=0.5))
        b.misbehave(Kind.HANG_BEFORE_HEADERS)
        exchange = sending.exchange(A, B)
        assert b"from a" in await sending.answer(exchange)
        await until(lambda: b.left == 1)
    assert exchange.delivery.attempts[-1].target == A.target
    assert exchange.chosen == A


async def test_a_failure_leaves_the_other_to_answer(a: FakeFrontier, b: FakeFrontier) -> None:
    """The help fails at once, the first comes late: nobody hears of the failure."""
    async with desk({"a": a, "b": b}, config=config()) as sending:
        await warm(sending, A)
        a.misbehave(Fault(Kind.SLOW_START, delay_s=0.5))
        b.misbehave(Fault(Kind.STATUS, status=404))
        exchange = sending.exchange(A, B)
        assert b"from a" in await sending.answer(exchange)
    assert sorted(x.outcome for x in exchange.delivery.attempts) == ["missing", "ok"]


async def test_a_refusal_ends_the_race(a: FakeFrontier, b: FakeFrontier) -> None:
    """The client's fault is final, whoever says it; the other is let go."""
    async with desk({"a": a, "b": b}, config=config()) as sending:
        await warm(sending, A)
        a.misbehave(Kind.HANG_BEFORE_HEADERS)
        b.misbehave(Fault(Kind.STATUS, status=400, code="bad"))
        with pytest.raises(TargetRejected):
            await sending.answer(sending.exchange(A, B))
        await until(lambda: a.left == 1)


async def test_hedges_come_out_of_the_retry_budget(a: FakeFrontier, b: FakeFrontier) -> None:
    """When everything is slow, not every request is sent twice."""
    found = config().model_copy(
        update={
            "retry": DeliveryConfig().retry.model_copy(
                update={"budget_burst": 1.0, "budget_per_s": 0.0, "budget_ratio": 0.0}
            )
        }
    )
    async with desk({"a": a, "b": b}, config=found) as sending:
        await warm(sending, A)
        for _ in range(3):
            a.misbehave(Fault(Kind.SLOW_START, delay_s=0.3))
            await sending.answer(sending.exchange(A, B))
    assert len(b.requests) == 1


@pytest.mark.parametrize("hedge", [{"enabled": False}, {"models": ["other"]}, {"min_samples": 9}])
async def test_off_unless_wanted_and_known(
    a: FakeFrontier, b: FakeFrontier, hedge: dict[str, Any]
) -> None:
    """Not enabled, another model, or too few measured calls."""
    async with desk({"a": a, "b": b}, config=config(**hedge)) as sending:
        await warm(sending, A)
        a.misbehave(Fault(Kind.SLOW_START, delay_s=0.3))
        assert b"from a" in await sending.answer(sending.exchange(A, B))
    assert not b.requests


async def test_leaving_lets_both_go(a: FakeFrontier, b: FakeFrontier) -> None:
    """The client leaves in the middle of the race."""
    async with desk({"a": a, "b": b}, config=config()) as sending:
        await warm(sending, A)
        a.misbehave(Kind.HANG_BEFORE_HEADERS)
        b.misbehave(Kind.HANG_BEFORE_HEADERS)
        exchange = sending.exchange(A, B)
        task = asyncio.create_task(sending.answer(exchange))
        await until(lambda: b.requests and len(a.requests) == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: a.left == b.left == 1)
    assert [x.outcome for x in exchange.delivery.attempts] == ["cancelled", "cancelled"]


async def test_a_hedge_that_nobody_may_see_does_not_end_the_call_that_is_under_way(
    a: FakeFrontier, b: FakeFrontier
) -> None:
    """The frontier is not asked, because nobody could look; the local answer goes out."""
    usual = GovernanceConfig.model_validate({"pii": {"max_chars": 1000}})
    governed = Governance(usual, Detectors(Patterns()), lambda value: value)
    async with desk({"b": b}, [a], config=config()) as sending:
        await warm(sending, BASE)
        a.misbehave(Fault(Kind.SLOW_START, delay_s=0.5))
        exchange = sending.exchange(BASE, B, text="x" * 2000)
        exchange.delivery.guarded(governed.guard(exchange.request))
        body = await sending.answer(exchange)
    assert b"from a" in body
    assert not b.requests
    assert [(x.target, x.outcome) for x in exchange.delivery.attempts] == [("base", "ok")]
