"""Errors: statuses, codes, and the shape of the API that was called."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.client import BODIES, HELLO, chat, client, error_of
from tests.fakes.whole_system import System

MESSAGES = "/v1/messages"
ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}


def failing(status: int, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Body and headers of a call that ends so."""
    body = {**BODIES[path], "model": "tiny"}
    headers = {"authorization": "Bearer key-app"}
    if status == 400:
        body["stream"] = "perhaps"
    if status == 401:
        headers["authorization"] = "Bearer wrong"
    if status == 403:
        headers["authorization"] = "Bearer key-auditor"
    if status == 404:
        body["model"] = "nobody"
    if status == 413:
        body["padding"] = "x" * 10_000_000
    return body, headers


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
@pytest.mark.parametrize("path", [path for path in BODIES if path != MESSAGES])
def test_openais_shape(keyed: System, path: str, status: int) -> None:
    """``{"error": {message, type, param, code}}``."""
    body, headers = failing(status, path)
    answer = httpx.post(keyed.url + path, json=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"error"}
    assert error_of(answer).keys() >= {"message", "type", "param", "code"}
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413])
def test_anthropics_shape_and_types(keyed: System, status: int) -> None:
    """``{"type": "error", "error": {type, message}}`` with Anthropic's own types."""
    body, headers = failing(status, MESSAGES)
    answer = httpx.post(keyed.url + MESSAGES, json=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.json()["type"] == "error"
    assert error_of(answer)["type"] == ANTHROPIC_TYPES[status]


def test_a_key_is_needed(keyed: System) -> None:
    """On every route but the health checks."""
    with client(keyed) as stranger:
        for method, path in (
            ("GET", "/v1/models"),
            ("POST", "/v1/chat/completions"),
            ("POST", "/v1/decision"),
            ("POST", "/v1/feedback"),
            ("GET", "/metrics"),
            ("GET", "/admin/v1/adapters"),
            ("GET", "/admin/v1/decisions"),
            ("POST", "/admin/v1/adapters/x/rollback"),
        ):
            answer = stranger.request(method, path, json={} if method == "POST" else None)
            assert answer.status_code == 401, path
            assert error_of(answer)["code"] in {"invalid_api_key", "missing_api_key"}
            assert not [name for name in answer.headers if name.startswith("x-ratelimit")], path
        for path in ("/healthz", "/readyz"):
            assert stranger.get(path).status_code == 200


def test_what_is_not_there(app: httpx.Client) -> None:
    """404 for a path, 405 with ``Allow`` for a method."""
    nowhere = app.get("/v1/nowhere")
    assert nowhere.status_code == 404
    assert error_of(nowhere)["code"] == "not_found"
    wrong = app.get("/v1/chat/completions")
    assert wrong.status_code == 405
    assert "POST" in wrong.headers["allow"]
    on_messages = app.get(MESSAGES)
    assert on_messages.status_code == 405
    assert on_messages.json()["type"] == "error"


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"{}{}"])
@pytest.mark.parametrize("path", BODIES)
def test_a_body_that_is_no_json_object(app: httpx.Client, path: str, raw: bytes) -> None:
    """400, whatever it is."""
    answer = app.post(path, content=raw, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert error_of(answer)


@pytest.mark.parametrize(
    "odd",
    [
        {"tools": [{"type": []}]},
        {"tools": "x"},
        {"tools": [None]},
        {"messages": [{"role": [], "content": {}}]},
        {"messages": [[]]},
        {"messages": {"role": "user"}},
        {"n": "many"},
        {"max_tokens": {}},
        {"stream_options": []},
        {"response_format": 1},
        {"response_format": {"type": []}},
        {"stop": {}},
        {"user": []},
        {"logprobs": {}},
        {"tool_choice": {"type": {}}},
        {"graftwork": []},
        {"graftwork": {"session": {}}},
        {"metadata": 1},
    ],
)
@pytest.mark.parametrize("model", ["tiny", "auto", "cloud/big", "claude/opus"])
@pytest.mark.parametrize("path", BODIES)
def test_odd_values_are_never_our_own_failure(
    app: httpx.Client, path: str, model: str, odd: dict[str, Any]
) -> None:
    """Answered by who can, or refused: no 500 of ours."""
    answer = app.post(path, json={**BODIES[path], "model": model, **odd})
    assert answer.status_code != 500, answer.text


def test_one_bad_request_breaks_nothing_for_others(app: httpx.Client) -> None:
    """After all of that the base still answers."""
    assert chat(app, "tiny", messages=HELLO).status_code == 200


def test_a_limit_of_nothing_means_what_costs_nothing(app: httpx.Client) -> None:
    """The base has no price here; a provider's model has."""
    free = {"x-graftwork-max-cost-usd": "0"}
    assert chat(app, "auto", headers=free).headers["x-graftwork-target"] == "base"
    dear = chat(app, "cloud/big", headers=free)
    assert error_of(dear)["code"] == "max_cost_exceeded"
    assert chat(app, "auto", graftwork={"max_cost_usd": 0}).status_code == 200
    for wrong in ("-1", "nan", "inf", "x"):
        headers = {"x-graftwork-max-cost-usd": wrong}
        assert chat(app, "auto", headers=headers).status_code == 400, wrong


@pytest.mark.parametrize("path", ["/v1/chat/completions", MESSAGES])
def test_who_has_no_key_hears_both_ways_to_send_it(keyed: System, path: str) -> None:
    """Anthropic's clients know the other one."""
    with client(keyed) as stranger:
        message = error_of(stranger.post(path, json=BODIES[path]))["message"]
    assert "Authorization: Bearer" in message
    assert "x-api-key" in message
