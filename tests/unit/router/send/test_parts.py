"""Budget, pauses, percentiles, the sorting of errors, and where a stream begins."""

from __future__ import annotations

import random

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.config.delivery import DeliveryConfig, RetryConfig
from router.errors import Failure, Overloaded, TargetBroken, TargetRejected, TargetUnavailable
from router.send.health import HealthBook, Latencies, RetryBudget
from router.send.remedy import Blame, Step, sort
from router.send.sender import pause_s
from router.wire.endpoint import Endpoint
from router.wire.events import Event
from router.wire.formats import FORMATS


@given(events=st.lists(st.tuples(st.booleans(), st.floats(0, 0.5)), max_size=200))
def test_retries_never_exceed_the_budget(events: list[tuple[bool, float]]) -> None:
    """Over any history: the burst, a share of the requests, and so many per second."""
    config = RetryConfig(budget_ratio=0.2, budget_per_s=1.0, budget_burst=3)
    budget, now, requests, retries = RetryBudget(config, 0.0), 0.0, 0, 0
    for is_request, passed in events:
        now += passed
        if is_request:
            budget.deposit()
            requests += 1
        elif budget.withdraw(now):
            retries += 1
    assert retries <= 3 + 0.2 * requests + now + 1e-6


def test_pauses_are_random_and_bounded() -> None:
    """Full jitter grows to its bound; a told time is kept, and hardly exceeded."""
    rng = random.Random(1)
    for number in range(1, 9):
        pauses = [pause_s(number, None, 0.1, 1.0, rng) for _ in range(200)]
        bound = min(1.0, 0.1 * 2 ** (number - 1))
        assert max(pauses) <= bound
        assert min(pauses) < bound / 4
        assert max(pauses) > bound * 3 / 4
    assert all(2.0 <= pause_s(1, 2.0, 0.1, 1.0, rng) <= 2.2 for _ in range(50))


def test_percentile_of_the_newest() -> None:
    """Nothing before there are enough; old calls fall out."""
    times = Latencies()
    for n in range(19):
        times.add(n / 100)
    assert times.percentile(0.95, 20) is None
    for _ in range(200):
        times.add(1.0)
    assert times.percentile(0.95, 20) == 1.0
    for n in range(128):
        times.add(n / 128)
    assert times.percentile(0.5, 20) == pytest.approx(0.5)


@pytest.mark.parametrize("failure", list(Failure))
def test_every_failure_is_sorted(failure: Failure) -> None:
    """A new kind of failure needs an entry in the table."""
    verdict = sort(TargetUnavailable("x", failure=failure))
    assert verdict.step is not Step.STOP


def test_sorting_by_code() -> None:
    """Requests at fault stop; an overflow asks for a larger window; our own limits blame nobody."""
    assert sort(TargetRejected("x", status=400)).step is Step.STOP
    overflow = "context_length_exceeded"
    assert sort(TargetRejected("x", status=400, code=overflow)).step is Step.LARGER
    assert sort(TargetBroken("x", code=overflow)).step is Step.LARGER
    assert sort(TargetBroken("x", code="content_filter")).step is Step.STOP
    assert sort(TargetBroken("x", code="overloaded_error")).step is Step.LATER
    assert sort(Overloaded("x")).blame is Blame.NOBODY


def test_the_book_is_bounded_and_forgets() -> None:
    """Law 9."""
    book = HealthBook(DeliveryConfig())
    for n in range(5000):
        book.of(f"replica:{n}", 0.0)
    assert len(list(book)) <= 2048
    book.keep_replicas({"4999"})
    assert [name for name, _ in book] == ["replica:4999"]
    book.forget("replica:4999")
    assert not list(book)


def data(event: object) -> bytes:
    """One event."""
    return b"data: " + orjson.dumps(event) + b"\n\n"


@pytest.mark.parametrize(
    ("endpoint", "event", "says"),
    [
        (Endpoint.CHAT, {"choices": [{"delta": {"role": "assistant", "content": ""}}]}, False),
        (Endpoint.CHAT, {"choices": [], "usage": {}}, False),
        (Endpoint.CHAT, {"choices": [{"delta": {"content": "a"}}]}, True),
        (Endpoint.CHAT, {"choices": [{"delta": {"tool_calls": [{}]}}]}, True),
        (Endpoint.CHAT, {"choices": [{"delta": {}, "finish_reason": "stop"}]}, True),
        (Endpoint.COMPLETIONS, {"choices": [{"text": ""}]}, False),
        (Endpoint.COMPLETIONS, {"choices": [{"text": "a"}]}, True),
        (Endpoint.MESSAGES, {"type": "message_start"}, False),
        (Endpoint.MESSAGES, {"type": "content_block_start"}, False),
        (Endpoint.MESSAGES, {"type": "content_block_delta"}, True),
        (Endpoint.RESPONSES, {"type": "response.created"}, False),
        (
            Endpoint.RESPONSES,
            {"type": "response.output_item.added", "item": {"type": "message"}},
            False,
        ),
        (
            Endpoint.RESPONSES,
            {"type": "response.output_item.added", "item": {"type": "web_search_call"}},
            True,
        ),
        (Endpoint.RESPONSES, {"type": "response.output_text.delta"}, True),
    ],
)
def test_where_a_stream_begins_to_say_something(
    endpoint: Endpoint, event: object, says: bool
) -> None:
    """Roles, ids and empty blocks are no content; what nobody understands is."""
    carries = FORMATS[endpoint].carries
    assert carries(Event(data(event))) is says
    assert not carries(Event(b": comment\n\n"))
    assert carries(Event(b"data: [DONE]\n\n"))
