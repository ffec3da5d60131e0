"""What the system tests say to the endpoint over plain HTTP, and how they wait for something."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.fakes.peft_dirs import members_of, tar_bytes

Json = dict[str, Any]
T = TypeVar("T")

BASE = "base"
RETURNS_QUESTION = "How do I return a lamp?"
_POLL_S = 0.1


def chat_body(model: str, prompt: str, **more: Any) -> Json:
    """A chat request with one user message, answered the same way each time."""
    message = {"role": "user", "content": prompt}
    return {"model": model, "messages": [message], "temperature": 0, "max_tokens": 16, **more}


def chat(
    http: httpx.Client, model: str, prompt: str = RETURNS_QUESTION, **more: Any
) -> httpx.Response:
    """One chat call that has to succeed."""
    response = http.post("/v1/chat/completions", json=chat_body(model, prompt, **more))
    assert response.status_code == 200, response.text
    return response


def said(response: httpx.Response) -> str:
    """The text of a chat answer."""
    return str(response.json()["choices"][0]["message"]["content"])


def target(response: httpx.Response) -> str:
    """Who answered."""
    return response.headers["x-graftwork-target"]


def push(
    http: httpx.Client, alias: str, directory: Path, expected: int = 201, **params: str
) -> Json:
    """Push a PEFT directory as a tar and wait until it serves; the admin plane's answer."""
    response = http.post(
        f"/admin/v1/adapters/{alias}/versions",
        params={"wait": "live", **params},
        content=tar_bytes(members_of(directory)),
        headers={"content-type": "application/x-tar"},
    )
    assert response.status_code == expected, response.text
    return dict(response.json())


def move(http: httpx.Client, alias: str, action: str, **body: Any) -> Json:
    """Promote, roll back or retire; the admin plane's answer."""
    response = http.post(f"/admin/v1/adapters/{alias}/{action}", json=body)
    assert response.status_code == 200, response.text
    return dict(response.json())


def resident(http: httpx.Client) -> set[str]:
    """What the one engine replica holds."""
    replicas = http.get("/admin/v1/replicas").json()["data"]
    assert len(replicas) == 1
    return set(replicas[0]["resident"])


def decision(http: httpx.Client, identity: str) -> Json:
    """A decision record."""
    return dict(http.get(f"/admin/v1/decisions/{identity}").raise_for_status().json())


def eventually(look: Callable[[], T], what: str, timeout_s: float = 30.0) -> T:
    """The first truthy thing that ``look`` returns; fails when there is none in time."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(_POLL_S)
    return found
