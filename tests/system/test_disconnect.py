"""A client that leaves frees its work, in the router, in the engine and at the provider."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier
from tests.system.client import BASE, chat_body, decision, eventually
from tests.system.config import OPENAI_FRONTIER

pytestmark = pytest.mark.system

FREED_S = 10.0
LONG = {"max_tokens": 1900, "ignore_eos": True}
"""The base needs much longer for this many tokens than it takes to leave."""


def under_way(http: httpx.Client) -> dict[str, float]:
    """Requests under way in router and engine."""
    wanted = {"graftwork_requests_in_flight": "router", "vllm:num_requests_running": "engine"}
    return {
        wanted[family.name]: sum(sample.value for sample in family.samples)
        for family in text_string_to_metric_families(http.get("/metrics").text)
        if family.name in wanted
    }


def is_idle(http: httpx.Client) -> Callable[[], bool]:
    """Whether nothing is under way anywhere."""
    return lambda: under_way(http) == {"router": 0.0, "engine": 0.0}


@pytest.fixture(autouse=True)
def _idle_before(http: httpx.Client) -> None:
    eventually(is_idle(http), "nothing of earlier tests is under way", FREED_S)


def test_leaving_a_stream(http: httpx.Client) -> None:
    """Closing the connection mid-stream ends the generation within seconds."""
    body = chat_body(BASE, "Tell me everything.", stream=True, **LONG)
    with http.stream("POST", "/v1/chat/completions", json=body) as response:
        pieces = response.iter_raw()  # held: a generator that is dropped closes the connection
        assert next(pieces)
        eventually(
            lambda: under_way(http) == {"router": 1.0, "engine": 1.0}, "it is generated", FREED_S
        )
    eventually(is_idle(http), "the request left router and engine", FREED_S)
    record = decision(http, response.headers["x-graftwork-decision-id"])
    assert record["status"] == 499
    assert record["error"] == "client_left"


def test_leaving_before_the_answer(http: httpx.Client) -> None:
    """Giving up on a whole answer ends the generation too."""
    body = chat_body(BASE, "Tell me everything.", **LONG)
    with pytest.raises(httpx.ReadTimeout):
        http.post("/v1/chat/completions", json=body, timeout=httpx.Timeout(60, read=1.0))
    eventually(is_idle(http), "the request left router and engine", FREED_S)
    newest = http.get("/admin/v1/decisions", params={"limit": 1}).json()["data"][0]
    assert newest["error"] == "client_left"


def test_leaving_a_frontier_stream(http: httpx.Client, frontier: FakeFrontier) -> None:
    """The provider's connection is cut as well: nobody pays for tokens that nobody reads."""
    before = frontier.left
    frontier.misbehave(Fault(Kind.SLOW_DRIP, delay_s=0.1))
    body = chat_body(OPENAI_FRONTIER, "say " + "word " * 200, stream=True, max_tokens=300)
    with http.stream("POST", "/v1/chat/completions", json=body) as response:
        assert next(response.iter_raw())
    eventually(lambda: frontier.left > before, "the provider saw the client leave", FREED_S)
    eventually(is_idle(http), "the router has nothing under way", FREED_S)


def test_leaving_while_sending(http: httpx.Client) -> None:
    """A body that breaks off is no request: nothing stays under way, the next one is answered."""

    def broken() -> object:
        yield b'{"model": "base", '
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        http.post("/v1/chat/completions", content=broken())  # type: ignore[arg-type]
    eventually(is_idle(http), "nothing is under way", FREED_S)
    assert http.get("/healthz").status_code == 200
