"""Our own HTTP/1.1: what one connection accepts, and how many are kept and for how long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from router.errors import Failure, TargetBroken, TargetTimeout, TargetUnavailable
from router.targets.connection import MAX_HEAD_BYTES
from router.targets.http_client import HttpClient, RawAnswer
from router.wire.dialects.base import Asked
from router.wire.endpoint import Endpoint
from router.wire.formats import FORMATS
from tests.fakes.certificate import certificate
from tests.fakes.wire import PAUSE, Hang, Piece, Wire, body, head, wire

ANSWER = b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":5}}'
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"

LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
Run = Callable[[Coroutine[Any, Any, None]], None]

ASKED = Asked(FORMATS[Endpoint.CHAT], {})


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    """A client that is closed after the test."""
    async with HttpClient() as client:
        yield client


async def post(
    client: HttpClient, server: Wire, connect_timeout_s: float = 30.0, **headers: str
) -> RawAnswer:
    """Call the server."""
    answer = await client.post(
        URL(server.url),
        headers,
        b"{}",
        target="base",
        connect_timeout_s=connect_timeout_s,
        timeout_s=30.0,
    )
    return answer.watch(ASKED)


async def read(answer: RawAnswer) -> bytes:
    """The whole body."""
    return b"".join([data.raw async for data in answer.chunks()])


async def test_provisional_answers_are_skipped(client: HttpClient) -> None:
    """A 100 or 103 announces the answer; it is not the answer."""
    script: list[Piece] = [
        b"HTTP/1.1 100 Continue\r\n\r\n" + HINTS,
        PAUSE,
        body(ANSWER, X_Here="yes"),
    ]
    async with wire(script) as server:
        answer = await post(client, server)
        assert (answer.status, answer.headers["x-here"]) == (200, "yes")
        assert "link" not in answer.headers
        assert await read(answer) == ANSWER


async def test_a_body_without_length_ends_with_the_connection(client: HttpClient) -> None:
    """HTTP/1.0's way of ending a body is understood, and such a connection is not kept."""
    async with wire([head(Connection="close") + ANSWER, b""]) as server:
        for _ in range(2):
            assert await read(await post(client, server)) == ANSWER
    assert server.connections == 2


@pytest.mark.parametrize("surplus", [b"surplus", body(b'{"choices":[{"for":"somebody else"}]}')])
@pytest.mark.parametrize("pause", [0.0, PAUSE])
async def test_bytes_that_nobody_asked_for_end_a_connection(
    client: HttpClient, surplus: bytes, pause: float
) -> None:
    """They would be the answer to the next request: somebody else's."""
    script: list[Piece] = [body(ANSWER), pause, surplus] if pause else [body(ANSWER) + surplus]
    async with wire(script, [body(ANSWER)]) as server:
        assert await read(await post(client, server)) == ANSWER
        async with asyncio.timeout(60):
            while not server.ended:  # noqa: ASYNC110 - the fake has no event for it
                await asyncio.sleep(0.01)
        assert await read(await post(client, server)) == ANSWER
    assert server.connections == 2


