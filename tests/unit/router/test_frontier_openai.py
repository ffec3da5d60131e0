"""Frontier targets on OpenAI's API: bytes untouched, errors sorted, every fault noticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest
from pydantic import ValidationError

from router.config.providers import (
    Capability,
    MissingKey,
    ModelCard,
    ProviderConfig,
    read_key,
)
from router.errors import (
    InvalidRequest,
    TargetBroken,
    TargetError,
    TargetRejected,
    TargetTimeout,
    TargetUnavailable,
)
from router.targets.base import Call
from router.targets.frontier import FrontierTarget, frontier_targets
from router.targets.http_client import HttpClient
from router.wire.endpoint import Endpoint, Usage
from tests.fakes.door import door
from tests.fakes.faults import Fault, Kind, is_harmless
from tests.fakes.frontier import FakeFrontier

KEY = "sk-secret-0123456789"
ALL = frozenset(Capability)
NATIVE = [Endpoint.CHAT, Endpoint.COMPLETIONS, Endpoint.RESPONSES, Endpoint.EMBEDDINGS]


@pytest.fixture(scope="module")
def server() -> Iterator[FakeFrontier]:
    """One server for the module."""
    with FakeFrontier(api_key=KEY, cached_tokens=1) as running:
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


def _card(**changes: Any) -> ModelCard:
    facts = {"id": "m", "input_usd_per_mtok": 1, "output_usd_per_mtok": 2, "capabilities": ALL}
    return ModelCard.model_validate({**facts, **changes})


def _config(frontier: FakeFrontier, **changes: Any) -> ProviderConfig:
    facts = {
        "name": "acme",
        "base_url": frontier.openai_url,
        "api_key_env": "ACME_KEY",
        "models": (_card(),),
    }
    return ProviderConfig.model_validate({**facts, **changes})


def _target(client: HttpClient, frontier: FakeFrontier, **changes: Any) -> FrontierTarget:
    config = _config(frontier, **changes)
    return frontier_targets(client, [config], {"ACME_KEY": KEY})["acme/m"]


def _call(endpoint: Endpoint = Endpoint.CHAT, text: str = "hi", **extra: Any) -> Call:
    body: dict[str, Any] = {"model": "m", **extra}
    if endpoint in {Endpoint.CHAT, Endpoint.MESSAGES}:
        body["messages"] = [{"role": "user", "content": text}]
    else:
        body["prompt" if endpoint is Endpoint.COMPLETIONS else "input"] = text
    headers = {"traceparent": "00-1-2-01", "authorization": "Bearer client", "cookie": "a=b"}
    return Call(endpoint, body, bool(extra.get("stream")), "req-1", 5.0, headers)


async def _read(target: FrontierTarget, call: Call) -> tuple[bytes, Usage]:
    answer = await target.send(call)
    data = b"".join([chunk.raw async for chunk in answer.chunks()])
    return data, answer.usage


@pytest.mark.parametrize("endpoint", NATIVE)
async def test_whole_answers_pass_through(
    client: HttpClient, frontier: FakeFrontier, endpoint: Endpoint
) -> None:
    """The provider gets the client's body, our key and no other header of the client."""
    call = _call(endpoint, odd_parameter={"kept": True})
    data, usage = await _read(_target(client, frontier), call)
    [received] = frontier.requests
    assert orjson.loads(received.raw) == call.body
    assert received.path == endpoint
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.headers["traceparent"] == "00-1-2-01"
    assert "cookie" not in received.headers
    assert orjson.loads(data)["model"] == "m"
    assert usage.input_tokens == 1


@pytest.mark.parametrize("endpoint", NATIVE[:3])
@pytest.mark.parametrize("asked", [False, True])
async def test_streams_are_counted(
    client: HttpClient, frontier: FakeFrontier, endpoint: Endpoint, asked: bool
) -> None:
    """Every stream is counted; the usage event is shown only to a client that asked for it."""
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if asked else {}
    if endpoint is Endpoint.RESPONSES:
        options = {}
    call = _call(endpoint, stream=True, **options)
    data, usage = await _read(_target(client, frontier), call)
    assert usage == Usage(1, 4, 1)
    shown = b'"choices":[],"usage"' in data
    assert shown == (asked and endpoint is not Endpoint.RESPONSES)
    sent = frontier.requests[0].body
    assert ("stream_options" in sent) == (endpoint is not Endpoint.RESPONSES)


async def test_upstream_that_rejects_stream_options(
    client: HttpClient, frontier: FakeFrontier
) -> None:
    """``stream_usage: false`` leaves the body as the client wrote it."""
    call = _call(stream=True)
    _, usage = await _read(_target(client, frontier, stream_usage=False), call)
    assert frontier.requests[0].body == call.body
    assert usage == Usage()


