"""Answers that are judged by the probabilities of vLLM's own tokens."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.system.client import chat_body, decision
from tests.system.config import DOUBTED

pytestmark = pytest.mark.system

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
RESPONSES, MESSAGES = "/v1/responses", "/v1/messages"
INCLUDED = "message.output_text.logprobs"
TOLD = '"logprob":'
"""As vLLM and the router write a token's probability, without spaces."""


def body(path: str, **more: Any) -> dict[str, Any]:
    """A request of the judged route."""
    text = f"{DOUBTED}, hello"
    if path == CHAT:
        return chat_body("auto", text, **more)
    said: dict[str, Any] = {"model": "auto", "temperature": 0}
    if path == COMPLETIONS:
        said |= {"prompt": text, "max_tokens": 16}
    elif path == RESPONSES:
        said |= {"input": text, "max_output_tokens": 16}
    else:
        said |= {"messages": [{"role": "user", "content": text}], "max_tokens": 16}
    return {**said, **more}


def names(value: Any) -> Any:
    """The nested names of objects, whatever their values."""
    if isinstance(value, dict):
        return {name: names(each) for name, each in value.items()}
    return [names(each) for each in value] if isinstance(value, list) else None


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, RESPONSES, MESSAGES])
def test_a_judged_answer_shows_no_logprobs(http: httpx.Client, path: str, stream: bool) -> None:
    """The record has what the tokens said; the client sees the answer as it would be without."""
    response = http.post(path, json=body(path, stream=stream))
    assert response.status_code == 200, response.text
    assert TOLD not in response.text.replace(" ", "")
    record = decision(http, response.headers["x-graftwork-decision-id"])
    assert record["unjudged"] is None
    told = record["assurance"][0]
    assert told["tokens"] >= 1
    assert told["min_logprob"] <= told["mean_logprob"] <= 0
    assert told["entropy"] >= 0
    assert 0 < told["probability"] < 1
    assert "below 1.000" in record["review"]
    confidence = response.headers["x-graftwork-confidence"]
    assert float(confidence) == pytest.approx(told["probability"], abs=1e-4)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("path", "wish"),
    [
        (CHAT, {"logprobs": True, "top_logprobs": 2}),
        (RESPONSES, {"include": [INCLUDED], "top_logprobs": 2}),
    ],
)
def test_who_asks_for_logprobs_sees_them(
    http: httpx.Client, path: str, wish: dict[str, Any], stream: bool
) -> None:
    """The client's own wish is passed on and answered; the answer is judged all the same."""
    response = http.post(path, json=body(path, stream=stream, **wish))
    assert response.status_code == 200, response.text
    assert TOLD in response.text.replace(" ", "")
    record = decision(http, response.headers["x-graftwork-decision-id"])
    assert record["assurance"][0]["tokens"] >= 1


def test_a_judged_response_has_the_shape_of_an_unjudged_one(http: httpx.Client) -> None:
    """The same names in the same places as an answer of a route that does not judge."""
    plain = http.post(RESPONSES, json={**body(RESPONSES), "input": "hello"})
    judged = http.post(RESPONSES, json=body(RESPONSES))
    assert plain.status_code == judged.status_code == 200
    assert decision(http, plain.headers["x-graftwork-decision-id"])["assurance"] == []
    # Where a text ends is its own matter.
    shapes = [{**answer.json(), "incomplete_details": None} for answer in (plain, judged)]
    assert names(shapes[1]) == names(shapes[0])


def test_judged_messages_read_the_same_prompt(http: httpx.Client) -> None:
    """Asked through chat or by vLLM's own route, the model sees as many tokens and, at
    temperature 0, says the same.
    """
    system = [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]
    judged = http.post(MESSAGES, json=body(MESSAGES, system=system))
    # "adaptive" asks vLLM for nothing, but requests with it are left to its own route.
    plain = http.post(MESSAGES, json=body(MESSAGES, system=system, thinking={"type": "adaptive"}))
    assert judged.status_code == plain.status_code == 200, plain.text
    told = [decision(http, each.headers["x-graftwork-decision-id"]) for each in (judged, plain)]
    assert [bool(each["assurance"]) for each in told] == [True, False]
    assert "thinking" in told[1]["unjudged"]
    first, second = judged.json(), plain.json()
    assert first["usage"]["output_tokens"] == second["usage"]["output_tokens"]
    assert sum(_prompt(first)) == sum(_prompt(second))
    assert [block["text"] for block in first["content"]] == [
        block["text"] for block in second["content"]
    ]


def _prompt(message: dict[str, Any]) -> list[int]:
    """Tokens of the prompt; those that were cached are counted apart."""
    names_of = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return [message["usage"].get(name) or 0 for name in names_of]
