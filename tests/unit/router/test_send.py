"""The send stage: who is asked when, what a failure leads to, and what is never asked."""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import Iterator

import pytest

from router.config.delivery import DeliveryConfig
from router.errors import TargetRejected, TargetTimeout, TargetUnavailable
from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier
from tests.fakes.sending import BASE, IMPATIENT, QUICK, desk, frontier, provider, until

A, B = frontier("a"), frontier("b")


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[FakeFrontier, FakeFrontier]]:
    """Two providers for the whole file."""
    with FakeFrontier(text="from a") as a, FakeFrontier(text="from b") as b:
        yield a, b


@pytest.fixture
def a(servers: tuple[FakeFrontier, FakeFrontier]) -> FakeFrontier:
    """The first provider, as new."""
    servers[0].forget()
    return servers[0]


@pytest.fixture
def b(servers: tuple[FakeFrontier, FakeFrontier]) -> FakeFrontier:
    """The second."""
    servers[1].forget()
    return servers[1]


def outcomes(exchange: object) -> list[str]:
    """What the attempts came to."""
    return [attempt.outcome for attempt in exchange.delivery.attempts]  # type: ignore[attr-defined]


def fault(kind: Kind, **details: object) -> Fault:
    """A fault that shows before the client got anything."""
    return Fault(kind, after=1, **details)  # type: ignore[arg-type]


