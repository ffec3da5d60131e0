"""Google's OpenAI-compatible API: by configuration only, with Google's errors and signatures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from router.config.providers import ProviderConfig
from router.errors import Failure, TargetRejected, TargetUnavailable
from router.targets.base import Call
from router.targets.frontier import FrontierTarget, frontier_targets
from router.targets.http_client import HttpClient
from router.wire.endpoint import Endpoint
from router.wire.names import names
from router.wire.texts import survey
from router.wire.upstream_error import read_error
from tests.fakes.exchanges import table
from tests.fakes.frontier_gemini import SIGNATURE, FakeCompatible, FakeGemini
from tests.fakes.router_process import router
from tests.fakes.streams import objects

INFO = "type.googleapis.com/google.rpc.ErrorInfo"
RETRY = "type.googleapis.com/google.rpc.RetryInfo"
USER: Any = {"role": "user", "content": "what is in stock"}
TOOLS: Any = [{"name": "stock", "input_schema": {"type": "object", "properties": {}}}]
PRICE = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2}


@pytest.fixture
def google() -> Iterator[FakeCompatible]:
    """The API."""
    with FakeCompatible() as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    """A client that is closed after the test."""
    async with HttpClient() as client:
        yield client


def target_of(
    client: HttpClient, server: FakeCompatible, keys: Path | None = None
) -> FrontierTarget:
    """A model of it."""
    raw = {
        "name": "google",
        "base_url": server.compatible_url,
        "models": [{"id": "gemini-3-flash", **PRICE}],
        "api_key_file": keys,
    }
    [found] = frontier_targets(client, [ProviderConfig.model_validate(raw)]).values()
    return found


def call(endpoint: Endpoint = Endpoint.CHAT, **extra: Any) -> Call:
    """A question."""
    body = {"model": "gemini-3-flash", "messages": [USER], "max_tokens": 50, **extra}
    return Call(endpoint, body, bool(extra.get("stream")), "req-1", 5.0)


async def read(target: FrontierTarget, asked: Call) -> bytes:
    """A whole answer."""
    answer = await target.send(asked)
    try:
        return b"".join([chunk.raw async for chunk in answer.chunks()])
    finally:
        await answer.aclose()


async def test_a_wrong_key_is_our_fault(
    client: HttpClient, google: FakeCompatible, tmp_path: Path
) -> None:
    """Google says 400 of it, and the reason in the details: the next key, else another target."""
    wrong = (400, "API key not valid.", [{"@type": INFO, "reason": "API_KEY_INVALID"}])
    keys = tmp_path / "keys"
    keys.write_text("one\ntwo\n")
    target = target_of(client, google, keys)
    google.errors = [wrong]
    assert b"choices" in await read(target, call())
    google.errors = [wrong, wrong]
    with pytest.raises(TargetUnavailable) as raised:
        await read(target_of(client, google), call())
    assert raised.value.failure is Failure.CREDENTIALS


async def test_when_to_come_back_is_in_the_body(client: HttpClient, google: FakeCompatible) -> None:
    """Where there is no ``Retry-After``."""
    for status in (429, 503):
        google.errors = [(status, "Quota.", [{"@type": RETRY, "retryDelay": "7.5s"}])]
        with pytest.raises(TargetUnavailable) as raised:
            await read(target_of(client, google), call())
        assert raised.value.retry_after_s == 7.5
        assert raised.value.failure is Failure.LIMITED


async def test_a_prompt_that_is_too_long(client: HttpClient, google: FakeCompatible) -> None:
    """In Google's words."""
    said = "The input token count (9) exceeds the maximum number of tokens allowed (8)."
    google.errors = [(400, said, [])]
    with pytest.raises(TargetRejected) as raised:
        await read(target_of(client, google), call())
    assert raised.value.code == "context_length_exceeded"


async def test_the_field_at_fault_is_named(client: HttpClient, google: FakeCompatible) -> None:
    """It is in the details."""
    google.errors = [(400, "Bad.", [{"fieldViolations": [{"field": "temperature"}]}])]
    with pytest.raises(TargetRejected, match=r"Bad\.") as raised:
        await read(target_of(client, google), call())
    assert raised.value.param == "temperature"


