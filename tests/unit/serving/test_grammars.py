"""D31: a grammar that nothing can satisfy is the client's mistake, whole or streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator
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


async def told(kind: str, error: Exception, path: str = "/v1/responses") -> bytes:
    """What a client gets of an application that fails after its first event."""
    sent: list[Any] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-type", kind.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        raise error

    async def send(message: Any) -> None:
        sent.append(message)

    await ending_streams(app, Mistake)({"type": "http", "path": path}, None, send)
    assert sent[-1].get("more_body", False) is False
    return b"".join(message.get("body", b"") for message in sent)


def wrapped(error: Exception) -> Exception:
    """As Starlette raises it after the response has begun."""
    outer = RuntimeError("response already started")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    "error",
    [Mistake("no"), wrapped(Mistake("no")), ExceptionGroup("g", [wrapped(Mistake("no"))])],
)
async def test_a_stream_that_fails_by_the_clients_fault_says_so(error: Exception) -> None:
    """A last event in place of a cut connection, however deep the cause is."""
    [event] = objects(await told("text/event-stream; charset=utf-8", error))
    assert event == {
        "type": "error",
        "code": "invalid_request",
        "message": "no",
        "param": None,
        "sequence_number": 0,
    }


@pytest.mark.parametrize(
    ("kind", "error"),
    [("text/event-stream", RuntimeError("boom")), ("application/json", Mistake("no"))],
)
async def test_other_failures_stay_failures(kind: str, error: Exception) -> None:
    """The engine's own, and bodies that cannot be saved any more."""
    with pytest.raises(type(error)):
        await told(kind, error)
