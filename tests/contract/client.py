"""What an outsider does: asks, pushes, reads streams."""

from __future__ import annotations

import io
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson

from tests.fakes.tiny_adapter import tiny_adapter
from tests.fakes.whole_system import System

ADMIN = "/admin/v1"
HELLO = [{"role": "user", "content": "Hello"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": HELLO, "max_tokens": 8},
    "/v1/completions": {"prompt": "Hello", "max_tokens": 8},
    "/v1/responses": {"input": "Hello", "max_output_tokens": 8},
    "/v1/messages": {"messages": HELLO, "max_tokens": 8},
}
ENDS = {
    "/v1/chat/completions": "[DONE]",
    "/v1/completions": "[DONE]",
    "/v1/responses": "response.completed",
    "/v1/messages": "message_stop",
}


LONG_S = 60.0
"""Time for what takes a moment, on a machine that is busy."""


def until(look: Callable[[], Any], what: str = "nothing came", within_s: float = LONG_S) -> Any:
    """What is found once there is something."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


def client(system: System, key: str | None = None) -> httpx.Client:
    """A client with somebody's key."""
    headers = {} if key is None else {"authorization": f"Bearer key-{key}"}
    return httpx.Client(base_url=system.url, headers=headers, timeout=LONG_S, trust_env=False)


def chat(http: httpx.Client, model: str, text: str = "Hello", **more: Any) -> httpx.Response:
    """One chat, not streamed unless asked for; ``headers`` go beside the body."""
    headers = more.pop("headers", {})
    body = {"model": model, "messages": [{"role": "user", "content": text}], **more}
    return http.post("/v1/chat/completions", json=body, headers=headers)


def said(response: httpx.Response) -> str:
    """What a whole chat answer says."""
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["message"]["content"])


@dataclass(frozen=True)
class Line:
    """One event or comment of a stream."""

    event: str | None
    data: str
    comment: str = ""

    def json(self) -> Any:
        """The data, decoded."""
        return orjson.loads(self.data)


def lines(body: bytes) -> list[Line]:
    """Events and comments of a whole stream, in order."""
    found = []
    for block in body.decode().replace("\r\n", "\n").split("\n\n"):
        fields: dict[str, list[str]] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
        if block.strip():
            event = fields.get("event", [None])[0]
            comment = "\n".join(fields.get("", []))
            found.append(Line(event, "\n".join(fields.get("data", [])), comment))
    return found


def archive(seed: int, **options: Any) -> bytes:
    """A tar of a tiny adapter."""
    packed = io.BytesIO()
    with tempfile.TemporaryDirectory() as scratch:
        directory = tiny_adapter(Path(scratch) / "adapter", seed, **options)
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for path in sorted(directory.iterdir()):
                tar.add(path, path.name)
    return packed.getvalue()


def post_version(
    http: httpx.Client, alias: str, content: bytes, query: str = "wait=live"
) -> httpx.Response:
    """Push an archive."""
    return http.post(
        f"{ADMIN}/adapters/{alias}/versions?{query}",
        content=content,
        headers={"content-type": "application/x-tar"},
    )


def put_rules(http: httpx.Client, rules: str | bytes, **query: str) -> dict[str, Any]:
    """Put rules that are fine; when this returns, every router goes by those that are active.

    The first answer comes when a router is late, too: it has two seconds, and a busy machine.
    """
    headers = {"content-type": "application/yaml"}

    def put() -> dict[str, Any]:
        answer = http.put(f"{ADMIN}/policy", content=rules, params=query, headers=headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found if found["applied"] else {}

    return dict(until(put, "a router does not take the rules"))


@dataclass(frozen=True)
class Pushed:
    """A version that was pushed."""

    alias: str
    digest: str

    @property
    def name(self) -> str:
        """``alias@digest12``."""
        return f"{self.alias}@{self.digest[:12]}"

    @property
    def target(self) -> str:
        """As response headers say it."""
        return f"adapter:{self.name}"


def push(http: httpx.Client, alias: str, seed: int, query: str = "wait=live") -> Pushed:
    """Push the adapter of this number; it is there when this returns."""
    answer = post_version(http, alias, archive(seed), query)
    assert answer.status_code in {200, 201}, answer.text
    return Pushed(alias, answer.json()["digest"])


def move(http: httpx.Client, alias: str, what: str, **body: Any) -> httpx.Response:
    """Promote, canary, shadow, roll back or retire."""
    return http.post(f"{ADMIN}/adapters/{alias}/{what}", json=body)


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The error in the answer, in OpenAI's shape or Anthropic's."""
    assert response.headers["content-type"].startswith("application/json"), response.text
    found = response.json()["error"]
    assert isinstance(found, dict)
    assert isinstance(found["message"], str)
    assert found["message"]
    return found