async def test_official_sdk_reads_everything(client: HttpClient, frontier: FakeFrontier) -> None:
    """The ``openai`` package parses whole and streamed answers of all four endpoints."""
    async with (
        door(_target(client, frontier)) as url,
        openai.AsyncOpenAI(base_url=url + "/v1", api_key="x", max_retries=0) as sdk,
    ):
        message: Any = {"role": "user", "content": "say well done"}
        chat = await sdk.chat.completions.create(model="m", messages=[message])
        assert chat.choices[0].message.content == "well done"
        stream = await sdk.chat.completions.create(model="m", messages=[message], stream=True)
        said = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert "".join(said) == "well done"
        text = await sdk.completions.create(model="m", prompt="say well done")
        assert text.choices[0].text == "well done"
        response = await sdk.responses.create(model="m", input="say well done")
        assert response.output_text == "well done"
        events = [e async for e in await sdk.responses.create(model="m", input="x", stream=True)]
        assert events[-1].type == "response.completed"
        vectors = await sdk.embeddings.create(model="m", input=["a", "b"])
        assert len(vectors.data[1].embedding) == 8


async def test_official_sdk_reads_tool_calls(client: HttpClient, frontier: FakeFrontier) -> None:
    """Parallel tool calls arrive whole and streamed."""
    tools: Any = [
        {
            "type": "function",
            "function": {
                "name": name,
                "parameters": {"type": "object", "properties": {"sku": {"type": "string"}}},
            },
        }
        for name in ("stock", "price")
    ]
    message: Any = {"role": "user", "content": "stock and price please"}
    async with (
        door(_target(client, frontier)) as url,
        openai.AsyncOpenAI(base_url=url + "/v1", api_key="x", max_retries=0) as sdk,
        sdk.chat.completions.stream(model="m", messages=[message], tools=tools) as stream,
    ):
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert [(c.function.name, c.function.arguments) for c in calls] == [
        ("stock", '{"sku":"x"}'),
        ("price", '{"sku":"x"}'),
    ]


@pytest.mark.parametrize(
    ("status", "code", "kind", "answer"),
    [
        (400, "context_length_exceeded", TargetRejected, 400),
        (422, "bad", TargetRejected, 422),
        (401, "invalid_api_key", TargetUnavailable, 502),
        (403, None, TargetUnavailable, 502),
        (404, "model_not_found", TargetUnavailable, 502),
        (408, None, TargetUnavailable, 502),
        (429, "rate_limit_exceeded", TargetUnavailable, 429),
        (500, None, TargetUnavailable, 502),
        (503, None, TargetUnavailable, 503),
        (529, None, TargetUnavailable, 502),
    ],
)
async def test_errors_are_sorted(
    client: HttpClient,
    frontier: FakeFrontier,
    status: int,
    code: str | None,
    kind: type[TargetError],
    answer: int,
) -> None:
    """Fix the request, or try another target: the status decides, and the code survives."""
    frontier.misbehave(Fault(Kind.STATUS, status=status, code=code, retry_after="7"))
    with pytest.raises(kind) as caught:
        await _target(client, frontier).send(_call())
    assert type(caught.value) is kind
    assert caught.value.status == answer
    if kind is TargetRejected:
        assert caught.value.code == code
    else:
        assert caught.value.retry_after_s == 7.0


async def test_credentials_never_show(client: HttpClient, frontier: FakeFrontier) -> None:
    """A provider that quotes the key it was given does not make us quote it."""
    config = _config(frontier)
    target = frontier_targets(client, [config], {"ACME_KEY": "sk-wrong-key"})["acme/m"]
    with pytest.raises(TargetUnavailable, match="configured credentials") as caught:
        await target.send(_call())
    assert "sk-" not in caught.value.message


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", [k for k in Kind if k is not Kind.STATUS])
async def test_every_fault_is_noticed(
    client: HttpClient, frontier: FakeFrontier, kind: Kind, stream: bool
) -> None:
    """No fault passes as a complete answer, and a stream that breaks ends between two events."""
    frontier.misbehave(Fault(kind, delay_s=0.01))
    call = _call(stream=stream)
    # Whole bodies of any size pass here; the send stage bounds them.
    harmless = is_harmless(kind, stream=stream) or (kind is Kind.GIANT and not stream)
    call = Call(call.endpoint, call.body, stream, "req-1", 30.0 if harmless else 0.3)
    seen, error = b"", None
    try:
        answer = await _target(client, frontier).send(call)
        async for chunk in answer.chunks():
            seen += chunk.raw
    except (TargetUnavailable, TargetBroken) as raised:
        error = raised
    assert (error is None) == harmless
    if error is None:
        assert b"frontier." in seen or kind is Kind.GIANT
    else:
        assert "frontier:acme/m" in error.message or error.message == Fault(kind).message
        assert not stream or not seen or seen.endswith(b"\n\n")


