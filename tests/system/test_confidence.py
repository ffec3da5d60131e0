"""Answers that are judged by the probabilities of vLLM's own tokens."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.system.client import chat_body, decision
from tests.system.config import DOUBTED

pytestmark = pytest.mark.system

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"


def body(path: str, **more: Any) -> dict[str, Any]:
    """A request of the judged route."""
    if path == CHAT:
        return chat_body("auto", f"{DOUBTED}, hello", **more)
    said = {"model": "auto", "prompt": f"{DOUBTED}, hello", "max_tokens": 16, "temperature": 0}
    return {**said, **more}


def choices(response: httpx.Response) -> list[dict[str, Any]]:
    """Every choice of a whole answer, or of a stream's events."""
    if not response.headers["content-type"].startswith("text/event-stream"):
        return list(response.json()["choices"])
    lines = [line for line in response.text.splitlines() if line.startswith("data: {")]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    return [choice for event in events for choice in event.get("choices", ())]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_a_judged_answer_shows_no_logprobs(http: httpx.Client, path: str, stream: bool) -> None:
    """The record has what the tokens said; the client sees the answer as it would be without."""
    response = http.post(path, json=body(path, stream=stream))
    assert response.status_code == 200, response.text
    found = choices(response)
    assert found
    assert all(choice.get("logprobs") is None for choice in found)
    record = decision(http, response.headers["x-graftwork-decision-id"])
    told = record["assurance"][0]
    assert told["tokens"] >= 1
    assert told["min_logprob"] <= told["mean_logprob"] <= 0
    assert told["entropy"] >= 0
    assert 0 < told["probability"] < 1
    assert "below 1.000" in record["review"]
    confidence = response.headers["x-graftwork-confidence"]
    assert float(confidence) == pytest.approx(told["probability"], abs=1e-4)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_who_asks_for_logprobs_sees_them(http: httpx.Client, stream: bool) -> None:
    """The client's own wish is passed on and answered; the answer is judged all the same."""
    response = http.post(CHAT, json=body(CHAT, stream=stream, logprobs=True, top_logprobs=2))
    assert response.status_code == 200, response.text
    assert any((choice.get("logprobs") or {}).get("content") for choice in choices(response))
    record = decision(http, response.headers["x-graftwork-decision-id"])
    assert record["assurance"][0]["tokens"] >= 1
