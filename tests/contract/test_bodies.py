"""Bodies that no model could read are refused before anybody is called for them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.client import HELLO, error_of
from tests.fakes.frontier import FakeFrontier
from tests.fakes.whole_system import System

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
_NO_MESSAGES: dict[str, dict[str, Any]] = {
    "messages": {},
    "messages ": {"messages": None},
    "messages  ": {"messages": []},
    "messages   ": {"messages": "Hello"},
    "messages    ": {"messages": {"role": "user", "content": "Hello"}},
    "messages.0": {"messages": ["Hello"]},
    "messages.1": {"messages": [*HELLO, None]},
    "messages.0.role": {"messages": [{"content": "Hello"}]},
    "messages.0.role ": {"messages": [{"role": "bob@example.com", "content": "Hello"}]},
    "messages.0.content": {"messages": [{"role": "user", "content": 5}]},
    "messages.0.content ": {"messages": [{"role": "user", "content": {"text": "Hello"}}]},
    "messages.0.content.0": {"messages": [{"role": "user", "content": [["Hello"]]}]},
}
_OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "prompt": ("/v1/completions", {"prompt": {"text": "Hello"}}),
    "input": ("/v1/responses", {}),
    "input ": ("/v1/responses", {"input": 5}),
    "input.0": ("/v1/responses", {"input": ["Hello"]}),
    "input  ": ("/v1/embeddings", {}),
    "input   ": ("/v1/embeddings", {"input": []}),
    "input    ": ("/v1/embeddings", {"input": {"text": "Hello"}}),
}


@pytest.mark.parametrize("model", ["auto", "base", "cloud/big", "claude/opus"])
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
@pytest.mark.parametrize("where", _NO_MESSAGES)
def test_messages_that_are_none(
    app: httpx.Client, keyed: System, frontier: FakeFrontier, path: str, where: str, model: str
) -> None:
    """400, which names the field; nobody was asked, so nobody is thought broken."""
    answer = app.post(path, json={"model": model, "max_tokens": 8, **_NO_MESSAGES[where]})
    assert answer.status_code == 400, answer.text
    error = error_of(answer)
    assert error["param"] == where.strip()
    assert error["type"] == "invalid_request_error"
    assert not frontier.requests
    assert not keyed.asked()


@pytest.mark.parametrize("where", _OTHERS)
def test_inputs_that_are_none(app: httpx.Client, frontier: FakeFrontier, where: str) -> None:
    """The same of the other APIs."""
    path, body = _OTHERS[where]
    answer = app.post(path, json={"model": "cloud/big", **body})
    assert answer.status_code == 400, answer.text
    assert error_of(answer)["param"] == where.strip()
    assert not frontier.requests


@pytest.mark.parametrize(
    "message",
    [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}]},
        {"role": "user", "content": ["Hello", {"type": "text", "text": "there"}]},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "assistant"},
        {"role": "ipython", "content": "42"},
    ],
)
def test_unusual_messages_are_for_the_target_to_judge(
    app: httpx.Client, keyed: System, message: dict[str, Any]
) -> None:
    """Roles of other chat templates, turns without content: the engine knows better."""
    answer = app.post(CHAT, json={"model": "base", "messages": [message, *HELLO]})
    assert answer.status_code == 200, answer.text
    assert keyed.asked()


def test_responses_may_go_on_without_input(app: httpx.Client, frontier: FakeFrontier) -> None:
    """A stored prompt, or a conversation that the provider keeps."""
    body = {"model": "cloud/big", "prompt": {"id": "pmpt_1"}}
    answer = app.post("/v1/responses", json=body)
    assert frontier.requests, answer.text


def test_tools_that_only_a_provider_runs_are_named(app: httpx.Client) -> None:
    """The engine takes them without a word; functions and nothing else are offered to a model."""
    tools = [
        {"type": "function", "name": "f", "parameters": {"type": "object"}},
        {"type": "web_search"},
        {"type": "custom", "name": "apply_patch"},
    ]
    answer = app.post("/v1/responses", json={"model": "base", "input": "Hello", "tools": tools})
    assert answer.status_code == 200, answer.text
    warning = answer.headers["x-graftwork-warning"]
    assert warning == "not taken by base: tools.web_search, tools.custom"
    functions = {"model": "base", "input": "Hello", "tools": tools[:1]}
    assert "x-graftwork-warning" not in app.post("/v1/responses", json=functions).headers