@pytest.mark.parametrize(
    "body",
    [
        b"[]", b"[1]", b"[{}, {}]", b'[{"error": 3}]', b'{"error": {"details": [1, {}]}}',
        b'{"error": {"details": [{"retryDelay": "soon", "fieldViolations": [{}], "reason": 1}]}}',
        b'{"error": {"details": [{"retryDelay": "99999999999s", "fieldViolations": []}]}}',
        b'{"error": {"details": {"a": 1}, "status": ["x"]}}',
    ],
)  # fmt: skip
def test_whatever_an_error_looks_like_it_is_read(body: bytes) -> None:
    """Nothing that it says breaks the reader, or is believed."""
    error = read_error(400, body)
    assert error.message == "HTTP 400"
    assert (error.wait_s, error.param, error.is_ours) == (None, None, False)


@pytest.mark.parametrize("stream", [False, True])
async def test_signatures_come_back_through_messages(
    client: HttpClient, google: FakeCompatible, stream: bool
) -> None:
    """In a thinking block before the call; the call gets it back."""
    target = target_of(client, google)
    said = await read(target, call(Endpoint.MESSAGES, tools=TOOLS, stream=stream))
    if stream:
        events = [event for event in objects(said) if event]
        starts = [e["content_block"] for e in events if e["type"] == "content_block_start"]
        deltas = [e["delta"] for e in events if e["type"] == "content_block_delta"]
        told = {name: value for delta in deltas for name, value in delta.items()}
        blocks = [{**starts[0], "signature": told["signature"]}, *starts[1:]]
    else:
        blocks = orjson.loads(said)["content"]
    assert [block["type"] for block in blocks] == ["thinking", "tool_use"]
    result = {"type": "tool_result", "tool_use_id": blocks[-1]["id"], "content": "3"}
    turns = [
        USER,
        {"role": "assistant", "content": blocks},
        {"role": "user", "content": [result]},
    ]
    await read(target, call(Endpoint.MESSAGES, messages=turns, tools=TOOLS))
    [again] = google.requests[-1].body["messages"][1]["tool_calls"]
    assert again["extra_content"] == {"google": {"thought_signature": SIGNATURE}}


def test_a_signature_is_no_text() -> None:
    """It is neither read, nor counted, nor changed; what stands beside it is."""
    extra = {"google": {"thought_signature": SIGNATURE, "note": "Ann Miller"}}
    calls = [
        {
            "id": "a",
            "type": "function",
            "function": {"name": "f", "arguments": "{}"},
            "extra_content": extra,
        }
    ]
    body = {"messages": [{"role": "assistant", "tool_calls": calls}]}
    assert [text.text for text in survey(body).texts] == ["Ann Miller"]
    assert SIGNATURE not in names(body)


@pytest.mark.parametrize("dialect", ["openai", "gemini"])
async def test_through_the_whole_router(tmp_path: Path, dialect: str) -> None:
    """What must not leave is masked, signatures survive, and a wrong key is another target's."""
    with FakeGemini(api_key="right") as native, FakeCompatible() as compatible:
        server = native if dialect == "gemini" else compatible
        url = native.url if dialect == "gemini" else compatible.compatible_url
        model = {"id": "gemini-3-flash", "capabilities": ["chat", "tools"], **PRICE}
        told = {"dialect": dialect, "base_url": url, "models": [model]}
        config = {
            "providers": [
                {"name": "google", "api_key_env": "RIGHT", **told},
                {"name": "wrong", "api_key_env": "WRONG", **told},
            ],
            "governance": {"pii": {"default": {"frontier": "mask"}}},
        }
        environ = {"RIGHT": "right", "WRONG": "wrong"}
        async with router(tmp_path, config, table(), environ) as (http, _):
            tools = [{"type": "function", "function": {"name": "stock"}}]
            said = {"role": "user", "content": "stock of ann.miller@example.com"}
            ask = {"model": "google/gemini-3-flash", "messages": [said], "tools": tools}
            first = await http.post("/v1/chat/completions", json=ask)
            message = first.json()["choices"][0]["message"]
            call_id = message["tool_calls"][0]["id"]
            done = {"role": "tool", "tool_call_id": call_id, "content": "3"}
            again = {**ask, "messages": [said, message, done]}
            second = await http.post("/v1/chat/completions", json=again)
            assert second.status_code == 200, second.text
            sent = [orjson.dumps(each.body) for each in server.requests]
            if dialect == "gemini":
                asked: Any = {**again, "model": "wrong/gemini-3-flash"}
                asked["graftwork"] = {"fallbacks": ["google/gemini-3-flash"]}
                rescued = await http.post("/v1/chat/completions", json=asked)
                assert rescued.status_code == 200, rescued.text
                assert rescued.headers["x-graftwork-target"] == "frontier:google/gemini-3-flash"
    assert len(sent) == 2
    assert not any(b"ann.miller" in body for body in sent)
    assert SIGNATURE.encode() in sent[1]
