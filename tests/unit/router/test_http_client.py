"""The HTTP client and its answer: bytes as they come, cuts noticed, connections freed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from router.errors import TargetBroken, TargetTimeout, TargetUnavailable
from router.targets.http_client import MAX_ERROR_BODY_BYTES, HttpClient, RawAnswer, json_headers
from router.wire.dialects.base import Asked
from router.wire.endpoint import Endpoint, Usage
from router.wire.formats import FORMATS
from router.wire.upstream_error import retry_after_s
from router.wire.watch import BodyWatch, StreamWatch
from tests.fakes.wire import PAUSE, Hang, Reset, Wire, body, chunk, events, head, wire

HELLO = b'data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n'
COUNTS = (
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,'
    b'"prompt_tokens_details":{"cached_tokens":4}}}\n\n'
)
DONE = b"data: [DONE]\n\n"
ASKED = Asked(FORMATS[Endpoint.CHAT], {})
ANSWER = b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}'
ERROR = b'data: {"error":{"message":"out of memory","code":500,"type":"server_error"}}\n\n'
MESSAGES = (
    b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":5,'
    b'"cache_read_input_tokens":20,"cache_creation_input_tokens":1,"output_tokens":1}}}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":9}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
RESPONSES = (
    b'event: response.created\ndata: {"type":"response.created","response":{"object":"response",'
    b'"error":null,"usage":null}}\n\n'
    b'event: response.completed\ndata: {"type":"response.completed","response":{"object":'
    b'"response","error":null,"usage":{"input_tokens":6,"output_tokens":3,'
    b'"input_tokens_details":{"cached_tokens":2}}}}\n\n'
)


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    """A client that is closed after the test."""
    async with HttpClient() as client:
        yield client


async def _post(client: HttpClient, server: Wire, timeout_s: float = 30.0) -> RawAnswer:
    return await client.post(
        URL(server.url),
        json_headers(),
        b"{}",
        target="base",
        connect_timeout_s=30.0,
        timeout_s=timeout_s,
    )


async def _chat(client: HttpClient, server: Wire, timeout_s: float = 30.0) -> RawAnswer:
    return (await _post(client, server, timeout_s)).watch(ASKED)


async def _read(answer: RawAnswer) -> list[bytes]:
    return [data.raw async for data in answer.chunks() if data]


async def _read_until_broken(answer: RawAnswer) -> tuple[list[bytes], TargetBroken]:
    seen: list[bytes] = []
    try:
        async for data in answer.chunks():
            if data:
                seen.append(data.raw)  # noqa: PERF401 - what came before the error counts
    except TargetBroken as error:
        return seen, error
    pytest.fail("the answer passed as complete")


async def test_whole_body_is_untouched_and_counted(client: HttpClient) -> None:
    """A JSON answer passes byte for byte, and its usage is known at the end."""
    async with wire([body(ANSWER)]) as server:
        answer = await _chat(client, server)
        assert b"".join(await _read(answer)) == ANSWER
    assert answer.usage == Usage(3, 5, None)
    assert answer.content_type == "application/json"


async def test_events_pass_as_they_arrive(client: HttpClient) -> None:
    """Each event is passed on when it is there, not when the stream is at its end."""
    async with wire([*events(HELLO, end=False), Hang()]) as server:
        answer = await _chat(client, server)
        assert (await anext(answer.chunks())).raw == HELLO
        await answer.aclose()


async def test_request_says_no_more_than_it_must(client: HttpClient) -> None:
    """No cookies, no compression, no library name; JSON with its length."""
    async with wire([body(ANSWER, Set_Cookie="a=b; Path=/")]) as server:
        for _ in range(2):
            await _read(await _chat(client, server))
    for request in server.heads:
        assert "Accept-Encoding: identity" in request
        assert "Content-Type: application/json" in request
        assert "cookie" not in request.lower()
        assert "aiohttp" not in request.lower()


async def test_connection_is_reused_after_a_whole_stream(client: HttpClient) -> None:
    """A stream read to its end leaves its connection to the next request."""
    async with wire(events(HELLO, DONE)) as server:
        for _ in range(3):
            await _read(await _chat(client, server))
    assert server.connections == 1


async def test_leaving_early_cuts_the_connection(client: HttpClient) -> None:
    """``aclose`` in the middle of a stream is seen by the target, which can stop its work."""
    async with wire([*events(HELLO, end=False), Hang()]) as server:
        answer = await _chat(client, server)
        await anext(answer.chunks())
        await answer.aclose()
        await asyncio.wait_for(server.left.wait(), 60)


async def test_cancelled_call_cuts_the_connection(client: HttpClient) -> None:
    """A client that leaves before the status arrives frees the target too."""
    async with wire([Hang()]) as server:
        call = asyncio.create_task(_post(client, server))
        while not server.heads:  # noqa: ASYNC110 - the server has no event for this
            await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.wait_for(server.left.wait(), 60)


@pytest.mark.parametrize(
    "script",
    [
        [*events(HELLO, end=False), Reset()],
        [*events(HELLO), b""],
        events(HELLO, b'data: {"choices":[{"del'),
        [*events(HELLO, end=False), b"zz\r\n"],
        [head(content_type="text/event-stream", Connection="close") + HELLO],
        events(HELLO, b'data: {"choices":[{"del\n\n', DONE),
    ],
    ids=["reset", "no-done", "half-event", "bad-chunk", "closed", "half-json"],
)
async def test_cut_stream_is_never_a_success(client: HttpClient, script: list[bytes]) -> None:
    """However a stream is cut, whole events come through and then ``TargetBroken``."""
    async with wire(script) as server:
        seen, error = await _read_until_broken(await _chat(client, server, timeout_s=1.0))
    assert b"".join(seen) == HELLO
    assert "base" in error.message


@pytest.mark.parametrize(
    "script",
    [
        [head(Content_Length="500") + ANSWER, PAUSE, Reset()],
        [body(ANSWER[:-4])],
        [body(b"")],
        [body(b"[]")],
        [body(b"<html>")],
        [body(b'{"error":{"message":"base is on fire"}}')],
        [body(b'{"error":"base is on fire"}')],
    ],
    ids=["reset", "half", "empty", "list", "html", "error", "error-text"],
)
async def test_broken_body_is_never_a_success(client: HttpClient, script: list[bytes]) -> None:
    """A 200 whose body is cut, no JSON or an error object raises; a short one before any byte."""
    async with wire(script) as server:
        seen, error = await _read_until_broken(await _chat(client, server))
    assert b"".join(seen) in {b"", ANSWER}
    assert "base" in error.message


async def test_error_event_ends_the_stream(client: HttpClient) -> None:
    """An error event is not passed on: it is raised, with what the target said."""
    async with wire(events(HELLO + ERROR + DONE)) as server:
        seen, error = await _read_until_broken(await _chat(client, server))
    assert seen == [HELLO]
    assert (error.message, error.code) == ("out of memory", "server_error")


async def test_open_connection_after_the_last_event_is_not_waited_for(client: HttpClient) -> None:
    """A target that says ``[DONE]`` and never closes costs half a second, not the timeout."""
    async with wire([*events(HELLO, DONE, end=False), Hang()]) as server:
        async with asyncio.timeout(20):
            assert await _read(await _chat(client, server, timeout_s=60)) == [HELLO, DONE]
            await server.left.wait()


async def test_total_timeout_holds_in_the_middle_of_a_stream(client: HttpClient) -> None:
    """A stream that stalls is broken off when the call's time is over."""
    async with wire([*events(HELLO, end=False), Hang()]) as server:
        seen, error = await _read_until_broken(await _chat(client, server, timeout_s=1.0))
    assert seen == [HELLO]
    assert "in time" in error.message