async def test_hanging_provider_is_a_timeout(client: HttpClient, frontier: FakeFrontier) -> None:
    """The provider's own bound holds when it is tighter than the call's; the provider is freed."""
    frontier.misbehave(Kind.HANG_BEFORE_HEADERS)
    left = frontier.left
    with pytest.raises(TargetTimeout):
        await _target(client, frontier, total_timeout_s=1.0).send(_call())
    async with asyncio.timeout(60):
        while frontier.left == left:  # noqa: ASYNC110 - the server runs in another thread
            await asyncio.sleep(0.01)


async def test_a_full_provider_refuses_at_once(client: HttpClient, frontier: FakeFrontier) -> None:
    """Calls over ``max_connections`` are not queued; a finished or failed call makes room."""
    target = _target(client, frontier, max_connections=1)
    frontier.misbehave(Kind.STATUS)
    with pytest.raises(TargetUnavailable):
        await target.send(_call())
    first = await target.send(_call(stream=True))
    with pytest.raises(TargetUnavailable, match="its limit") as caught:
        await target.send(_call())
    assert (caught.value.status, caught.value.retry_after_s) == (503, 1.0)
    await first.aclose()
    await _read(target, _call())
    await _read(target, _call())


async def test_unsupported_endpoint_names_the_remedy(
    client: HttpClient, frontier: FakeFrontier
) -> None:
    """A chat model asked for embeddings says what it can do, and the provider is not called."""
    target = _target(client, frontier, models=(_card(capabilities=["chat", "tools"]),))
    with pytest.raises(InvalidRequest, match="/v1/chat/completions, /v1/messages") as caught:
        await target.send(_call(Endpoint.EMBEDDINGS))
    assert (caught.value.code, caught.value.param) == ("unsupported_endpoint", "model")
    assert frontier.requests == []


def test_base_urls_are_taken_as_the_vendors_write_them(frontier: FakeFrontier) -> None:
    """With and without ``/v1`` and a slash at the end, in both dialects."""
    for base, dialect, expected in (
        ("https://api.openai.com/v1/", "openai", "https://api.openai.com/v1/responses"),
        ("https://api.openai.com", "openai", "https://api.openai.com/v1/responses"),
        ("https://x.test/openai/v1beta", "openai", "https://x.test/openai/v1beta/responses"),
        ("https://api.anthropic.com", "anthropic", "https://api.anthropic.com/v1/responses"),
        ("https://x.test/a/v1", "anthropic", "https://x.test/a/v1/responses"),
    ):
        config = _config(frontier, base_url=base, dialect=dialect)
        assert config.url(Endpoint.RESPONSES) == expected


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"base_url": "ftp://x.test"}, "http or https"),
        ({"base_url": "https://me:pw@x.test/v1"}, "credentials"),
        ({"base_url": "https://x.test/v1?key=1"}, "query"),
        ({"api_key_file": "/run/key"}, "not both"),
        ({"name": "a/b"}, "pattern"),
        ({"models": ()}, "at least 1"),
        ({"models": (_card(), _card())}, "distinct"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_bad_config_is_explained(
    frontier: FakeFrontier, changes: dict[str, Any], complaint: str
) -> None:
    """A mistake in the configuration stops at start, with words that point at it."""
    with pytest.raises(ValidationError, match=complaint):
        _config(frontier, **changes)


def test_keys_come_from_the_environment_or_a_file(frontier: FakeFrontier, tmp_path: Path) -> None:
    """A key is read where the config says; a missing one is named by its place, never its value."""
    path = tmp_path / "key"
    path.write_text("from-file\n")
    assert read_key(_config(frontier), {"ACME_KEY": " from-env "}) == "from-env"
    by_file = _config(frontier, api_key_env=None, api_key_file=path)
    assert read_key(by_file, {}) == "from-file"
    assert read_key(_config(frontier, api_key_env=None), {}) is None
    with pytest.raises(
        MissingKey, match="provider acme needs a key: set environment variable ACME"
    ):
        read_key(_config(frontier), {})
    with pytest.raises(MissingKey, match="ACME_KEY holds something that is no key") as caught:
        read_key(_config(frontier), {"ACME_KEY": "two\nlines"})
    assert "two" not in str(caught.value)
    path.unlink()
    with pytest.raises(MissingKey, match=str(path)):
        read_key(by_file, {})


def test_cost_counts_cached_tokens_at_their_price() -> None:
    """Cached prompt tokens are cheaper; an answer without counts has no cost, not a cost of 0."""
    usage = Usage(1_000_000, 500_000, 400_000)
    assert _card(cached_input_usd_per_mtok=0.1).cost_usd(usage) == pytest.approx(0.6 + 0.04 + 1.0)
    assert _card().cost_usd(usage) == pytest.approx(1.0 + 1.0)
    assert _card().cost_usd(Usage()) is None
