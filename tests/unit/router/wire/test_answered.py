"""What a finished answer says is read alike from every API, streamed and whole."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from router.wire.answered import Answered, ToolCall, answered
from router.wire.endpoint import Endpoint
from tests.fakes.frontier_answers import compose, whole
from tests.fakes.frontier_streams import streamed

TOOL = {"name": "refund", "parameters": {"properties": {"id": {}}}}
ASKS: dict[Endpoint, dict[str, Any]] = {
    Endpoint.CHAT: {"messages": [{"role": "user", "content": "x"}]},
    Endpoint.COMPLETIONS: {"prompt": "x"},
    Endpoint.RESPONSES: {"input": "x"},
    Endpoint.MESSAGES: {"messages": [{"role": "user", "content": "x"}]},
}


def _read(endpoint: Endpoint, body: dict[str, Any], *, stream: bool) -> Answered:
    reply = compose(endpoint.value, body, "It is on its way.", 0)
    if stream:
        raw = b"".join(streamed(endpoint.value, body, reply))
    else:
        raw = orjson.dumps(whole(endpoint.value, body, reply))
    return answered(endpoint, raw, streamed=stream)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("endpoint", ASKS)
def test_texts_and_ends(endpoint: Endpoint, stream: bool) -> None:
    """The text once, and whether it was cut."""
    found = _read(endpoint, ASKS[endpoint], stream=stream)
    assert found.text == "It is on its way."
    assert not found.calls
    assert not found.is_cut
    assert not found.is_refused


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("endpoint", [Endpoint.CHAT, Endpoint.MESSAGES])
def test_calls(endpoint: Endpoint, stream: bool) -> None:
    """Two calls, each with its own arguments."""
    tools = [{**TOOL, "name": name} for name in ("refund", "resend")]
    if endpoint is Endpoint.CHAT:
        tools = [{"type": "function", "function": tool} for tool in tools]
    ask = [{"role": "user", "content": "refund and resend"}]
    found = _read(endpoint, {"messages": ask, "tools": tools}, stream=stream)
    arguments = [orjson.loads(call.arguments or "{}") for call in found.calls]
    assert [call.name for call in found.calls] == ["refund", "resend"]
    if endpoint is Endpoint.CHAT:
        assert arguments == [{"id": "x"}, {"id": "x"}]


def test_calls_of_responses() -> None:
    """An item of the output, and the event that announces it."""
    item = {"type": "function_call", "name": "refund", "arguments": '{"id": 1}', "call_id": "c"}
    body = orjson.dumps({"object": "response", "status": "completed", "output": [item]})
    assert answered(Endpoint.RESPONSES, body, streamed=False).calls == (
        ToolCall("refund", '{"id": 1}'),
    )
    events: list[dict[str, Any]] = [
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**item, "arguments": ""},
        },
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"id"'},
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": ": 1}"},
    ]
    raw = b"".join(b"data: %s\n\n" % orjson.dumps(event) for event in events)
    assert answered(Endpoint.RESPONSES, raw, streamed=True).calls == (
        ToolCall("refund", '{"id": 1}'),
    )


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (Endpoint.CHAT, {"choices": [{"message": {"content": None, "refusal": "No."}}]}),
        (Endpoint.CHAT, {"choices": [{"message": {}, "finish_reason": "content_filter"}]}),
        (Endpoint.MESSAGES, {"content": [], "stop_reason": "refusal"}),
        (
            Endpoint.RESPONSES,
            {
                "object": "response",
                "status": "incomplete",
                "incomplete_details": {"reason": "content_filter"},
            },
        ),
    ],
)
def test_refusals_that_the_api_marks(endpoint: Endpoint, body: dict[str, Any]) -> None:
    """Each in its own way."""
    assert answered(endpoint, orjson.dumps(body), streamed=False).is_refused


@pytest.mark.parametrize("streamed_", [False, True])
@pytest.mark.parametrize(
    "raw",
    [b"", b"\xff", b"[1]", b"data: 1\n\n", b'{"choices": 3}', b'{"choices": [{"message": []}]}'],
)
def test_what_cannot_be_read_says_nothing(raw: bytes, streamed_: bool) -> None:
    """Nor does it raise."""
    for endpoint in ASKS:
        assert answered(endpoint, raw, streamed=streamed_).calls == ()
