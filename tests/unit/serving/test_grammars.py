"""A grammar that nothing can satisfy is the client's mistake, whole or streamed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from serving.engine.grammars import ending_streams, refusing_endless_grammars
from tests.fakes.streams import objects


class Mistake(ValueError):
    """What vLLM answers with 400."""


@dataclass
class Output:
    """One step's outputs of a request."""

    outputs: list[Any]


def step(finish: str | None = None) -> Output:
    """One token."""
    return Output([SimpleNamespace(finish_reason=finish)])


async def outputs(*steps: Output, left: list[str] | None = None) -> AsyncIterator[Output]:
    """What the engine client yields."""
    try:
        for each in steps:
            yield each
    finally:
        if left is not None:
            left.append("left")


CONSTRAINED = SimpleNamespace(structured_outputs="root ::= root")
FREE = SimpleNamespace(structured_outputs=None)


async def test_a_grammar_that_failed_is_the_clients_mistake() -> None:
    """At the first token or at a later one; before it everything passes."""
    left: list[str] = []
    answering = refusing_endless_grammars(
        lambda *_: outputs(step(), step("error"), left=left), Mistake
    )
    reading = answering("hi", CONSTRAINED, "r1")
    assert await anext(reading)
    with pytest.raises(Mistake, match="refers only to itself"):
        await anext(reading)
    assert left == ["left"]


async def test_what_has_no_grammar_or_ends_well_is_left_alone() -> None:
    """An error without a grammar is the engine's own; its outputs are not even wrapped."""
    given = outputs(step("error"))
    assert refusing_endless_grammars(lambda *_: given, Mistake)("hi", FREE, "r1") is given
    assert [output async for output in given]
    answering = refusing_endless_grammars(lambda *_: outputs(step(), step("stop")), Mistake)
    assert len([output async for output in answering("hi", CONSTRAINED, "r1")]) == 2


async def test_who_leaves_ends_the_work() -> None:
    """The engine is told as soon as nobody reads on."""
    left: list[str] = []
    answering = refusing_endless_grammars(lambda *_: outputs(step(), step(), left=left), Mistake)
    reading = answering("hi", CONSTRAINED, "r1")
    await anext(reading)
    await reading.aclose()
    assert left == ["left"]


def application(kind: str, ending: str) -> Any:
    """Stands for vLLM's: one event, then the engine fails, and the stream ends in some way."""
    answering = refusing_endless_grammars(lambda *_: outputs(step("error")), Mistake)

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-type", kind.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        if ending == "well":
            await send({"type": "http.response.body", "body": b"data: {}\n\n"})
            return
        if ending == "boom":
            raise RuntimeError(ending)
        with suppress(Mistake):
            await anext(answering("hi", CONSTRAINED, "r1"))
        if ending == "raised":
            raise RuntimeError(ending)
        if ending == "closed":
            await send({"type": "http.response.body", "body": b""})

    return app


async def told(kind: str, ending: str, path: str = "/v1/responses") -> bytes:
    """What a client gets of it."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    app = ending_streams(application(kind, ending))
    await asyncio.create_task(app({"type": "http", "path": path}, None, send))
    assert [message.get("more_body", False) for message in sent[1:]] == [True, False]
    return b"".join(message.get("body", b"") for message in sent)


STREAM = "text/event-stream; charset=utf-8"


@pytest.mark.parametrize("ending", ["raised", "closed", "silent"])
async def test_a_stream_that_fails_by_the_clients_fault_says_so(ending: str) -> None:
    """A last event, whatever vLLM makes of the error: that differs from version to version."""
    [event] = objects(await told(STREAM, ending))
    assert event is not None
    assert (event["type"], event["code"]) == ("error", "invalid_request")
    assert "refers only to itself" in event["message"]


async def test_other_failures_stay_failures() -> None:
    """The engine's own; and a stream that ends well has nothing added."""
    with pytest.raises(RuntimeError, match="boom"):
        await told(STREAM, "boom")
    with pytest.raises(RuntimeError, match="raised"):
        await told("application/json", "raised")
    with pytest.raises(RuntimeError, match="raised"):
        await told(STREAM, "raised", path="/v1/chat/completions")
    assert await told(STREAM, "well") == b"data: {}\n\n"
