"""JSON that no API says, in the place of an event or an answer: nobody who reads it trips over it.

Readers of text may call it broken (``TargetBroken``); the rest find nothing in it. An error of
another kind would be ours: the client would hear of a bug in place of another target's answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from router.judge.logprobs import TokenLogprobs
from router.wire.answered import answered
from router.wire.dialects.vllm import DIALECT, _corrected
from router.wire.endpoint import Endpoint, Usage
from router.wire.events import Event
from router.wire.formats import FORMATS
from router.wire.formats.messages import counted
from router.wire.watch import BodyWatch, StreamWatch

ODD: list[Any] = [None, True, 5, -1.5, "x", [], {}, [5], ["x"], [[]], [{}], [{"x": 1}], {"x": 1}]
TOP = [
    "choices",
    "usage",
    "error",
    "message",
    "delta",
    "content",
    "type",
    "output",
    "item",
    "part",
    "response",
    "content_block",
    "index",
    "logprobs",
    "arguments",
    "text",
    "object",
    "data",
]
OF_A_CHOICE = ["delta", "message", "index", "finish_reason", "text", "logprobs"]
OF_A_DELTA = ["content", "tool_calls", "function_call", "reasoning", "refusal", "role"]
EVENTS = [
    "message_start",
    "message",
    "message_delta",
    "content_block_start",
    "content_block_delta",
    "response.created",
    "response.completed",
    "response.output_text.delta",
    "error",
    "ping",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.done",
]
INSIDE = ["type", "text", "thinking", "partial_json", "input", "usage", "content", "output"]
INSIDE += ["sequence_number", "output_index", "logprobs", "summary"]


def odd() -> Iterator[dict[str, Any]]:
    """Something odd in each place in which an API has something."""
    for value in ODD:
        yield from ({name: value} for name in TOP)
        yield from ({"choices": [{"index": 0, name: value}]} for name in OF_A_CHOICE)
        for where in ("delta", "message"):
            said = [{name: value} for name in OF_A_DELTA]
            said += [{"tool_calls": [{"index": 0, name: value}]} for name in ("function", "index")]
            said += [{"tool_calls": [{"function": {"name": value, "arguments": value}}]}]
            yield from ({"choices": [{"index": 0, where: each}]} for each in said)
        told: list[Any] = [{"content": value}, {"token_logprobs": value, "top_logprobs": value}]
        told += [{"content": [{"logprob": value, "top_logprobs": value}]}]
        yield from ({"choices": [{"index": 0, "logprobs": each}]} for each in told)
        for kind in EVENTS:
            yield from ({"type": kind, name: value} for name in TOP)
            for name in INSIDE:
                inner = {name: value}
                yield {"type": kind, "delta": inner, "content_block": inner, "message": inner}
                yield {"type": kind, "item": inner, "part": inner, "response": inner, **inner}
                yield {"type": kind, "content": [inner], "output": [{"content": [inner]}]}
                yield {"type": kind, "message": {"content": [inner]}, "item": {"content": [inner]}}


ALL = [orjson.dumps(each) for each in odd()]


def readers(endpoint: Endpoint) -> dict[str, Callable[[bytes], object]]:
    """Whoever reads what a target says, by name."""
    wire = FORMATS[endpoint]

    def of(work: Callable[[dict[str, Any]], object]) -> Callable[[bytes], object]:
        return lambda raw: work(orjson.loads(raw))

    def watched(correct: Any) -> Callable[[bytes], object]:
        return lambda raw: (
            StreamWatch("t", wire, Usage(), correct=correct).feed(_event(raw), last=False),
            BodyWatch("t", wire, Usage(), correct=correct).feed(raw, last=True),
        )

    return {
        "carries": lambda raw: wire.carries(Event(_event(raw))),
        "said": of(lambda found: list(wire.said(found))),
        "error_in": of(wire.error_in),
        "judged": of(lambda found: TokenLogprobs(wire).read(found, strip=True)),
        "watched": watched(None),
        "of messages": watched(counted),
        "of vLLM": watched(_corrected),
        "answered": lambda raw: answered(endpoint, raw, streamed=False),
        "streamed": lambda raw: answered(endpoint, _event(raw), streamed=True),
        "asked": of(lambda found: DIALECT.unable_to_tell(endpoint, found)),
    }


def _event(raw: bytes) -> bytes:
    return b"data: " + raw + b"\n\n"


@pytest.mark.parametrize("endpoint", Endpoint)
def test_nothing_that_a_target_says_trips_who_reads_it(endpoint: Endpoint) -> None:
    """Whatever stands where."""
    for name, read in readers(endpoint).items():
        for raw in ALL:
            try:
                read(raw)
            except Exception as error:
                raise AssertionError(f"{name} of {raw.decode()}") from error


def test_a_number_of_an_event_that_is_none() -> None:
    """The next event's number is still one."""
    wire = FORMATS[Endpoint.RESPONSES]
    assert wire.next_number(b'data: {"sequence_number": ' + b"9" * 5000 + b"}\n\n") < 2**53
