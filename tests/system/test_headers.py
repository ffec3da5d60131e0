"""What every inference response carries, and that streams are passed on as they arrive."""

from __future__ import annotations

import re
import time
from typing import Any

import httpx
import orjson
import pytest

from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier import FakeFrontier
from tests.system.client import BASE, RETURNS_QUESTION, chat_body, decision
from tests.system.config import (
    ANTHROPIC_FRONTIER,
    FRONTIER_KEY,
    INPUT_USD,
    OPENAI_FRONTIER,
    OUTPUT_USD,
)

pytestmark = pytest.mark.system

ADMITTED = ["door", "admit", "begin", "read", "data-prep"]
DECIDING = [*ADMITTED, "governance", "intent", "topics", "policy", "choose"]
SENT = [*DECIDING, "withhold", "budget", "cache", "context", "send", "vault", "target"]
STAGES = [*SENT, "confidence", "escalate", "governance-out", "respond"]
ON_RECORD = "on-record"
NOT_ALWAYS = "answer-checks"
"""Where an answer is long enough to be looked at."""
SETTLED = ["settle", "end", ON_RECORD, "last-byte"]
CONTRACT = {
    "x-request-id": r"given-[0-9a-z-]+",
    "x-graftwork-decision-id": r"dec_[0-9a-f]+",
    "x-graftwork-target": r"base|adapter:[a-z-]+@[0-9a-f]{12}|frontier:[a-z-]+/[a-z]+",
    "x-graftwork-intent": r"[a-z]+",
    "x-graftwork-confidence": r"none|[01]\.[0-9]{4}",
    "x-graftwork-attempts": r"[0-9]+",
    "x-graftwork-cost-usd": r"[0-9]+\.[0-9]{9}",
    "x-graftwork-overhead-ms": r"[0-9]+\.[0-9]{2}",
    "x-ratelimit-limit-requests": r"[0-9]+",
    "x-ratelimit-remaining-requests": r"[0-9]+",
    "x-ratelimit-reset-requests": r"[0-9]+s",
}
MESSAGES = [{"role": "user", "content": RETURNS_QUESTION}]
CALLS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": MESSAGES, "max_tokens": 4},
    "/v1/completions": {"prompt": "Hello", "max_tokens": 4},
    "/v1/responses": {"input": RETURNS_QUESTION, "max_output_tokens": 4},
    "/v1/messages": {"messages": MESSAGES, "max_tokens": 4},
}


def timings(response: httpx.Response) -> list[str]:
    """Names in `Server-Timing`, each with its duration in milliseconds."""
    entries = response.headers["server-timing"].split(", ")
    assert all(re.fullmatch(r"[a-z-]+;dur=[0-9]+\.[0-9]{2}", entry) for entry in entries)
    names = [entry.partition(";")[0] for entry in entries]
    return [name for name in names if name != NOT_ALWAYS]


def once(response: httpx.Response, name: str) -> str:
    """A header's value; fails unless it comes exactly once."""
    values = [v for n, v in response.headers.raw if n.lower() == name.encode()]
    assert len(values) == 1, f"{name}: {values}"
    return values[0].decode()


def final_comment(body: bytes) -> dict[str, Any]:
    """The facts in a comment right before the stream's last event."""
    comment = body.rstrip(b"\n").split(b"\n\n")[-2]
    prefix, _, facts = comment.partition(b" graftwork ")
    assert prefix == b":", comment
    return dict(orjson.loads(facts))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("path", CALLS)
def test_contract_headers(http: httpx.Client, path: str, stream: bool) -> None:
    """Every header of the contract comes once and well formed, with one timing per stage."""
    given = f"given-{path.rpartition('/')[2]}-{int(stream)}"
    response = http.post(
        path,
        json={**CALLS[path], "model": "auto", "stream": stream},
        headers={"x-request-id": given},
    )
    assert response.status_code == 200, response.text
    for name, pattern in CONTRACT.items():
        assert re.fullmatch(pattern, once(response, name)), f"{name}: {response.headers[name]}"
    assert response.headers["x-request-id"] == given
    assert timings(response) == ([*STAGES, ON_RECORD] if stream else [*STAGES, *SETTLED])
    record = decision(http, response.headers["x-graftwork-decision-id"])
    assert record["request_id"] == given
    assert record["target"] == response.headers["x-graftwork-target"]
    if stream:
        facts = final_comment(response.content)
        assert facts["decision_id"] == record["id"]
        assert facts["output_tokens"] == record["usage"]["output_tokens"] > 0


