"""Anthropic's API behind our chat endpoint, and OpenAI's behind our Messages endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import openai
import orjson
import pytest

from router.config.providers import ModelCard, ProviderConfig
from router.errors import InvalidRequest, TargetBroken, TargetRejected, TargetUnavailable
from router.targets.base import Call
from router.targets.frontier import FrontierTarget, frontier_targets
from router.targets.http_client import HttpClient
from router.wire.endpoint import Endpoint, Usage
from tests.fakes.door import door
from tests.fakes.faults import Fault, Kind, is_harmless
from tests.fakes.frontier import FakeFrontier

KEY = "sk-ant-0123456789"
USER: Any = {"role": "user", "content": "say well done"}
SCHEMA = {"type": "object", "properties": {"sku": {"type": "string"}}}
CHAT_TOOLS: Any = [
    {"type": "function", "function": {"name": "stock", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "clock"}},
]
MESSAGES_TOOLS: Any = [
    {"name": "stock", "input_schema": SCHEMA},
    {"name": "clock", "input_schema": {"type": "object", "properties": {}}},
]
BOTH: Any = {"role": "user", "content": "call stock and clock"}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeFrontier]:
    """One server for the module."""
    with FakeFrontier(api_key=KEY, cached_tokens=2) as running:
        yield running


@pytest.fixture
def frontier(server: FakeFrontier) -> FakeFrontier:
    """The server, having forgotten the tests before."""
    server.forget()
    return server


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    """A client that is closed after the test."""
    async with HttpClient() as client:
        yield client


def _target(client: HttpClient, frontier: FakeFrontier, dialect: str) -> FrontierTarget:
    card = ModelCard(id="m", input_usd_per_mtok=1, output_usd_per_mtok=2, max_output_tokens=77)
    config = ProviderConfig.model_validate(
        {
            "name": "acme",
            "dialect": dialect,
            "base_url": frontier.url,
            "api_key_env": "ACME_KEY",
            "models": (card,),
        }
    )
    return frontier_targets(client, [config], {"ACME_KEY": KEY})["acme/m"]


@pytest.fixture
def claude(client: HttpClient, frontier: FakeFrontier) -> FrontierTarget:
    """A model behind the Messages API."""
    return _target(client, frontier, "anthropic")


@pytest.fixture
def compatible(client: HttpClient, frontier: FakeFrontier) -> FrontierTarget:
    """A model behind OpenAI's API that has only chat."""
    return _target(client, frontier, "openai")


def _call(endpoint: Endpoint, **extra: Any) -> Call:
    body = {"model": "m", "messages": [USER], **extra}
    headers = {"anthropic-beta": "new-thing", "anthropic-version": "2024-01-01", "x-other": "no"}
    return Call(endpoint, body, bool(extra.get("stream")), "req-1", 5.0, headers)


async def _read(target: FrontierTarget, call: Call) -> tuple[bytes, Usage]:
    answer = await target.send(call)
    return b"".join([chunk.raw async for chunk in answer.chunks()]), answer.usage


def _chat_sdk(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url + "/v1", api_key="x", max_retries=0)


def _messages_sdk(url: str) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=url, api_key="x", max_retries=0)


@pytest.mark.parametrize("stream", [False, True])
async def test_messages_pass_through(
    claude: FrontierTarget, frontier: FakeFrontier, stream: bool
) -> None:
    """Native calls are untouched, carry Anthropic's headers, and are counted with cached tokens."""
    call = _call(Endpoint.MESSAGES, max_tokens=9, stream=stream, thinking={"type": "disabled"})
    data, usage = await _read(claude, call)
    [received] = frontier.requests
    assert received.body == call.body
    assert received.headers["x-api-key"] == KEY
    assert received.headers["anthropic-beta"] == "new-thing"
    assert received.headers["anthropic-version"] == "2024-01-01"
    assert "x-other" not in received.headers
    assert b"msg_fake" in data
    assert usage == Usage(3, 2, 2)