async def test_no_status_in_time(client: HttpClient) -> None:
    """A target that accepts and says nothing is a timeout that names it."""
    async with wire([Hang()]) as server:
        with pytest.raises(TargetTimeout, match=r"base did not answer in 0\.1 s"):
            await _post(client, server, timeout_s=0.1)


@pytest.mark.parametrize("script", [[Reset()], [b"HTTP/1.1 nonsense\r\n\r\n"], [b"hello\r\n\r\n"]])
async def test_no_answer_at_all(client: HttpClient, script: list[bytes]) -> None:
    """A reset and broken HTTP before the status leave the request to another target."""
    async with wire(script) as server:
        with pytest.raises(
            TargetUnavailable,
            match=r"base (closed|answered something)",
        ):
            await _post(client, server)


async def test_nobody_listens(client: HttpClient) -> None:
    """A refused connection is unavailable, and the message hides the address."""
    with pytest.raises(TargetUnavailable, match="base cannot be reached") as caught:
        await _post(client, Wire("http://127.0.0.1:9"))
    assert "127.0.0.1" not in caught.value.message


async def test_redirects_are_answers_not_followed(client: HttpClient) -> None:
    """A redirect could take the key and the prompt elsewhere."""
    async with wire([body(b"", status=302, Location="http://127.0.0.1:9/")]) as server:
        assert (await _post(client, server)).status == 302


