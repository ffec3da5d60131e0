"""What would be decided, what was decided, and what people said of it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.client import ADMIN, HELLO, Pushed, chat, error_of
from tests.fakes.frontier import FakeFrontier
from tests.fakes.whole_system import System


def test_a_dry_run_calls_nobody(
    app: httpx.Client, keyed: System, returns: Pushed, frontier: FakeFrontier
) -> None:
    """The same body as chat; the same decision as the real call's."""
    body = {"model": "auto", "messages": [{"role": "user", "content": "a refund please"}]}
    answer = app.post("/v1/decision", json=body)
    assert answer.status_code == 200, answer.text
    decided = answer.json()
    assert decided["object"] == "decision"
    assert decided["dry_run"] is True
    assert answer.headers["x-graftwork-target"] == returns.target
    assert answer.headers["x-graftwork-intent"] == "returns"
    assert answer.headers["x-graftwork-attempts"] == "0"
    assert answer.headers["x-graftwork-decision-id"] == decided["id"]
    assert answer.headers["x-request-id"] == decided["request_id"]
    assert "choose" in answer.headers["server-timing"]
    assert not keyed.asked()
    assert not frontier.requests
    real = app.post("/v1/chat/completions", json=body)
    assert decided["target"] == real.headers["x-graftwork-target"] == returns.target


def test_every_request_has_a_record(app: httpx.Client, ops: httpx.Client) -> None:
    """Answered or refused; found by its id."""
    for model, status in (("tiny", 200), ("nobody", 404)):
        answer = chat(app, model, headers={"x-request-id": f"record-{model}"})
        identity = answer.headers["x-graftwork-decision-id"]
        found = ops.get(f"{ADMIN}/decisions/{identity}")
        assert found.status_code == 200, found.text
        record = found.json()
        assert record["id"] == identity
        assert record["request_id"] == f"record-{model}"
        assert record["status"] == status
        assert record["tenant"] == "app"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("boolean", True),
        ("float", 0.5),
        ("comment", "good"),
        ("demonstration", "It should have said this."),
    ],
)
def test_feedback_is_taken(app: httpx.Client, ops: httpx.Client, kind: str, value: object) -> None:
    """Of every kind, and stays with the decision."""
    identity = chat(app, "tiny").headers["x-graftwork-decision-id"]
    given = {"decision_id": identity, "kind": kind, "value": value}
    answer = app.post("/v1/feedback", json=given)
    assert answer.status_code == 200, answer.text
    kept = ops.get(f"{ADMIN}/decisions/{identity}").json()["feedback"]
    assert [(each["kind"], each["value"]) for each in kept] == [(kind, value)]


@pytest.mark.parametrize(
    "given",
    [
        {"decision_id": "dec_0", "kind": "thumb", "value": True},
        {"decision_id": "dec_0", "kind": "boolean", "value": "yes"},
        {"decision_id": "dec_0", "kind": "float", "value": True},
        {"decision_id": "dec_0", "kind": "comment", "value": " "},
        {"decision_id": "dec_0", "kind": "demonstration", "value": ""},
        {"decision_id": "dec_0", "kind": "demonstration", "value": []},
        {"decision_id": "dec_0", "kind": "demonstration", "value": {}},
        {"kind": "boolean", "value": True},
        {"decision_id": 1, "kind": "boolean", "value": True},
        [],
    ],
)
def test_feedback_that_makes_no_sense(app: httpx.Client, given: object) -> None:
    """400."""
    answer = app.post("/v1/feedback", json=given)
    assert answer.status_code == 400, answer.text
    assert error_of(answer)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e400", "[1, NaN]", "1" + "0" * 400])
@pytest.mark.parametrize("kind", ["float", "demonstration"])
def test_feedback_is_json(app: httpx.Client, kind: str, value: str) -> None:
    """Numbers that JSON has no words for could be neither learned from nor shown again."""
    identity = chat(app, "tiny").headers["x-graftwork-decision-id"]
    raw = f'{{"decision_id": "{identity}", "kind": "{kind}", "value": {value}}}'
    answer = app.post("/v1/feedback", content=raw)
    assert answer.status_code == 400, answer.text
    assert error_of(answer)


def test_feedback_is_about_ones_own_decisions(keyed: System, app: httpx.Client) -> None:
    """An unknown decision, or another tenant's: the same 404."""
    identity = chat(app, "tiny").headers["x-graftwork-decision-id"]
    for each in (identity, "dec_000000000000000000000000"):
        given = {"decision_id": each, "kind": "boolean", "value": True}
        answer = httpx.post(
            f"{keyed.url}/v1/feedback", json=given, headers={"x-api-key": "key-other"}
        )
        assert answer.status_code == 404


def test_a_session_keeps_to_its_target(app: httpx.Client) -> None:
    """What a client states as its session is on record, from header and body alike."""
    ways: list[dict[str, Any]] = [
        {"headers": {"x-graftwork-session": "s1"}},
        {"graftwork": {"session": "s1"}},
    ]
    for more in ways:
        targets = {
            chat(app, "auto", messages=HELLO, **more).headers["x-graftwork-target"]
            for _ in range(2)
        }
        assert len(targets) == 1
