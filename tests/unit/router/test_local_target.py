"""The local target: vLLM's bytes untouched, its errors sorted by what the caller can do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
import pytest

from router.errors import TargetError, TargetRejected, TargetUnavailable
from router.targets.base import Answer, Call
from router.targets.http_client import HttpClient
from router.targets.local import LocalTarget
from router.wire.endpoint import Endpoint, Usage
from tests.fakes.wire import Piece, Wire, body, events, wire

SECRET = "not-for-your-eyes"
NAME = "adapter:returns@0123456789ab"
HELLO = b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'
COUNTS = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    """A client that is closed after the test."""
    async with HttpClient() as client:
        yield client


def _call(endpoint: Endpoint = Endpoint.CHAT, *, stream: bool = False, **extra: Any) -> Call:
    body = {"model": "returns@0123456789ab", "messages": [], "seed": 1, "stream": stream, **extra}
    return Call(endpoint, body, stream, "req-1", 5.0, {"traceparent": "00-1-2-01"})


def _target(client: HttpClient, server: Wire) -> LocalTarget:
    return LocalTarget(client, server.url + "/", SECRET, NAME)


async def _read(answer: Answer) -> bytes:
    return b"".join([data.raw async for data in answer.chunks()])


async def _failure(client: HttpClient, script: Sequence[Piece], call: Call) -> TargetError:
    async with wire(script) as server:
        with pytest.raises(TargetError) as caught:
            await _target(client, server).send(call)
    assert SECRET not in caught.value.message
    return caught.value


def _vllm_error(status: int, message: str, kind: str, param: str | None = None) -> list[Piece]:
    error = {"message": message, "type": kind, "param": param, "code": status}
    return [body(orjson.dumps({"error": error}), status=status)]


@pytest.mark.parametrize("endpoint", list(Endpoint))
async def test_every_endpoint_passes_through(client: HttpClient, endpoint: Endpoint) -> None:
    """Body, request identity and secret arrive; the answer comes back as it is."""
    content = (
        b'{ "usage": {"prompt_tokens":1, "completion_tokens": 2}, "odd" :"spacing",'
        b'"choices": [], "content": [], "output": [], "data": []}'
    )
    async with wire([body(content)]) as server:
        call = _call(endpoint, top_k=3, vllm_xargs={"a": 1})
        answer = await _target(client, server).send(call)
        assert await _read(answer) == content
    assert orjson.loads(server.bodies[0]) == call.body
    sent = server.heads[0]
    assert sent.startswith(f"POST {endpoint} HTTP/1.1\r\n")
    for line in (
        f"Authorization: Bearer {SECRET}",
        "X-Request-Id: req-1",
        "traceparent: 00-1-2-01",
    ):
        assert line in sent
    assert answer.usage == Usage(1, 2, None)


@pytest.mark.parametrize("asked", [None, {}, {"include_usage": False}])
async def test_streams_are_counted_for_clients_that_did_not_ask(
    client: HttpClient, asked: dict[str, bool] | None
) -> None:
    """Usage is asked for, counted, and its event not shown; the call stays as it was."""
    call = _call(stream=True, stream_options=asked) if asked is not None else _call(stream=True)
    before = orjson.dumps(call.body)
    async with wire(events(HELLO, COUNTS, DONE)) as server:
        answer = await _target(client, server).send(call)
        assert await _read(answer) == HELLO + DONE
    assert orjson.loads(server.bodies[0])["stream_options"] == {"include_usage": True}
    assert orjson.dumps(call.body) == before
    assert answer.usage == Usage(7, 2, None)


async def test_streams_show_usage_to_clients_that_asked(client: HttpClient) -> None:
    """A client that asked for usage gets every byte."""
    call = _call(stream=True, stream_options={"include_usage": True})
    async with wire(events(HELLO, COUNTS, DONE)) as server:
        answer = await _target(client, server).send(call)
        assert await _read(answer) == HELLO + COUNTS + DONE
    assert answer.usage == Usage(7, 2, None)


async def test_other_dialects_get_no_stream_options(client: HttpClient) -> None:
    """Messages and Responses streams carry usage by themselves; their bodies are not touched."""
    stop = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    async with wire(events(stop)) as server:
        answer = await _target(client, server).send(_call(Endpoint.MESSAGES, stream=True))
        assert await _read(answer) == stop
    assert "stream_options" not in orjson.loads(server.bodies[0])


async def test_bad_request_is_rejected_with_vllms_words(client: HttpClient) -> None:
    """A 400 says what vLLM said, and its numeric code becomes a string."""
    error = await _failure(
        client,
        _vllm_error(400, "temperature must be >= 0", "BadRequestError", "temperature"),
        _call(),
    )
    assert isinstance(error, TargetRejected)
    assert (error.status, error.param, error.code) == (400, "temperature", "invalid_request")
    assert error.body()["error"]["message"] == "temperature must be >= 0"


async def test_overlong_prompt_has_its_own_code(client: HttpClient) -> None:
    """A prompt that does not fit can be told from other errors: a larger window may be tried."""
    message = "This model's maximum context length is 64 tokens. However, your prompt contains 99."
    for script in (
        _vllm_error(400, message, "BadRequestError", "input_tokens"),
        _vllm_error(400, message, "BadRequestError"),
    ):
        error = await _failure(client, script, _call())
        assert isinstance(error, TargetRejected)
        assert error.code == "context_length_exceeded"


async def test_anthropic_shaped_error(client: HttpClient) -> None:
    """``/v1/messages`` answers errors in Anthropic's shape: understood, and kept for the client."""
    shape = b'{"type":"error","error":{"type":"BadRequestError","message":"max_tokens"}}'
    error = await _failure(client, [body(shape, status=400)], _call(Endpoint.MESSAGES))
    assert isinstance(error, TargetRejected)
    assert error.message == "max_tokens"
    assert error.status == 400


