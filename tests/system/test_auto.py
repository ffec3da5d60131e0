"""`model: auto`, the dry run of a decision, the record of it, and feedback."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.fakes.frontier import FakeFrontier
from tests.system.client import BASE, RETURNS_QUESTION, chat, chat_body, decision, target
from tests.system.config import OPENAI_FRONTIER

pytestmark = pytest.mark.system


@pytest.mark.parametrize(
    ("prompt", "intent", "answers"),
    [
        (RETURNS_QUESTION, "returns", "adapter:returns@"),
        ("Can I get my money back?", "returns", "adapter:returns@"),
        ("Please extract this order as JSON: two lamps", "extract", "adapter:extract@"),
        ("Good morning, who are you?", "none", "base"),
    ],
)
def test_auto_follows_the_intent(
    http: httpx.Client, prompt: str, intent: str, answers: str
) -> None:
    """The adapter of the recognised intent answers, otherwise the base."""
    response = chat(http, "auto", prompt)
    assert response.headers["x-graftwork-intent"] == intent
    assert target(response).startswith(answers)
    without_model = http.post(
        "/v1/chat/completions",
        json={k: v for k, v in chat_body("auto", prompt).items() if k != "model"},
    )
    assert target(without_model) == target(response)


def test_a_named_model_is_not_second_guessed(http: httpx.Client) -> None:
    """Only `auto` classifies: a client that names the base gets the base."""
    response = chat(http, BASE, RETURNS_QUESTION)
    assert target(response) == "base"
    assert response.headers["x-graftwork-intent"] == "none"


def test_dry_run_calls_nobody(http: httpx.Client, frontier: FakeFrontier) -> None:
    """`/v1/decision` tells candidates and choice, and neither vLLM nor a provider hears of it."""
    before = _answered(http)
    told = http.post("/v1/decision", json=chat_body("auto", RETURNS_QUESTION)).json()
    assert told["object"] == "decision"
    assert told["dry_run"] is True
    assert told["target"].startswith("adapter:returns@")
    assert [c["target"] for c in told["candidates"] if c["allowed"]][-1] == "base"
    assert {c["code"] for c in told["candidates"] if not c["allowed"]} <= {"not_offered"}
    assert all(candidate["reason"] for candidate in told["candidates"])
    assert told["attempts"] == []
    away = http.post("/v1/decision", json=chat_body(OPENAI_FRONTIER, "hello")).json()
    assert away["target"] == f"frontier:{OPENAI_FRONTIER}"
    assert frontier.requests == []
    assert _answered(http) == before
    assert http.post("/v1/decision", json=chat_body("nobody", "x")).status_code == 404


def _answered(http: httpx.Client) -> list[str]:
    text = http.get("/metrics").text
    return [line for line in text.splitlines() if line.startswith("vllm:request_success_total")]


def test_decision_records(http: httpx.Client) -> None:
    """The newest decisions are listed first, without what was said, and each can be fetched."""
    secret = "the parrot is called Nimbus"
    asked = chat(http, "auto", f"{RETURNS_QUESTION} By the way, {secret}.")
    refused = http.post("/v1/chat/completions", json=chat_body("nobody", secret))
    listing = http.get("/admin/v1/decisions", params={"limit": 2})
    newest = listing.json()["data"]
    wanted = [r.headers["x-graftwork-decision-id"] for r in (refused, asked)]
    assert [record["id"] for record in newest] == wanted
    record = decision(http, wanted[1])
    assert record["status"] == 200
    assert record["stages"].keys() >= {"admit", "data-prep", "choose", "send"}
    assert record["usage"]["output_tokens"] > 0
    assert record["attempts"][0]["outcome"] == "ok"
    assert newest[0]["status"] == 404
    assert newest[0]["error"] == "model_not_found"
    assert secret not in listing.text


def test_decisions_that_do_not_exist(http: httpx.Client) -> None:
    """An unknown id is 404, a limit that makes no sense is 400."""
    assert http.get("/admin/v1/decisions/dec_nothing").status_code == 404
    for limit in ("0", "-1", "x", "1001"):
        response = http.get("/admin/v1/decisions", params={"limit": limit})
        assert response.status_code == 400, limit
        assert response.json()["error"]["param"] == "limit"


def test_feedback(http: httpx.Client) -> None:
    """Every kind of feedback is kept with the decision that it is about."""
    identity = chat(http, BASE).headers["x-graftwork-decision-id"]
    said: list[dict[str, Any]] = [
        {"kind": "boolean", "value": False},
        {"kind": "float", "value": 0.25},
        {"kind": "comment", "value": "too short"},
        {"kind": "demonstration", "value": "Bring it to any shop."},
    ]
    for each in said:
        response = http.post("/v1/feedback", json={"decision_id": identity, **each})
        assert response.status_code == 200, response.text
    kept = decision(http, identity)["feedback"]
    assert [{"kind": f["kind"], "value": f["value"]} for f in kept] == said


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"kind": "boolean", "value": "yes"}, 400),
        ({"kind": "mood", "value": 1}, 400),
        ({"kind": "float", "value": 1, "more": 1}, 400),
        ({"kind": "comment", "value": "x", "decision_id": "dec_nothing"}, 404),
    ],
)
def test_feedback_that_is_refused(http: httpx.Client, wrong: dict[str, Any], status: int) -> None:
    """Feedback of the wrong kind, or about nothing, is the client's error."""
    identity = chat(http, BASE).headers["x-graftwork-decision-id"]
    response = http.post("/v1/feedback", json={"decision_id": identity, **wrong})
    assert response.status_code == status
    assert response.json()["error"]["message"]