@pytest.mark.parametrize(
    ("body", "status", "stages"),
    [
        ({"model": "nobody", "messages": MESSAGES}, 404, [*DECIDING, *SETTLED]),
        ({"model": BASE, "messages": MESSAGES, "temperature": -1}, 400, [*SENT, *SETTLED]),
        ({"model": BASE, "messages": "wrong"}, 400, [*ADMITTED, *SETTLED]),
    ],
    ids=["unknown model", "refused by vLLM", "refused by the router"],
)
def test_refusals_carry_them_too(
    http: httpx.Client, body: dict[str, Any], status: int, stages: list[str]
) -> None:
    """An error has the same headers, with the stages that it went through."""
    response = http.post("/v1/chat/completions", json=body)
    assert response.status_code == status
    for name in CONTRACT:
        assert once(response, name)
    assert timings(response) == stages


def test_request_id_is_made_when_none_is_given(http: httpx.Client) -> None:
    """Each response has an id of its own, routes that are no inference included."""
    first, second = (http.get("/v1/models") for _ in range(2))
    assert once(first, "x-request-id") != once(second, "x-request-id")


def test_cost_of_a_frontier_answer(http: httpx.Client, frontier: FakeFrontier) -> None:
    """Tokens times the configured prices, in the header and in a stream's final comment."""
    body = chat_body(OPENAI_FRONTIER, "say one two three four")
    expected = (5 * INPUT_USD + 4 * OUTPUT_USD) / 1e6
    whole = http.post("/v1/chat/completions", json=body)
    streamed = http.post("/v1/chat/completions", json={**body, "stream": True})
    assert float(whole.headers["x-graftwork-cost-usd"]) == pytest.approx(expected)
    assert final_comment(streamed.content)["cost_usd"] == pytest.approx(expected)
    assert decision(http, streamed.headers["x-graftwork-decision-id"])["cost_usd"] == (
        pytest.approx(expected)
    )


def test_stream_is_forwarded_byte_for_byte(http: httpx.Client, frontier: FakeFrontier) -> None:
    """Up to the final comment the client gets exactly the provider's bytes."""
    body = chat_body(OPENAI_FRONTIER, "say grüße 🙂 end", stream=True)
    body["stream_options"] = {"include_usage": True}
    through = http.post("/v1/chat/completions", json=body).content
    direct = httpx.post(
        f"{frontier.openai_url}/chat/completions",
        json={**body, "model": "large"},
        headers={"authorization": f"Bearer {FRONTIER_KEY}"},
        trust_env=False,
    ).content
    before, comment, end = through.partition(b": graftwork ")
    assert before + end.partition(b"\n\n")[2] == direct
    assert comment
    assert final_comment(through)["target"] == f"frontier:{OPENAI_FRONTIER}"


@pytest.mark.parametrize("model", [OPENAI_FRONTIER, ANTHROPIC_FRONTIER])
def test_stream_is_forwarded_as_it_arrives(
    http: httpx.Client, frontier: FakeFrontier, model: str
) -> None:
    """Nothing is buffered: pieces that the provider sends apart arrive apart."""
    frontier.misbehave(Fault(Kind.SLOW_DRIP, delay_s=0.2))
    body = chat_body(model, "say one two three four five six", stream=True)
    with http.stream("POST", "/v1/chat/completions", json=body) as response:
        arrivals = [(time.monotonic(), chunk) for chunk in response.iter_raw()]
    first_word = next(at for at, chunk in arrivals if b"one" in chunk)
    last_word = next(at for at, chunk in arrivals if b"six" in chunk)
    assert len(arrivals) > 5
    assert last_word - first_word > 0.6


def test_provider_that_breaks_off(http: httpx.Client, frontier: FakeFrontier) -> None:
    """A stream that is cut ends with a well-formed error event, never as a success."""
    frontier.misbehave(Fault(Kind.BREAK_OFF, after=3))
    body = chat_body(OPENAI_FRONTIER, "say one two three four five", stream=True)
    response = http.post("/v1/chat/completions", json=body)
    events = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
    errors = [orjson.loads(e)["error"] for e in events if e.startswith('{"error"')]
    assert [error["code"] for error in errors] == ["upstream_stream_broken"]
    assert '"finish_reason":"stop"' not in response.text
    record = decision(http, response.headers["x-graftwork-decision-id"])
    assert record["error"] == "upstream_stream_broken"


def test_own_time_limit(http: httpx.Client, frontier: FakeFrontier) -> None:
    """`x-graftwork-timeout-ms` bounds the call, by header and in the body."""
    for where in ("header", "body"):
        frontier.misbehave(Fault(Kind.HANG_BEFORE_HEADERS))
        body = chat_body(OPENAI_FRONTIER, "hello")
        headers = {}
        if where == "header":
            headers["x-graftwork-timeout-ms"] = "400"
        else:
            body["graftwork"] = {"timeout_ms": 400}
        started = time.monotonic()
        response = http.post("/v1/chat/completions", json=body, headers=headers)
        assert response.status_code == 504
        assert response.json()["error"]["code"] == "upstream_timeout"
        assert time.monotonic() - started < 10