async def test_compressed_answer_is_refused(client: HttpClient) -> None:
    """Bytes that would not mean what their type says are not passed on."""
    async with wire([body(b"\x1f\x8b", Content_Encoding="gzip")]) as server:
        with pytest.raises(TargetUnavailable, match="compressed"):
            await _post(client, server)


async def test_error_body_is_bounded(client: HttpClient) -> None:
    """A target that answers an error with megabytes does not fill our memory."""
    async with wire([body(b"x" * 10**6, status=500)]) as server:
        assert len(await (await _post(client, server)).error_body()) == MAX_ERROR_BODY_BYTES


async def test_large_request_is_sent_whole(client: HttpClient) -> None:
    """A prompt of megabytes (images) arrives complete and without warnings."""
    async with wire([body(ANSWER)]) as server:
        payload = b"x" * 3_000_000
        answer = await client.post(
            URL(server.url), {}, payload, target="base", connect_timeout_s=1, timeout_s=5
        )
        await _read(answer.watch(ASKED))
    assert server.bodies == [payload]


async def test_end_is_told_once(client: HttpClient) -> None:
    """Whoever counts calls under way is told once, whether read to the end, broken or left."""
    ended: list[int] = []
    async with wire(events(HELLO, DONE), events(HELLO), [*events(HELLO, end=False), Hang()]) as srv:
        for number in range(3):
            answer = (await _post(client, srv)).watch(ASKED, on_end=partial(ended.append, number))
            if number == 1:
                await _read_until_broken(answer)
            elif number == 0:
                await _read(answer)
            await answer.aclose()
            await answer.aclose()
    assert ended == [0, 1, 2]


@pytest.mark.parametrize(
    ("endpoint", "stream", "expected"),
    [
        (Endpoint.CHAT, HELLO + COUNTS + DONE, Usage(7, 2, 4)),
        (Endpoint.COMPLETIONS, HELLO + COUNTS + DONE, Usage(7, 2, 4)),
        (Endpoint.MESSAGES, MESSAGES, Usage(26, 9, 20)),
        (Endpoint.RESPONSES, RESPONSES, Usage(6, 3, 2)),
    ],
)
@given(data=st.data())
def test_any_split_is_watched_alike(
    endpoint: Endpoint, stream: bytes, expected: Usage, data: st.DataObject
) -> None:
    """However the wire splits a stream: same bytes, same counts, complete only at the end."""
    newline = data.draw(st.sampled_from([b"\n", b"\r\n"]))
    stream = stream.replace(b"\n", newline)
    cuts = sorted(data.draw(st.lists(st.integers(1, len(stream) - 1), max_size=8, unique=True)))
    usage = Usage()
    watch = StreamWatch("base", FORMATS[endpoint], usage)
    passed = b""
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        assert not watch.done
        out = watch.feed(stream[start:end], last=False).raw
        assert out == b"" or out.endswith(newline * 2)
        passed += out
    assert (passed, usage, watch.done, watch.failure) == (stream, expected, True, None)


