"""The little of ASGI that the door needs: clients that leave, harmless headers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import Overloaded, RouterError
from router.wire.asgi import (
    ClientLeft,
    Message,
    Present,
    Receive,
    encode_headers,
    error_headers,
    header_map,
    send_json,
)

LIMIT = 10
LEFT: Message = {"type": "http.disconnect"}


def part(body: bytes, *, more: bool = False) -> Message:
    """A piece of a request's body."""
    return {"type": "http.request", "body": body, "more_body": more}


def client(messages: Iterable[Message]) -> Receive:
    """A client that sends these messages and then waits for ever."""
    queue = list(messages)

    async def receive() -> Message:
        if not queue:
            await asyncio.Event().wait()
        return queue.pop(0)

    return receive


def scope(**headers: str) -> dict[str, Any]:
    """A request's scope."""
    encoded = [(k.replace("_", "-").encode(), v.encode("latin-1")) for k, v in headers.items()]
    return {"type": "http", "headers": encoded}


# Clients that leave


async def until_client_leaves(work: Awaitable[str], receive: Receive) -> str:
    """The work's result, or ``ClientLeft``."""
    with Present(receive):
        return await work


class Work:
    """Something that takes until it is told to end."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.cancelled = False

    async def __call__(self) -> str:
        """Wait; remember when somebody stopped it."""
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            await asyncio.sleep(0)
            raise
        return "done"


async def test_work_that_ends_first() -> None:
    """With the client still there, the result is the work's."""
    work = Work()
    work.go.set()
    assert await until_client_leaves(work(), client([])) == "done"


async def test_errors_of_the_work_come_through() -> None:
    """What the work raises is what the caller gets."""

    async def fail() -> str:
        await asyncio.sleep(0)
        raise RouterError("no")

    with pytest.raises(RouterError, match="no"):
        await until_client_leaves(fail(), client([]))


async def test_a_client_that_leaves_ends_the_work() -> None:
    """The work is cancelled and over before the caller goes on, so that the engine is free."""
    work = Work()
    with pytest.raises(ClientLeft):
        await until_client_leaves(work(), client([part(b""), LEFT]))
    assert work.cancelled


async def test_a_cancelled_caller_ends_the_work() -> None:
    """When the server stops, the work stops too, and nothing is left running."""
    work = Work()
    running = asyncio.create_task(until_client_leaves(work(), client([])))
    await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert work.cancelled
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_nobody_is_left_listening() -> None:
    """After the answer nobody waits for the client any more."""
    work = Work()
    work.go.set()
    await until_client_leaves(work(), client([]))
    await asyncio.sleep(0.01)
    assert asyncio.all_tasks() == {asyncio.current_task()}


# Answers


async def test_an_answer_is_complete() -> None:
    """Length and type fit the body."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await send_json(send, 418, {"tea": "ü"}, encode_headers({"x-pot": "1"}))
    start, body = sent
    headers = dict(start["headers"])
    assert start["status"] == 418
    assert headers[b"content-type"] == b"application/json"
    assert int(headers[b"content-length"]) == len(body["body"])
    assert headers[b"x-pot"] == b"1"
    assert orjson.loads(body["body"]) == {"tea": "ü"}


@given(st.text(max_size=50))
def test_header_values_are_harmless(value: str) -> None:
    """Nothing that a client or an upstream says can begin another header."""
    ((_, encoded),) = encode_headers({"x-graftwork-intent": value})
    assert not set(encoded) & set(b"\r\n\x00")


def test_repeated_request_headers() -> None:
    """Of a header that comes twice the last counts; names are lower-case already."""
    given_twice = {"headers": [(b"x-a", b"1"), (b"x-b", b"\xe4"), (b"x-a", b"2")]}
    assert header_map(given_twice) == {"x-a": "2", "x-b": "ä"}


def test_retry_after_is_whole_seconds() -> None:
    """``Retry-After`` is at least one whole second, and absent where a retry is no use."""
    assert error_headers(Overloaded("full", retry_after_s=0.2)) == {"retry-after": "1"}
    assert error_headers(Overloaded("full", retry_after_s=2.6)) == {"retry-after": "3"}
    assert error_headers(RouterError("no")) == {}