async def test_version_header_is_always_there(
    claude: FrontierTarget, frontier: FakeFrontier
) -> None:
    """A chat client knows nothing of Anthropic's versions."""
    call = _call(Endpoint.CHAT)
    await _read(claude, Call(call.endpoint, call.body, stream=False, request_id="r", timeout_s=5))
    assert frontier.requests[0].headers["anthropic-version"] == "2023-06-01"


async def test_openai_sdk_talks_to_anthropic(
    claude: FrontierTarget, frontier: FakeFrontier
) -> None:
    """Chat through the Messages API: text, usage, finish reason, streamed and whole."""
    async with door(claude) as url, _chat_sdk(url) as sdk:
        whole = await sdk.chat.completions.create(model="m", messages=[USER])
        stream = await sdk.chat.completions.create(
            model="m", messages=[USER], stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    assert frontier.requests[0].body["max_tokens"] == 77
    assert whole.choices[0].message.content == "well done"
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (3, 2)
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert said == "well done"
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_openai_sdk_gets_anthropics_tool_calls(claude: FrontierTarget) -> None:
    """Parallel tool calls, one of them without parameters, in both forms; then their results."""
    async with door(claude) as url, _chat_sdk(url) as sdk:
        whole = await sdk.chat.completions.create(model="m", messages=[BOTH], tools=CHAT_TOOLS)
        async with sdk.chat.completions.stream(
            model="m", messages=[BOTH], tools=CHAT_TOOLS
        ) as stream:
            streamed = await stream.get_final_completion()
        turn: Any = whole.choices[0].message.model_dump(exclude_none=True)
        results: Any = [
            {"role": "tool", "tool_call_id": call["id"], "content": "7"}
            for call in turn["tool_calls"]
        ]
        last = await sdk.chat.completions.create(
            model="m", messages=[BOTH, turn, *results], tools=CHAT_TOOLS
        )
    for answer in (whole, streamed):
        calls = answer.choices[0].message.tool_calls or []
        told = [(c.function.name, orjson.loads(c.function.arguments)) for c in calls]  # type: ignore[union-attr]
        assert told == [("stock", {"sku": "x"}), ("clock", {})]
        assert answer.choices[0].finish_reason == "tool_calls"
    assert last.choices[0].message.content == "Hello from the frontier."


async def test_anthropic_sdk_talks_to_openai(
    compatible: FrontierTarget, frontier: FakeFrontier
) -> None:
    """Messages through chat: text, usage, stop reason, streamed and whole."""
    async with door(compatible) as url, _messages_sdk(url) as sdk:
        whole = await sdk.messages.create(model="m", max_tokens=50, messages=[USER], system="s")
        async with sdk.messages.stream(model="m", max_tokens=50, messages=[USER]) as stream:
            streamed = await stream.get_final_message()
    assert frontier.requests[0].body["messages"][0] == {"role": "system", "content": "s"}
    for answer in (whole, streamed):
        assert [block.model_dump()["text"] for block in answer.content] == ["well done"]
        assert answer.stop_reason == "end_turn"
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (1, 2)
        assert answer.usage.cache_read_input_tokens == 2


async def test_anthropic_sdk_gets_openais_tool_calls(compatible: FrontierTarget) -> None:
    """Parallel tool calls in both forms; then their results."""
    async with door(compatible) as url, _messages_sdk(url) as sdk:
        ask: Any = {"model": "m", "max_tokens": 50, "tools": MESSAGES_TOOLS}
        whole = await sdk.messages.create(**ask, messages=[BOTH])
        async with sdk.messages.stream(**ask, messages=[BOTH]) as stream:
            streamed = await stream.get_final_message()
        results: Any = [
            {"type": "tool_result", "tool_use_id": block.id, "content": "7"}
            for block in whole.content
        ]
        turn: Any = {
            "role": "assistant",
            "content": [block.model_dump() for block in whole.content],
        }
        last = await sdk.messages.create(
            **ask, messages=[BOTH, turn, {"role": "user", "content": results}]
        )
    for answer in (whole, streamed):
        blocks = [block.model_dump() for block in answer.content]
        told = [(block["name"], block["input"]) for block in blocks]
        assert told == [("stock", {"sku": "x"}), ("clock", {})]
        assert answer.stop_reason == "tool_use"
    assert last.content[0].model_dump()["text"] == "Hello from the frontier."


async def test_usage_of_translated_calls(
    claude: FrontierTarget, compatible: FrontierTarget
) -> None:
    """Accounting sees the same counts whichever way a call is translated."""
    for stream in (False, True):
        for target, endpoint in ((claude, Endpoint.CHAT), (compatible, Endpoint.MESSAGES)):
            _, usage = await _read(target, _call(endpoint, stream=stream, max_tokens=9))
            assert usage == Usage(3, 2, 2)


@pytest.mark.parametrize("dialect", ["anthropic", "openai"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", [k for k in Kind if k is not Kind.STATUS])
async def test_faults_survive_translation(
    client: HttpClient, frontier: FakeFrontier, dialect: str, stream: bool, kind: Kind
) -> None:
    """A fault of the provider is never translated into a complete answer."""
    frontier.misbehave(Fault(kind, delay_s=0.01))
    endpoint = Endpoint.CHAT if dialect == "anthropic" else Endpoint.MESSAGES
    call = _call(endpoint, stream=stream)
    harmless = is_harmless(kind, stream=stream)
    call = Call(endpoint, call.body, stream, "r", 0.3)
    seen = b""
    try:
        answer = await _target(client, frontier, dialect).send(call)
        async for chunk in answer.chunks():
            seen += chunk.raw
    except (TargetUnavailable, TargetBroken):
        assert not harmless
        assert b"[DONE]" not in seen
        assert b"message_stop" not in seen
    else:
        assert harmless
        assert b"done" in seen


async def test_error_midway_reaches_the_sdk(
    claude: FrontierTarget, compatible: FrontierTarget, frontier: FakeFrontier
) -> None:
    """An error in the middle of a stream is an exception in both official SDKs."""
    frontier.misbehave(Kind.ERROR_MIDWAY, Kind.CUT)
    async with door(claude) as url, _chat_sdk(url) as chat:
        stream = await chat.chat.completions.create(model="m", messages=[USER], stream=True)
        with pytest.raises(openai.APIError, match="not well"):
            [chunk async for chunk in stream]
    async with door(compatible) as url, _messages_sdk(url) as messages:
        events = await messages.messages.create(
            model="m", max_tokens=9, messages=[USER], stream=True
        )
        with pytest.raises(anthropic.APIError, match="cut its answer short"):
            [event async for event in events]


async def test_rejections_are_told_in_the_clients_dialect(
    claude: FrontierTarget, frontier: FakeFrontier
) -> None:
    """In the words of the provider, without its own codes; an overflow is recognised."""
    fault = Fault(Kind.STATUS, 400, "prompt is too long: 9 tokens > 8 maximum", "invalid")
    frontier.misbehave(fault, fault)
    for endpoint in (Endpoint.CHAT, Endpoint.MESSAGES):
        with pytest.raises(TargetRejected) as caught:
            await claude.send(_call(endpoint))
        assert caught.value.code == "context_length_exceeded"


async def test_what_cannot_be_translated_is_refused_before_the_call(
    claude: FrontierTarget, frontier: FakeFrontier
) -> None:
    """The provider is not asked for what its API cannot say."""
    with pytest.raises(InvalidRequest, match="`n` must be 1"):
        await claude.send(_call(Endpoint.CHAT, n=2))
    with pytest.raises(InvalidRequest, match="/v1/chat/completions, /v1/messages, /v1/responses"):
        await claude.send(_call(Endpoint.COMPLETIONS))
    assert frontier.requests == []
