"""Laws of the send stage, over random options and faults, with real connections.

Law 5: no mechanism asks a target that the filter excluded. And whatever fails: the client gets the
whole text exactly once, or an error, never a part of it as if it were all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.config.delivery import DeliveryConfig
from router.errors import RouterError, TargetBroken
from router.request import Option
from router.wire.endpoint import Endpoint
from tests.fakes.exchanges import BASE_ID
from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier
from tests.fakes.sending import desk, frontier
from tests.fakes.streams import objects

TEXT = "One two three four five."
NAMES = ("a", "b", "c", "local")
MAX_ATTEMPTS = 5
Servers = dict[str, FakeFrontier]
QUICK_KINDS = [
    Kind.RESET,
    Kind.CLOSE,
    Kind.CUT_IN_EVENT,
    Kind.BREAK_OFF,
    Kind.ERROR_MIDWAY,
    Kind.ERROR_IN_200,
    Kind.MALFORMED,
    Kind.EMPTY,
    Kind.HTML,
    Kind.NO_END,
    Kind.REDIRECT,
    Kind.NOT_HTTP,
    Kind.SLOW_START,
]
FAULTS = st.one_of(
    st.builds(Fault, st.sampled_from(QUICK_KINDS), after=st.integers(1, 6)),
    st.builds(
        Fault,
        st.just(Kind.STATUS),
        status=st.sampled_from([400, 401, 403, 404, 408, 422, 429, 500, 503, 529]),
        code=st.sampled_from([None, "context_length_exceeded", "content_filter"]),
        retry_after=st.sampled_from([None, "0.01", "90"]),
    ),
)


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Three providers and an engine."""
    found = {name: FakeFrontier(text=TEXT) for name in NAMES}
    for each in found.values():
        each.__enter__()
    yield found
    for each in found.values():
        each.__exit__(None, None, None)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("endpoint", [Endpoint.CHAT, Endpoint.MESSAGES])
@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    order=st.permutations(NAMES),
    allowed=st.sets(st.sampled_from(NAMES)),
    given_up=st.sets(st.sampled_from(NAMES), max_size=1),
    faults=st.fixed_dictionaries({name: st.lists(FAULTS, max_size=4) for name in NAMES}),
    hedge=st.booleans(),
    requests=st.integers(1, 3),
)
def test_nobody_excluded_is_asked_and_nothing_is_cut_short(
    servers: Servers,
    endpoint: Endpoint,
    stream: bool,
    order: list[str],
    allowed: set[str],
    given_up: set[str],
    faults: dict[str, list[Fault]],
    hedge: bool,
    requests: int,
) -> None:
    """Over retries, fallbacks, hedges, rescues, breakers and escalations alike."""
    for name, each in servers.items():
        each.forget()
        each.misbehave(*faults[name])
    config = DeliveryConfig.model_validate(
        {
            "timeouts": {"first_token_s": 5, "whole_answer_s": 5, "idle_s": 5},
            "retry": {"backoff_s": 0.001, "backoff_max_s": 0.002, "max_attempts": MAX_ATTEMPTS},
            "breaker": {"consecutive": 2, "open_s": 0.01},
            "hedge": {"enabled": hedge, "min_samples": 1, "min_delay_s": 0.01},
        }
    )
    options = [_option(name, name in allowed) for name in order]
    asyncio.run(_ask(servers, config, options, given_up, endpoint, stream, requests))
    excluded = set(NAMES) - (allowed - given_up)
    assert [name for name in excluded if servers[name].requests] == []


def _option(name: str, allowed: bool) -> Option:
    if name == "local":
        return Option("base", BASE_ID, allowed=allowed)
    return frontier(name, allowed=allowed)


async def _ask(
    servers: Servers,
    config: DeliveryConfig,
    options: list[Option],
    given_up: set[str],
    endpoint: Endpoint,
    stream: bool,
    requests: int,
) -> None:
    """Several requests, so that breakers and budgets have a memory."""
    providers = {name: each for name, each in servers.items() if name != "local"}
    async with desk(providers, [servers["local"]], config=config) as sending:
        for _ in range(requests):
            exchange = sending.exchange(
                *options, endpoint=endpoint, stream=stream, timeout_s=15, max_tokens=100
            )
            exchange.delivery.given_up = {_option(name, True).target for name in given_up}
            raw, complete = b"", True
            try:
                answer = await sending.sender.send(exchange)
                try:
                    async for chunk in answer.chunks():
                        raw += chunk.raw
                except TargetBroken:
                    complete = False
                finally:
                    await answer.aclose()
            except RouterError:
                continue
            finally:
                assert len(exchange.delivery.attempts) <= MAX_ATTEMPTS
            text = _text(raw) if stream else _whole(raw)
            assert text == TEXT if complete else TEXT.startswith(text)
            assert not any(attempt.outcome == "pending" for attempt in exchange.delivery.attempts)


def _whole(raw: bytes) -> str:
    found = orjson.loads(raw)
    if "choices" in found:
        return str(found["choices"][0]["message"]["content"])
    return "".join(block["text"] for block in found["content"])


def _text(raw: bytes) -> str:
    pieces: list[Any] = []
    for event in objects(raw):
        if event is None:
            continue
        if event.get("type") == "content_block_delta":
            pieces.append(event["delta"]["text"])
        pieces += [choice["delta"].get("content") or "" for choice in event.get("choices", [])]
    return "".join(pieces)
