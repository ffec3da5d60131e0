"""A value over the parts of one message leaves in no part of it, and comes back whole (law 6)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.contract.client import error_of
from tests.fakes.frontier import FakeFrontier
from tests.fakes.whole_system import System

SECRET = "sk-proj-abcdEFGH1234ijklMNOP5678qrstUVWX9012yzAB"
CUTS: dict[str, list[str]] = {
    "an address": ["Write to ann.planted@exa", "mple.org please."],
    "an address at its sign": ["Write to ann.planted", "@example.org please."],
    "an address by letters": ["To ", *"ann.planted@example.org", " now."],
    "an address with an end of its own": ["It is ann.pla", "nted@example.org."],
    "a card": ["Card 4111 1111 ", "1111 1111 it is."],
    "a card in three": ["Card 41111111", "1111", "1111 it is."],
    "an account": ["IBAN DE89 3704 0044", " 0532 0130 00."],
    "a name": ["My name is Maria Lew", "andowska, I live here."],
    "a name between its words": ["My name is Maria ", "Lewandowska, I live here."],
}
PLANTED = {
    "ann.planted@exa",
    "ann.pla",
    "mple.org",
    "@example.org",
    "1111 1111",
    "41111111",
    "3704 0044",
    "0532 0130",
    "Maria Lew",
    "andowska",
    "Lewandowska",
}


def _parts(said: list[str], kind: str) -> list[dict[str, Any]]:
    return [{"type": kind, "text": each} for each in said]


def _asked(api: str, said: list[str]) -> tuple[str, dict[str, Any]]:
    """The path, and the same message in each API."""
    parts = _parts(said, "text")
    one = [{"role": "user", "content": parts}]
    typed = _parts(said, "input_text")
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": parts}
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    found: dict[str, tuple[str, dict[str, Any]]] = {
        "chat": ("chat/completions", {"model": "cloud/big", "messages": one}),
        "chat to Anthropic": ("chat/completions", {"model": "claude/opus", "messages": one}),
        "responses": (
            "responses",
            {"model": "cloud/big", "input": [{"role": "user", "content": typed}]},
        ),
        "responses' input": ("responses", {"model": "cloud/big", "input": typed}),
        "messages": ("messages", {"model": "claude/opus", "max_tokens": 50, "messages": one}),
        "messages' system": (
            "messages",
            {
                "model": "claude/opus",
                "max_tokens": 50,
                "system": parts,
                "messages": [{"role": "user", "content": "Hello"}],
            },
        ),
        "messages' results": (
            "messages",
            {
                "model": "claude/opus",
                "max_tokens": 50,
                "tools": tools,
                "messages": [
                    {"role": "user", "content": "Hello"},
                    {"role": "assistant", "content": [call]},
                    {"role": "user", "content": [result]},
                ],
            },
        ),
    }
    path, body = found[api]
    return f"/v1/{path}", body


APIS = (
    "chat",
    "chat to Anthropic",
    "responses",
    "responses' input",
    "messages",
    "messages' system",
    "messages' results",
)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("api", APIS)
def test_no_piece_of_a_value_reaches_a_provider(
    app: httpx.Client, frontier: FakeFrontier, api: str, cut: str
) -> None:
    """Wherever it was cut, and whichever API the message is in."""
    path, body = _asked(api, CUTS[cut])
    answer = app.post(path, json=body)
    assert answer.status_code == 200, answer.text
    (sent,) = frontier.requests
    told = [piece for piece in PLANTED if piece in sent.raw.decode()]
    assert not told, sent.raw
    assert "=1" in answer.headers["x-graftwork-redacted"]


@pytest.mark.parametrize("model", ["base", "cloud/big"])
def test_a_secret_in_two_parts_leaves_for_nobody(
    app: httpx.Client, keyed: System, frontier: FakeFrontier, model: str
) -> None:
    """As in one."""
    _, body = _asked("chat", [f"The key is {SECRET[:12]}", f"{SECRET[12:]} for it."])
    refused = app.post("/v1/chat/completions", json={**body, "model": model})
    assert refused.status_code == 422, refused.text
    assert error_of(refused)["code"] == "secret_blocked"
    assert not frontier.requests
    assert not keyed.asked()


def test_parts_that_hold_nothing_stay_as_they_are(
    app: httpx.Client, frontier: FakeFrontier
) -> None:
    """Words and numbers beside a seam are no value of anybody."""
    said = ["Count 12", "34 to 5678", "90 and tell the", "rest. See Table", "Three at 7", ".5 %."]
    path, body = _asked("chat", said)
    answer = app.post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert [each["text"] for each in frontier.requests[-1].body["messages"][-1]["content"]] == said