BEFORE_CONTENT = [
    Kind.RESET,
    Kind.CLOSE,
    Kind.CUT,
    Kind.CUT_IN_EVENT,
    Kind.ERROR_MIDWAY,
    Kind.ERROR_IN_200,
    Kind.MALFORMED,
    Kind.EMPTY,
    Kind.HTML,
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", BEFORE_CONTENT)
async def test_a_failure_before_content_is_answered_by_the_next(
    a: FakeFrontier, b: FakeFrontier, kind: Kind, stream: bool
) -> None:
    """Nothing of the failed answer goes out; the next option answers in full."""
    a.misbehave(*[fault(kind)] * 2)
    async with desk({"a": a, "b": b}) as sending:
        exchange = sending.exchange(A, B, stream=stream)
        body = await sending.answer(exchange)
    assert b"from" in body
    assert b" b" in body
    assert body.count(b'"role"') == 1
    assert exchange.chosen == B
    assert outcomes(exchange)[-1] == "ok"


async def test_a_hanging_target_is_left_for_the_next(a: FakeFrontier, b: FakeFrontier) -> None:
    """Before the headers, before the first token, in the middle of a whole answer."""
    kinds = [Kind.HANG_BEFORE_HEADERS, Kind.HANG_BEFORE_FIRST_BYTE, Kind.HANG_MIDWAY]
    a.misbehave(*[fault(kind) for kind in kinds for _ in range(2)])
    async with desk({"a": a, "b": b}, config=IMPATIENT) as sending:
        asked = [sending.exchange(A, B, stream=stream) for stream in (False, True) * 3]
        bodies = await asyncio.gather(*(sending.answer(exchange) for exchange in asked))
    assert all(b" b" in body for body in bodies)
    assert [outcomes(exchange) for exchange in asked] == [["timeout", "ok"]] * 6


async def test_a_reset_is_tried_again_at_once(a: FakeFrontier, b: FakeFrontier) -> None:
    """A connection that just died says little about the target."""
    a.misbehave(Kind.RESET)
    async with desk({"a": a, "b": b}) as sending:
        exchange = sending.exchange(A, B)
        assert b"from a" in await sending.answer(exchange)
    assert outcomes(exchange) == ["reset", "ok"]
    assert not b.requests


async def test_a_server_error_is_tried_once_more_then_elsewhere(
    a: FakeFrontier, b: FakeFrontier
) -> None:
    """Never three times, however often it fails."""
    a.misbehave(*[Fault(Kind.STATUS, status=500)] * 5)
    async with desk({"a": a, "b": b}) as sending:
        exchange = sending.exchange(A, B)
        assert b"from b" in await sending.answer(exchange)
    assert outcomes(exchange) == ["server_error", "server_error", "ok"]
    assert len(a.requests) == 2


@pytest.mark.parametrize("as_date", [False, True])
async def test_a_short_retry_after_is_waited_for(
    a: FakeFrontier, b: FakeFrontier, as_date: bool
) -> None:
    """The better target answers when it said so, in seconds or as a date."""
    when = email.utils.formatdate(time.time() + 0.5, usegmt=True) if as_date else "0.3"
    a.misbehave(Fault(Kind.STATUS, status=429, retry_after=when))
    async with desk({"a": a, "b": b}) as sending:
        exchange = sending.exchange(A, B)
        assert b"from a" in await sending.answer(exchange)
    first, second = a.requests
    if not as_date:  # a date has whole seconds, and may be over by now
        assert second.at_s - first.at_s >= 0.3
    assert outcomes(exchange) == ["rate_limited", "ok"]


async def test_a_long_retry_after_leads_elsewhere_and_holds_for_all(
    a: FakeFrontier, b: FakeFrontier
) -> None:
    """Later requests do not ask before the time, and their record says why."""
    a.misbehave(Fault(Kind.STATUS, status=429, retry_after="60"))
    async with desk({"a": a, "b": b}) as sending:
        assert b"from b" in await sending.answer(sending.exchange(A, B))
        later = sending.exchange(A, B)
        assert b"from b" in await sending.answer(later)
    assert len(a.requests) == 1
    assert later.delivery.notes[0]["skipped"] == A.target
    assert "patience" in later.delivery.notes[0]["why"]


async def test_a_retry_after_beyond_the_deadline_is_told_to_the_client(a: FakeFrontier) -> None:
    """Nobody waits for what cannot come in time."""
    a.misbehave(Fault(Kind.STATUS, status=429, retry_after="60"))
    async with desk({"a": a}) as sending:
        with pytest.raises(TargetUnavailable) as caught:
            await sending.answer(sending.exchange(A))
        assert caught.value.status == 429
        assert caught.value.retry_after_s == 60
        with pytest.raises(TargetUnavailable) as later:
            await sending.answer(sending.exchange(A))
    assert later.value.status == 503
    assert 30 < (later.value.retry_after_s or 0) <= 60
    assert len(a.requests) == 1


async def test_nobody_waits_longer_than_patience_lasts(a: FakeFrontier) -> None:
    """A client that is held for minutes leaves; it hears the Retry-After while it is there."""
    retry = QUICK.retry.model_copy(update={"patience_s": 2.0, "wait_s": 0.0})
    a.misbehave(*[Fault(Kind.STATUS, status=429, retry_after="1.2")] * 9)
    async with desk({"a": a}, config=QUICK.model_copy(update={"retry": retry})) as sending:
        began = time.monotonic()
        with pytest.raises(TargetUnavailable) as caught:
            await sending.answer(sending.exchange(A))
        assert time.monotonic() - began < 20
    assert caught.value.status == 429
    assert caught.value.type == "rate_limit_error"
    assert caught.value.retry_after_s == 1.2
    assert len(a.requests) == 2


async def test_the_only_target_is_waited_for(a: FakeFrontier) -> None:
    """With nobody else, a Retry-After that fits the deadline is worth waiting for."""
    config = QUICK.model_copy(update={"retry": QUICK.retry.model_copy(update={"wait_s": 0.0})})
    a.misbehave(*[Fault(Kind.STATUS, status=429, retry_after="0.2")] * 3)
    async with desk({"a": a}, config=config) as sending:
        exchange = sending.exchange(A)
        assert b"from a" in await sending.answer(exchange)
    assert outcomes(exchange) == ["rate_limited"] * 3 + ["ok"]


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "bad"), (422, "bad"), (400, "content_filter"), (403, "content_filter")],
)
async def test_the_clients_fault_and_refusals_are_final(
    a: FakeFrontier, b: FakeFrontier, status: int, code: str
) -> None:
    """Not tried elsewhere, not even with a larger window; and the target is not blamed for it."""
    larger = provider("b", b.url, context_window=1_000_000)
    async with desk({"a": a, "b": larger}) as sending:
        for _ in range(8):
            a.misbehave(Fault(Kind.STATUS, status=status, code=code))
            with pytest.raises(TargetRejected) as caught:
                await sending.answer(sending.exchange(A, B))
            assert caught.value.status == status
        assert b"from a" in await sending.answer(sending.exchange(A, B))
    assert not b.requests


