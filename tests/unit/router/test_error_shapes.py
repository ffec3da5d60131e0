"""Errors in the shape of the API that was called."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.aliases import RoutingTable
from router.errors import (
    Forbidden,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    RateLimited,
    RouterError,
    TargetTimeout,
    TooLarge,
    Unauthenticated,
    error_body,
)
from tests.fakes.asgi_client import ask
from tests.fakes.router_process import router

ANTHROPIC = {
    "invalid_request_error": InvalidRequest("no"),
    "authentication_error": Unauthenticated("no"),
    "permission_error": Forbidden("no", code="policy_denied"),
    "not_found_error": NotFound("no"),
    "request_too_large": TooLarge("no"),
    "rate_limit_error": RateLimited("no"),
    "api_error": RouterError("no"),
    "overloaded_error": Overloaded("no"),
    "timeout_error": TargetTimeout("no"),
}


@pytest.mark.parametrize(("kind", "error"), ANTHROPIC.items())
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
def test_errors_of_messages_have_anthropics_types(kind: str, error: RouterError, path: str) -> None:
    """Each of Anthropic's types, its envelope and the request's id; our code beside them."""
    body = error_body(path, error, "req_1")
    assert (body["type"], body["request_id"]) == ("error", "req_1")
    assert body["error"]["type"] == kind
    assert body["error"]["code"] == error.code


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messagesx", "/admin/v1/adapters"])
def test_errors_of_everything_else_have_openais_shape(path: str) -> None:
    """OpenAI's envelope, and nothing beside it."""
    body = error_body(path, MethodNotAllowed("/x", "PUT", "GET"), "req_1")
    assert body == {
        "error": {
            "message": "/x takes GET, not PUT.",
            "type": "invalid_request_error",
            "param": None,
            "code": "method_not_allowed",
        }
    }


async def test_the_door_shapes_what_it_refuses_itself(tmp_path: Path) -> None:
    """No key, and the wrong method, on Messages: Anthropic's types through the door."""
    keys = {"auth": {"keys": [{"name": "a", "sha256": "0" * 64}]}}
    async with router(tmp_path, keys, RoutingTable(revision=1)) as (_, process):
        door = process.door
        refused = await ask(door, "/v1/messages", {"model": "base", "messages": []})
        wrong = await ask(door, "/v1/messages", None)
    assert (refused.status, wrong.status) == (401, 405)
    assert refused.json()["error"]["type"] == "authentication_error"
    assert refused.json()["request_id"] == refused.headers["x-request-id"]
    assert wrong.json()["error"]["type"] == "invalid_request_error"
