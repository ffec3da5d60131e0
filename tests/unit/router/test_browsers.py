"""Law 11: without keys no page from elsewhere and nobody from elsewhere drives the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adapters.aliases import RoutingTable
from router.admit.browsers import is_loopback
from tests.fakes.asgi_client import Reply, ask
from tests.fakes.router_process import router

TABLE = RoutingTable(revision=1, base_id="tiny")
CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}]}
FOREIGN: list[dict[str, str]] = [
    {"origin": "null"},
    {"origin": "file://"},
    {"origin": "https://evil.example"},
    {"origin": "http://localhost.evil.example"},
    {"origin": "http://127.0.0.1@evil.example"},
    {"origin": "http://[::1"},
    {"origin": "http://[::1]evil.example"},
    {"origin": ""},
    {"origin": "chrome-extension://abcdef"},
    {"origin": "//localhost"},
    {"host": "evil.example"},
    {"host": "127.0.0.1.evil.example"},
    {"host": "[::1"},
    {"host": "0.0.0.0:8000"},
    {"sec-fetch-site": "cross-site"},
]
PLACES: list[tuple[str, dict[str, Any] | None]] = [
    ("/v1/chat/completions", CHAT),
    ("/v1/messages", {**CHAT, "max_tokens": 5}),
    ("/v1/decision", CHAT),
    ("/admin/v1/adapters/returns/retire", {}),
    ("/nowhere", {}),
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(("path", "body"), PLACES)
async def test_a_foreign_page_cannot_drive_an_open_server(
    tmp_path: Path, headers: dict[str, str], path: str, body: dict[str, Any] | None
) -> None:
    """403 in the API's shape on every path, whatever hides where the page is from."""
    async with router(tmp_path, {}, TABLE) as (_, process):
        reply = await ask(process.door, path, body, headers)
    assert reply.status == 403
    assert reply.json()["error"]["code"] == "host_not_allowed"
    assert reply.json()["error"]["type"] == "permission_error"
    assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "localhost:8000"},
        {"host": "[::1]:8000"},
        {"host": "127.0.0.1:8000", "origin": "http://localhost:3000"},
        {"origin": "http://[::1]:8000", "sec-fetch-site": "same-origin"},
    ],
)
async def test_this_machine_is_served_without_keys(tmp_path: Path, headers: dict[str, str]) -> None:
    """Programs and pages of this machine need no key."""
    async with router(tmp_path, {}, TABLE) as (_, process):
        assert (await ask(process.door, "/v1/models", None, headers)).status == 200


@pytest.mark.parametrize(
    ("client", "status"),
    [(("10.0.0.7", 5), 403), (("::ffff:10.0.0.7", 5), 403), (("127.0.0.1", 5), 200), (None, 200)],
)
async def test_an_open_server_answers_this_machine_alone(
    tmp_path: Path, client: tuple[str, int] | None, status: int
) -> None:
    """``Host: localhost`` is no proof: who connects from elsewhere is refused all the same."""
    async with router(tmp_path, {}, TABLE) as (_, process):

        async def door(scope: dict[str, Any], receive: Any, send: Any) -> None:
            await process.door({**scope, "client": client}, receive, send)

        assert (await ask(door, "/v1/models", None, {"host": "localhost"})).status == status


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.1", False),
        ("0.0.0.0", False),
        ("localhost.evil.example", False),
        ("", False),
        (None, False),
    ],
)
def test_what_is_loopback(host: str | None, expected: bool) -> None:
    """This machine under its names and addresses, and nothing that looks alike."""
    assert is_loopback(host) is expected


# With keys

KEYS = {
    "auth": {
        "keys": [{"name": "a", "sha256": "0" * 64}],
        "allowed_origins": ["https://app.example"],
    }
}


async def _preflight(tmp_path: Path, config: dict[str, Any], origin: str) -> Reply:
    async with router(tmp_path, config, TABLE) as (_, process):

        async def door(scope: dict[str, Any], receive: Any, send: Any) -> None:
            await process.door({**scope, "method": "OPTIONS"}, receive, send)

        asked = {
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type",
        }
        return await ask(door, "/v1/chat/completions", None, asked)


@pytest.mark.parametrize("origin", ["https://app.example", "http://127.0.0.1"])
async def test_a_page_that_may_call_is_told_so(tmp_path: Path, origin: str) -> None:
    """``OPTIONS`` needs no key: browsers send none. The server's own origin is always allowed."""
    reply = await _preflight(tmp_path, KEYS, origin)
    assert reply.status == 204
    assert reply.headers["access-control-allow-origin"] == origin
    assert "POST" in reply.headers["access-control-allow-methods"]
    assert reply.headers["access-control-allow-headers"] == "authorization,content-type"
    assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize("origin", ["https://other.example", "null", "https://app.example.evil"])
async def test_a_page_that_may_not_call_is_told_so(tmp_path: Path, origin: str) -> None:
    """403 in shape, and nothing that a browser would take for leave."""
    reply = await _preflight(tmp_path, KEYS, origin)
    assert (reply.status, reply.json()["error"]["code"]) == (403, "origin_not_allowed")
    assert not [name for name in reply.headers if name.startswith("access-control")]


async def test_no_origin_is_allowed_by_default(tmp_path: Path) -> None:
    """Without the setting, only the server's own pages may call."""
    assert (await _preflight(tmp_path, {}, "http://localhost:3000")).status == 403


async def test_answers_can_be_read_by_allowed_pages(tmp_path: Path) -> None:
    """The header is on errors too, or a page could not tell why it was refused."""
    async with router(tmp_path, KEYS, TABLE) as (_, process):
        origin = {"origin": "https://app.example"}
        refused = await ask(process.door, "/v1/chat/completions", CHAT, origin)
        other = await ask(process.door, "/v1/models", None, {"origin": "https://other.example"})
    assert refused.status == other.status == 401
    assert refused.headers["access-control-allow-origin"] == "https://app.example"
    assert "access-control-allow-origin" not in other.headers
