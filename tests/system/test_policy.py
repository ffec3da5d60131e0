"""Business rules on the real system: from the registry to every router, within two seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.system.client import chat_body

pytestmark = pytest.mark.system

DENY = "rules: [{id: closed, when: request.model == 'base', deny: Closed for the day.}]"
_SOON_S = 2.0


@pytest.fixture
def rules(http: httpx.Client) -> Iterator[httpx.Client]:
    """Who may put rules; none are left behind."""
    yield http
    put(http, "rules: []")
    until(http, 200)


def put(http: httpx.Client, source: str) -> None:
    """Put a rules file."""
    headers = {"content-type": "application/yaml"}
    answer = http.put("/admin/v1/policy", content=source.encode(), headers=headers)
    assert answer.status_code == 200, answer.text


def asked(http: httpx.Client, model: str) -> httpx.Response:
    """One chat."""
    return http.post("/v1/chat/completions", json=chat_body(model, "Hello"))


def until(http: httpx.Client, status: int) -> httpx.Response:
    """The first answer with that status: whoever asks from ``_SOON_S`` on has it."""
    deadline = time.monotonic() + _SOON_S
    while (began := time.monotonic()) and (answer := asked(http, "base")).status_code != status:
        assert began < deadline, answer.text
    return answer


def test_rules_hold_on_every_router_within_two_seconds(rules: httpx.Client) -> None:
    """And no longer when they are taken back."""
    assert asked(rules, "base").status_code == 200
    put(rules, DENY)
    refused = until(rules, 403)
    assert refused.json()["error"]["code"] == "policy_denied"
    assert "Closed for the day." in refused.json()["error"]["message"]
    assert refused.headers["x-graftwork-policy"] == "closed"
    assert asked(rules, "returns").status_code == 200
    assert [asked(rules, "base").status_code for _ in range(20)] == [403] * 20