async def test_a_refusal_inside_a_200_is_final(a: FakeFrontier, b: FakeFrontier) -> None:
    """An error object in a successful answer counts like the status that it should have had."""
    a.misbehave(Fault(Kind.ERROR_IN_200, code="content_filter"))
    async with desk({"a": a, "b": b}) as sending:
        with pytest.raises(TargetRejected):
            await sending.answer(sending.exchange(A, B))
    assert not b.requests


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_credentials_and_missing_models_lead_elsewhere_for_good(
    a: FakeFrontier, b: FakeFrontier, status: int
) -> None:
    """The provider would say the same again, so an escalation does not ask it either."""
    a.misbehave(Fault(Kind.STATUS, status=status))
    async with desk({"a": a, "b": b}) as sending:
        exchange = sending.exchange(A, B)
        assert b"from b" in await sending.answer(exchange)
    assert len(a.requests) == 1
    assert A.target in exchange.delivery.given_up


async def test_an_overflow_goes_to_larger_windows_only(a: FakeFrontier, b: FakeFrontier) -> None:
    """Not to an equal one; and when there is none, the client hears how to mend it."""
    too_long = Fault(Kind.STATUS, status=400, code="context_length_exceeded")
    small = provider("small", a.url, context_window=1000)
    large = provider("large", b.url, context_window=2000)
    with FakeFrontier() as other:
        same = provider("same", other.url, context_window=1000)
        async with desk({"small": small, "same": same, "large": large}) as sending:
            a.misbehave(too_long)
            options = [frontier("small"), frontier("same"), frontier("large")]
            assert b"from b" in await sending.answer(sending.exchange(*options))
            a.misbehave(too_long)
            with pytest.raises(TargetRejected) as caught:
                await sending.answer(sending.exchange(*options[:2]))
        assert caught.value.code == "context_length_exceeded"
        assert not other.requests


async def test_the_next_replica_is_asked_without_a_pause(a: FakeFrontier, b: FakeFrontier) -> None:
    """One replica's reset leads to the other replica, not to another model."""
    with FakeFrontier(text="far away") as far:
        async with desk({"far": far}, [a, b]) as sending:
            a.misbehave(Kind.RESET)
            b.misbehave(Kind.RESET)
            exchange = sending.exchange(BASE, frontier("far"))
            body = await sending.answer(exchange)
    assert b"from" in body
    assert [attempt.target for attempt in exchange.delivery.attempts] == ["base"] * 3


async def test_attempts_are_bounded(a: FakeFrontier, b: FakeFrontier) -> None:
    """Over all targets together, and over the calls of the stage for one request."""
    config = DeliveryConfig.model_validate({"retry": {"max_attempts": 3, "backoff_s": 0.001}})
    a.misbehave(*[Fault(Kind.STATUS)] * 9)
    b.misbehave(*[Fault(Kind.STATUS)] * 9)
    async with desk({"a": a, "b": b}, config=config) as sending:
        exchange = sending.exchange(A, B)
        for _ in range(2):
            with pytest.raises(TargetUnavailable):
                await sending.answer(exchange)
    assert len(exchange.delivery.attempts) == len(a.requests) + len(b.requests) == 3


