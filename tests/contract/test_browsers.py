"""A web page cannot drive a keyless server; allowed pages are answered."""

from __future__ import annotations

import httpx
import pytest

from tests.contract.client import BODIES, error_of
from tests.fakes.whole_system import System

FOREIGN = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "file://"},
    {"origin": "http://"},
    {"origin": "http://[::1"},
    {"origin": "chrome-extension://abcdef"},
    {"origin": "http://localhost.evil.example"},
    {"host": "evil.example"},
    {"host": "[::1"},
]
ROUTES = [
    ("GET", "/v1/models"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/decision"),
    ("POST", "/admin/v1/adapters/x/rollback"),
    ("GET", "/admin/v1/adapters"),
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_foreign_pages_are_refused(
    keyless: System, method: str, path: str, headers: dict[str, str]
) -> None:
    """403 in a shape that clients read, and nothing is done."""
    body = {**BODIES["/v1/chat/completions"], "model": "tiny"} if method == "POST" else None
    answer = httpx.request(method, keyless.url + path, json=body, headers=headers)
    assert answer.status_code == 403, answer.text
    assert error_of(answer)
    assert not keyless.asked()


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:8000"])
def test_pages_of_this_machine_are_answered(keyless: System, origin: str) -> None:
    """What a developer runs beside it."""
    answer = httpx.get(f"{keyless.url}/v1/models", headers={"origin": origin})
    assert answer.status_code == 200