async def test_an_endless_head_is_refused(client: HttpClient) -> None:
    """A target that never stops sending headers does not fill our memory."""
    lines = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(MAX_HEAD_BYTES // 1000 + 1))
    async with wire([b"HTTP/1.1 200 OK\r\n" + lines, Hang()]) as server:
        with pytest.raises(TargetUnavailable) as caught:
            await post(client, server)
    assert caught.value.failure is Failure.BROKEN


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\rb"])
async def test_a_header_stays_one_header(client: HttpClient, value: str) -> None:
    """A line break in a value would let whoever wrote it add headers of their own."""
    async with wire([body(ANSWER)]) as server:
        with pytest.raises(ValueError, match="line break"):
            await post(client, server, Traceparent=value)
        assert not server.heads


async def test_who_reads_slowly_holds_the_target_back(client: HttpClient) -> None:
    """Megabytes that nobody takes stay at the target: reading stops, and goes on later."""
    text = b'{"choices":[],"text":"' + b"x" * 40_000_000 + b'"}'
    sent = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(head(Content_Length=str(len(text))) + text)
        await writer.drain()
        sent.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    answer = await post(client, Wire(url))
    await asyncio.sleep(0.2)
    assert not sent.is_set()
    assert await read(answer) == text
    server.close()


async def test_no_more_connections_than_allowed() -> None:
    """Who finds none waits; the one that gets free is used again."""
    async with HttpClient(max_connections=2) as client, wire([0.05, body(ANSWER)]) as server:
        answers = await asyncio.gather(*(post(client, server) for _ in range(2)))
        third = asyncio.create_task(post(client, server))
        await asyncio.sleep(PAUSE)
        assert len(server.heads) == 2
        await read(answers[0])
        assert await read(await third) == ANSWER
        await answers[1].aclose()
    assert server.connections == 2


async def test_a_wait_for_a_connection_has_an_end() -> None:
    """The connect timeout holds for the wait in our own queue too, and who gave up leaves it."""
    async with HttpClient(max_connections=1) as client, wire([body(ANSWER)]) as server:
        answer = await post(client, server)
        with pytest.raises(TargetTimeout, match="No connection to base"):
            await post(client, server, 0.3)
        await read(answer)
        assert await read(await post(client, server)) == ANSWER


@LOOPS
def test_nothing_is_left_of_calls_that_came_to_nothing(run: Run) -> None:
    """A target that hangs up at once, and waits that were given up, leave no place taken: else the
    pool would be full one day.
    """

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def calls() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        gone = Wire(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with HttpClient(max_connections=2) as client, wire([body(ANSWER)]) as alive:
            for _ in range(20):
                with pytest.raises(TargetUnavailable):
                    await post(client, gone)
            held = [await post(client, alive) for _ in range(2)]
            waits = [asyncio.create_task(post(client, alive, 0.3)) for _ in range(20)]
            results = await asyncio.gather(*waits, return_exceptions=True)
            assert all(isinstance(each, TargetTimeout) for each in results)
            assert not client._pool._waiting
            for answer in held:
                await read(answer)
            assert await read(await post(client, alive)) == ANSWER
        server.close()

    run(calls())


@LOOPS
def test_a_full_connection_that_is_cut_is_read_to_the_cut(run: Run) -> None:
    """Reading had stopped, the deadline comes, and then somebody reads on: an error, no crash."""
    text = b'{"choices":[],"text":"' + b"x" * 20_000_000 + b'"}'

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(head(Content_Length=str(len(text))) + text)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    async def post_within(client: HttpClient, url: URL, timeout_s: float) -> RawAnswer:
        return await client.post(
            url, {}, b"{}", target="base", connect_timeout_s=30, timeout_s=timeout_s
        )

    async def call() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with HttpClient() as client:
            timeout_s = 1.0
            try:
                answer = await post_within(client, url, timeout_s)
            except TargetTimeout:  # a busy machine: not even the head came in time
                timeout_s = 20.0
                answer = await post_within(client, url, timeout_s)
            answer.watch(ASKED)
            await asyncio.sleep(timeout_s + 0.3)
            with pytest.raises(TargetBroken, match="in time"):
                await read(answer)
        server.close()

    run(call())


async def test_another_origin_makes_room() -> None:
    """An idle connection elsewhere gives way: one busy provider cannot lock the others out."""
    async with HttpClient(max_connections=1) as client, wire([body(ANSWER)]) as one:
        await read(await post(client, one))
        async with wire([body(ANSWER)]) as other:
            assert await read(await post(client, other)) == ANSWER


async def test_idle_connections_are_given_up() -> None:
    """After ``keepalive_s`` it is closed, before the target does so under a request's feet."""
    async with HttpClient(keepalive_s=0.05) as client, wire([body(ANSWER)]) as server:
        await read(await post(client, server))
        await asyncio.sleep(0.2)
        await read(await post(client, server))
    assert server.connections == 2


@LOOPS
def test_tls_to_a_host_that_is_vouched_for(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTPS works on both event loops, with the certificates that the machine trusts; the
    connection is kept, and megabytes pass in both directions.
    """
    trusted, context = certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    text = b'{"choices":[],"text":"' + b"x" * 3_000_000 + b'"}'

    async def talk() -> None:
        async with HttpClient() as client, wire([body(text)], tls=context) as server:
            for _ in range(2):
                answer = await client.post(
                    URL(server.url),
                    {},
                    b"y" * 2_000_000,
                    target="base",
                    connect_timeout_s=5,
                    timeout_s=20,
                )
                assert await read(answer.watch(ASKED)) == text
        assert (server.connections, [len(each) for each in server.bodies]) == (1, [2_000_000] * 2)

    run(talk())


@pytest.mark.parametrize("host", ["localhost", "elsewhere.test"])
async def test_tls_to_anybody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    """Neither a certificate that nobody vouches for nor one of another host gets the prompt."""
    trusted, context = certificate(tmp_path, host)
    if host != "localhost":
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with HttpClient() as client, wire([body(ANSWER)], tls=context) as server:
        with pytest.raises(TargetUnavailable, match="base cannot be reached") as caught:
            await post(client, server)
        assert not server.heads
    assert caught.value.failure is Failure.UNREACHABLE


@settings(max_examples=40)
@given(
    cuts=st.lists(st.integers(1, len(HINTS + body(ANSWER)) - 1), max_size=6, unique=True),
    chunked=st.booleans(),
)
def test_an_answer_may_arrive_in_any_pieces(cuts: list[int], chunked: bool) -> None:
    """However the network cuts it: the same head, the same body, and the connection is kept."""
    whole = body(ANSWER)
    if chunked:
        pieces = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (ANSWER[:9], ANSWER[9:]))
        whole = head(Transfer_Encoding="chunked") + pieces + b"0\r\n\r\n"
    data = HINTS + whole
    bounds = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    script: list[Piece] = []
    for start, end in pairwise(bounds):
        script += [data[start:end], 0.001]

    async def twice() -> int:
        async with HttpClient() as client, wire(script) as server:
            for _ in range(2):
                assert await read(await post(client, server)) == ANSWER
            return server.connections

    assert asyncio.run(twice()) == 1
