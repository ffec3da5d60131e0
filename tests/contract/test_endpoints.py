"""Every endpoint, whole and streamed: bodies, headers of the contract, the end of a stream."""

from __future__ import annotations

import re
from typing import Any

import httpx
import orjson
import pytest

from tests.contract.client import BODIES, ENDS, HELLO, Pushed, chat, lines
from tests.fakes.frontier import FakeFrontier
from tests.fakes.whole_system import System

HEADERS = {
    "x-request-id": r"[A-Za-z0-9._:-]+",
    "x-graftwork-decision-id": r"dec_[0-9a-f]+",
    "x-graftwork-target": r"base",
    "x-graftwork-intent": r"[a-z]+",
    "x-graftwork-confidence": r"none|[01]\.[0-9]+",
    "x-graftwork-attempts": r"1",
    "x-graftwork-cost-usd": r"[0-9]+\.[0-9]+",
    "x-graftwork-overhead-ms": r"[0-9]+\.[0-9]+",
    "x-ratelimit-limit-requests": r"[0-9]+",
    "x-ratelimit-remaining-requests": r"[0-9]+",
    "x-ratelimit-reset-requests": r"[0-9]+s",
    "server-timing": r"[a-z-]+;dur=[0-9.]+(, [a-z-]+;dur=[0-9.]+)+",
}
TEXTS: dict[str, Any] = {
    "/v1/chat/completions": lambda body: body["choices"][0]["message"]["content"],
    "/v1/completions": lambda body: body["choices"][0]["text"],
    "/v1/responses": lambda body: body["output"][0]["content"][0]["text"],
    "/v1/messages": lambda body: body["content"][0]["text"],
}


@pytest.mark.parametrize("path", BODIES)
def test_the_end_of_a_stream_says_what_was_known_only_then(app: httpx.Client, path: str) -> None:
    """A comment, before the end mark, that clients skip."""
    answer = app.post(path, json={**BODIES[path], "model": "tiny", "stream": True})
    found = lines(answer.content)
    comments = [number for number, line in enumerate(found) if line.comment.startswith("graftwork")]
    assert len(comments) == 1
    assert comments[0] < len(found) - 1, "the comment comes after the end mark"
    facts = orjson.loads(found[comments[0]].comment.removeprefix("graftwork "))
    assert facts["decision_id"] == answer.headers["x-graftwork-decision-id"]
    assert facts["target"] == "base"
    assert facts["output_tokens"] == 3


@pytest.mark.parametrize("path", BODIES)
def test_a_whole_answer(app: httpx.Client, path: str) -> None:
    """In the shape of the API that was called."""
    answer = app.post(path, json={**BODIES[path], "model": "tiny"})
    assert answer.status_code == 200, answer.text
    assert TEXTS[path](answer.json()) == "I am tiny"


@pytest.mark.parametrize("path", BODIES)
def test_a_streamed_answer(app: httpx.Client, path: str) -> None:
    """Events of the API that was called, ending as it ends."""
    answer = app.post(path, json={**BODIES[path], "model": "tiny", "stream": True})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [line for line in lines(answer.content) if not line.comment]
    assert ENDS[path] in (events[-1].data, events[-1].event)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("path", BODIES)
def test_the_headers_of_the_contract(app: httpx.Client, path: str, stream: bool) -> None:
    """Each comes once and well formed; a given request id is kept."""
    answer = app.post(
        path,
        json={**BODIES[path], "model": "tiny", "stream": stream},
        headers={"x-request-id": "given-1"},
    )
    for name, pattern in HEADERS.items():
        values = answer.headers.get_list(name)
        assert len(values) == 1, name
        assert re.fullmatch(pattern, values[0]), f"{name}: {values[0]}"
    assert answer.headers["x-request-id"] == "given-1"


def test_embeddings_are_whole_whatever_is_asked_for(
    app: httpx.Client, frontier: FakeFrontier
) -> None:
    """There is no stream of them; ``stream`` is for us, and no provider hears of it."""
    for stream in (True, False, None):
        body = {"model": "cloud/big", "input": "Hello", "stream": stream}
        answer = app.post("/v1/embeddings", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["object"] == "list"
        assert not frontier.requests[-1].body.get("stream")
    odd = app.post("/v1/embeddings", json={"model": "cloud/big", "input": "x", "stream": "yes"})
    assert odd.status_code == 400


def test_embeddings_come_from_who_has_them(app: httpx.Client, frontier: FakeFrontier) -> None:
    """A provider's model."""
    answer = app.post("/v1/embeddings", json={"model": "cloud/big", "input": "Hello"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"][0]["embedding"]


def test_unknown_fields_pass_through(
    app: httpx.Client, keyed: System, frontier: FakeFrontier
) -> None:
    """To engines and to providers; our own extension stays here."""
    more: dict[str, Any] = {"a_field_of_tomorrow": {"x": 1}, "graftwork": {"session": "s"}}
    for model in ("tiny", "cloud/big"):
        assert chat(app, model, **more).status_code == 200
    (_, local), *_ = [call for engine in keyed.engines.values() for call in engine.requests]
    for body in (local, frontier.requests[0].body):
        assert body["a_field_of_tomorrow"] == {"x": 1}
        assert "graftwork" not in body


@pytest.mark.parametrize("path", BODIES)
def test_tokens_cost_what_the_card_says(app: httpx.Client, path: str) -> None:
    """A provider's answer, by its own count."""
    answer = app.post(path, json={**BODIES[path], "model": "cloud/big"})
    assert answer.status_code == 200, answer.text
    usage = answer.json()["usage"]
    came = usage.get("prompt_tokens", usage.get("input_tokens"))
    went = usage.get("completion_tokens", usage.get("output_tokens"))
    expected = (came + 2 * went) / 1e6
    assert float(answer.headers["x-graftwork-cost-usd"]) == pytest.approx(expected, abs=1e-8)


def test_a_key_comes_in_either_header(keyed: System, returns: Pushed) -> None:
    """``Authorization: Bearer`` as OpenAI's SDK sends it, ``x-api-key`` as Anthropic's does."""
    for headers in ({"authorization": "Bearer key-app"}, {"x-api-key": "key-app"}):
        answer = httpx.post(
            f"{keyed.url}/v1/messages",
            json={"model": "returns", "messages": HELLO, "max_tokens": 8},
            headers=headers,
        )
        assert answer.status_code == 200, answer.text


def test_a_client_can_bound_what_it_pays(app: httpx.Client, frontier: FakeFrontier) -> None:
    """By header or in the body: nobody dearer is asked."""
    for more in (
        {"headers": {"x-graftwork-max-cost-usd": "0.0000001"}},
        {"graftwork": {"max_cost_usd": 0.0000001}},
    ):
        answer = chat(app, "cloud/big", **more)
        assert answer.status_code >= 400
        assert not frontier.requests