@pytest.mark.parametrize(
    ("script", "status"),
    [
        (_vllm_error(404, "The model `x` does not exist.", "NotFoundError", "model"), 502),
        (_vllm_error(500, "boom", "InternalServerError"), 502),
        (_vllm_error(503, "draining", "ServiceUnavailableError"), 503),
        ([body(b'{"error":"Unauthorized"}', status=401)], 502),
        ([body(b"<html>", status=502)], 502),
        ([body(b"", status=302, Location="http://elsewhere/")], 502),
    ],
)
async def test_another_replica_may_answer(
    client: HttpClient, script: list[Piece], status: int
) -> None:
    """What is wrong with the replica, not with the request, is unavailable."""
    error = await _failure(client, script, _call())
    assert isinstance(error, TargetUnavailable)
    assert error.status == status
    assert NAME in error.message


async def test_anthropic_shaped_missing_model(client: HttpClient) -> None:
    """The missing adapter is recognised on ``/v1/messages`` too."""
    shape = b'{"type":"error","error":{"type":"NotFoundError","message":"The model `x` does not"}}'
    error = await _failure(client, [body(shape, status=404)], _call(Endpoint.MESSAGES))
    assert isinstance(error, TargetUnavailable)


@pytest.mark.parametrize("status", [404, 501])
async def test_endpoint_that_the_model_lacks(client: HttpClient, status: int) -> None:
    """A route that vLLM did not mount for this model is the same on every replica."""
    script = [body(b'{"detail":"Not Found"}', status=status)]
    error = await _failure(client, script, _call(Endpoint.EMBEDDINGS))
    assert isinstance(error, TargetRejected)
    assert error.code == "unsupported_endpoint"


async def test_retry_after_is_kept(client: HttpClient) -> None:
    """A replica that is full says when to come back."""
    error = await _failure(client, [body(b"{}", status=429, Retry_After="3")], _call())
    assert isinstance(error, TargetUnavailable)
    assert (error.status, error.retry_after_s) == (429, 3.0)