@given(cuts=st.lists(st.integers(1, len(HELLO + COUNTS + DONE) - 1), max_size=8, unique=True))
def test_hidden_usage_is_counted_and_dropped(cuts: list[int]) -> None:
    """The event that we asked for and the client did not never reaches the client."""
    stream = HELLO + COUNTS + DONE
    usage = Usage()
    watch = StreamWatch("base", FORMATS[Endpoint.CHAT], usage, hide_usage=True)
    bounds = [0, *sorted(cuts), len(stream)]
    passed = b"".join(watch.feed(stream[a:b], last=False).raw for a, b in pairwise(bounds))
    assert passed == HELLO + DONE
    assert usage.output_tokens == 2


def test_text_about_the_protocol_does_not_fool_the_watch() -> None:
    """A model that writes ``data: [DONE]`` or ``"usage"`` in its answer is not misread."""
    content = (
        rb'data: {"choices":[{"delta":{"content":"say:\ndata: [DONE]\n\"usage\": 1 \"error\":"}}]}'
    )
    usage = Usage()
    watch = StreamWatch("base", FORMATS[Endpoint.CHAT], usage)
    assert watch.feed(content + b"\n\n", last=False).raw == content + b"\n\n"
    assert not watch.done
    assert watch.failure is None
    assert usage == Usage()


def test_failed_response_is_an_answer() -> None:
    """A Responses object says itself that it failed: it is passed on as it is."""
    watch = BodyWatch("base", FORMATS[Endpoint.RESPONSES], Usage())
    failed = (
        b'{"object":"response","status":"failed","error":{"code":"server_error","message":"m"}}'
    )
    assert watch.feed(failed, last=True).raw == failed
    assert watch.failure is None


def test_error_event_of_each_dialect() -> None:
    """Anthropic's and the Responses API's error events are understood as well as chat's."""
    for endpoint, event in (
        (Endpoint.MESSAGES, b'{"type":"error","error":{"type":"overloaded_error","message":"m"}}'),
        (Endpoint.RESPONSES, b'{"type":"error","code":"overloaded_error","message":"m"}'),
    ):
        watch = StreamWatch("base", FORMATS[endpoint], Usage())
        assert not watch.feed(b"event: error\ndata: " + event + b"\n\n", last=False)
        assert watch.failure is not None
        assert (watch.failure.code, watch.failure.message) == ("overloaded_error", "m")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("2", 2.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), ("nan", None), ("1e99", 86400.0),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)  # fmt: skip
def test_retry_after(value: str, seconds: float | None) -> None:
    """``Retry-After`` is read as a number or a date, and never makes us wait absurdly long."""
    assert retry_after_s({"retry-after": value}) == seconds
    assert retry_after_s({}) is None


def test_milliseconds_go_first() -> None:
    """As OpenAI and Azure send them beside the seconds; senseless ones say nothing."""
    assert retry_after_s({"retry-after-ms": "250", "retry-after": "1"}) == 0.25
    assert retry_after_s({"retry-after-ms": "soon", "retry-after": "1"}) == 1.0
    assert retry_after_s({"retry-after-ms": "nan"}) is None


def test_chunk_helper_matches_http() -> None:
    """The fake's own encoding is right: a length in hex, then the data."""
    assert chunk(b"x" * 17) == b"11\r\n" + b"x" * 17 + b"\r\n"


@pytest.mark.parametrize("half", [b'data: {"choices":[{"delta":}\n\n', b'data: {"a":"\xff"}\n\n'])
def test_an_event_that_nobody_can_read_ends_the_stream_before_it(half: bytes) -> None:
    """Also one that ends as whole ones do; those before it are the client's."""
    watch = StreamWatch("base", FORMATS[Endpoint.CHAT], Usage())
    whole = b'data: {"choices":[]}\n\n'
    assert watch.feed(whole + half + whole, last=False).raw == whole
    assert watch.failure is not None


async def test_a_whole_answer_is_json_whatever_its_target_calls_it(client: HttpClient) -> None:
    """SDKs hand over as text what is not called JSON."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
    sent = head + b"Content-Length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
    async with wire([sent]) as server:
        assert (await _chat(client, server)).content_type == "application/json"