async def test_the_deadline_holds_and_leaves_time_for_a_fallback(
    a: FakeFrontier, b: FakeFrontier
) -> None:
    """A hanging first choice may not eat the whole of the client's time."""
    patient = DeliveryConfig.model_validate({"timeouts": {"share": 0.2}})
    a.misbehave(Kind.HANG_BEFORE_HEADERS, Kind.HANG_BEFORE_HEADERS)
    async with desk({"a": a, "b": b}, config=patient) as sending:
        exchange = sending.exchange(A, B, timeout_s=6.0)
        assert b"from b" in await sending.answer(exchange)
        with pytest.raises(TargetTimeout):
            await sending.answer(sending.exchange(A, timeout_s=0.2))


async def test_who_waited_in_vain_hears_for_how_long(a: FakeFrontier, b: FakeFrontier) -> None:
    """The limit and whose it is, not the rest of it that the last of those asked had."""
    for each in (a, b):
        each.misbehave(Kind.HANG_BEFORE_HEADERS, Kind.HANG_BEFORE_HEADERS)
    patient = DeliveryConfig.model_validate({"timeouts": {"share": 0.2}})
    async with desk({"a": a, "b": b}, config=patient) as sending:
        with pytest.raises(TargetTimeout) as caught:
            await sending.answer(sending.exchange(A, B, timeout_s=0.5))
    assert caught.value.message.startswith(
        "No answer within 0.5 s, the request's own limit (x-graftwork-timeout-ms). Asked: "
    )
    assert A.target in caught.value.message


async def test_only_some_retries_reach_a_broken_target(a: FakeFrontier) -> None:
    """The budget: a burst, then a fifth of the requests, not one retry for each."""
    config = DeliveryConfig.model_validate(
        {
            "retry": {"budget_burst": 2, "budget_per_s": 0, "backoff_s": 0.001},
            "breaker": {"consecutive": 1000, "min_calls": 1000},
        }
    )
    a.misbehave(*[Fault(Kind.STATUS)] * 100)
    async with desk({"a": a}, config=config) as sending:
        for _ in range(20):
            with pytest.raises(TargetUnavailable):
                await sending.answer(sending.exchange(A))
    assert 20 + 2 <= len(a.requests) <= 20 + 2 + 4


async def test_an_open_breaker_leads_elsewhere_then_probes(
    a: FakeFrontier, b: FakeFrontier
) -> None:
    """Open: not asked, with the reason on record. Nobody else: asked all the same."""
    config = DeliveryConfig.model_validate(
        {"retry": {"same_target": 0}, "breaker": {"consecutive": 2, "open_s": 60}}
    )
    a.misbehave(*[Fault(Kind.STATUS)] * 2)
    async with desk({"a": a, "b": b}, config=config) as sending:
        exchange = sending.exchange(A, B)
        for _ in range(3):
            exchange = sending.exchange(A, B)
            assert b"from b" in await sending.answer(exchange)
        assert len(a.requests) == 2
        assert "breaker is open" in exchange.delivery.notes[0]["why"]
        alone = sending.exchange(A)
        assert b"from a" in await sending.answer(alone)


async def test_leaving_the_pause_before_a_retry(a: FakeFrontier) -> None:
    """A client that leaves while the router waits for a Retry-After is gone at once."""
    a.misbehave(Fault(Kind.STATUS, status=429, retry_after="15"))
    async with desk({"a": a}) as sending:
        task = asyncio.create_task(sending.answer(sending.exchange(A)))
        await until(lambda: a.requests)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(a.requests) == 1


@pytest.mark.parametrize("kind", [Kind.HANG_BEFORE_HEADERS, Kind.HANG_BEFORE_FIRST_BYTE])
async def test_leaving_reaches_the_provider(a: FakeFrontier, kind: Kind) -> None:
    """The connection is closed, and the attempt is on record."""
    a.misbehave(kind)
    left = a.left
    async with desk({"a": a}, config=DeliveryConfig()) as sending:
        exchange = sending.exchange(A, stream=True)
        task = asyncio.create_task(sending.answer(exchange))
        await until(lambda: a.requests)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: a.left > left)
    assert outcomes(exchange) == ["cancelled"]
