"""Gemini's translations: whatever a client or a server sends, it ends in a refusal or an error."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.errors import InvalidRequest
from router.targets.base import Call
from router.wire.dialects import dialect_of
from router.wire.dialects.base import Traits
from router.wire.endpoint import Endpoint
from router.wire.translate.gemini_to_chat import StreamedAnswer, WholeAnswer

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-1, 1) | st.sampled_from(["", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=5,
)


def shaped(sample: Any) -> st.SearchStrategy[Any]:
    """A sample of which any part may be anything."""
    if isinstance(sample, dict):
        whole: st.SearchStrategy[Any] = st.fixed_dictionaries(
            {}, optional={k: shaped(v) for k, v in sample.items()}
        )
    elif isinstance(sample, list):
        whole = st.lists(st.one_of([shaped(each) for each in sample]), max_size=3)
    else:
        whole = st.just(sample)
    return whole | ANYTHING


TEXT = {"type": "text", "text": "hi"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
SIGNED = {"google": {"thought_signature": "c2ln"}}
FUNCTION = {"name": "f", "arguments": "{}", "parameters": {}, "description": "d"}
CALL = {"id": "a", "type": "function", "function": FUNCTION, "extra_content": SIGNED}
REQUEST = {
    "model": "gemini-3-flash",
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [TEXT, IMAGE, {"type": "file", "file": {"file_data": "x"}}]},
        {"role": "assistant", "content": "a", "tool_calls": [CALL], "extra_content": SIGNED},
        {"role": "tool", "tool_call_id": "a", "content": "{}"},
    ],
    "tools": [CALL],
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [CALL]}},
    "response_format": {"type": "json_schema", "json_schema": {"schema": {}}},
    "reasoning_effort": "low",
    "thinkingConfig": {},
    "modalities": ["text"],
    "stop": "x",
    "n": 2,
    "stream_options": {"include_usage": True},
}
TALK = {
    "model": "gemini-3-flash",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "", "signature": "google.c2ln"},
                {"type": "tool_use", "id": "a", "name": "f", "input": {}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]},
    ],
    "thinking": {"type": "enabled", "budget_tokens": 5},
    "output_config": {"effort": "low"},
}
TRAITS = Traits(native=frozenset({Endpoint.CHAT}))


def ask(endpoint: Endpoint, body: dict[str, Any]) -> None:
    """Have it translated, if it can be."""
    try:
        asked = dialect_of("gemini").ask(Call(endpoint, body, False, "r", 5.0), TRAITS)
    except InvalidRequest:
        return
    assert asked.body["contents"]
    orjson.dumps(asked.body)


@settings(max_examples=100, deadline=None)
@given(shaped(REQUEST))
@example({"messages": 5})
@example({"messages": [{"role": "user", "content": "hi"}], "tools": [], "tool_choice": {}})
def test_any_request_of_chat_is_translated_or_refused(body: Any) -> None:
    """Nothing else happens."""
    if isinstance(body, dict):
        ask(Endpoint.CHAT, body)


@settings(max_examples=80, deadline=None)
@given(st.fixed_dictionaries({}, optional={k: shaped(TALK[k]) for k in ("thinking", "messages")}))
def test_any_wish_to_think_is_heard_or_refused(body: dict[str, Any]) -> None:
    """Of Messages, whose turns are checked on the way to chat."""
    messages = body.get("messages")
    if messages and isinstance(messages, list) and all(isinstance(m, dict) for m in messages):
        ask(Endpoint.MESSAGES, {**TALK, **body})


TOKEN = {"token": "x", "logProbability": -0.5}
ANSWER = {
    "candidates": [
        {
            "index": 0,
            "content": {
                "role": "model",
                "parts": [
                    {"text": "hi", "thought": True, "thoughtSignature": "c2ln"},
                    {"functionCall": {"id": "a", "name": "f", "args": {}}},
                ],
            },
            "finishReason": "STOP",
            "finishMessage": "m",
            "logprobsResult": {
                "chosenCandidates": [TOKEN],
                "topCandidates": [{"candidates": [TOKEN]}],
            },
        }
    ],
    "promptFeedback": {"blockReason": "SAFETY"},
    "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "thoughtsTokenCount": 1},
    "modelVersion": "m",
    "responseId": "r",
    "error": {"message": "m", "status": "UNAVAILABLE"},
}


def unheard(_name: str) -> None:
    """Nobody minds what chat has no place for."""


@settings(max_examples=200, deadline=None)
@given(shaped(ANSWER), st.booleans())
def test_any_answer_is_translated_or_an_error(found: Any, stream: bool) -> None:
    """Of the format, and as JSON."""
    raw = orjson.dumps(found)
    if not stream:
        said = WholeAnswer("m", 1, unheard).feed(raw, last=True)
        told = orjson.loads(said)
        assert not isinstance(told, dict) or "choices" in told or "error" in told
        return
    events = StreamedAnswer("m", 1, unheard).feed(b"data: " + raw + b"\r\n\r\n", last=True)
    for event in events.split(b"\n\n"):
        if event.startswith(b"data: {"):
            assert orjson.loads(event.removeprefix(b"data: ")).keys() & {"choices", "error"}


def streamed(*answers: dict[str, Any]) -> bytes:
    """Events as Google writes them."""
    return b"".join(b"data: " + orjson.dumps(each) + b"\r\n\r\n" for each in answers)


STREAM = streamed(
    {"candidates": [{"content": {"parts": [{"text": "Grüße, "}]}}], "responseId": "r",
     "modelVersion": "m", "usageMetadata": {"promptTokenCount": 3}},
    {"candidates": [{"content": {"parts": [{"text": "world"}]}}]},
    {"candidates": [{"content": {"parts": [ANSWER["candidates"][0]["content"]["parts"][1]]}}]},  # type: ignore[index]
    {"candidates": [{"finishReason": "STOP"}],
     "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 4}},
)  # fmt: skip


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_it_does_not_matter_how_the_bytes_arrive(cuts: list[int]) -> None:
    """The same events come out."""
    places = [0, *sorted(cuts), len(STREAM)]
    decoder = StreamedAnswer("m", 1, unheard)
    said = b"".join(
        decoder.feed(STREAM[start:end], last=end == len(STREAM)) for start, end in pairwise(places)
    )
    whole = StreamedAnswer("m", 1, unheard).feed(STREAM, last=True)
    assert _undated(said) == _undated(whole)
    assert said.endswith(b"data: [DONE]\n\n")
    assert said.count(b'"usage"') == 1
    assert "Grüße".encode() in said


def _undated(said: bytes) -> bytes:
    return re.sub(rb'"created":\d+', b"", said)


@pytest.mark.parametrize("found", [{}, {"candidates": []}, {"promptFeedback": {}}, [], [{}, {}]])
def test_no_answer_is_an_error(found: Any) -> None:
    """Whole or streamed."""
    raw = orjson.dumps(found)
    assert b'"error"' in WholeAnswer("m", 1, unheard).feed(raw, last=True)
    assert b"[DONE]" not in StreamedAnswer("m", 1, unheard).feed(
        b"data: " + raw + b"\n\n", last=True
    )


@pytest.mark.parametrize("stream", [False, True])
def test_what_chat_has_no_place_for_is_named(stream: bool) -> None:
    """Pictures, code that was run, sources, and what is to be invented; no name is a text."""
    parts = [
        {"text": "Here:", "thoughtSignature": "c2ln"},
        {"inlineData": {"mimeType": "image/png", "data": "aGk="}},
        {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"fileData": {"fileUri": "gs://a/b"}, "thought": False},
        {"their own words, at length": 1},
    ]
    candidate = {
        "content": {"parts": parts}, "finishReason": "STOP", "citationMetadata": {"sources": [1]},
        "groundingMetadata": {},
    }  # fmt: skip
    raw = orjson.dumps({"candidates": [candidate], "usageMetadata": {"promptTokenCount": 1}})
    named: list[str] = []
    if stream:
        said = StreamedAnswer("m", 1, named.append).feed(b"data: " + raw + b"\n\n", last=True)
    else:
        said = WholeAnswer("m", 1, named.append).feed(raw, last=True)
    assert b"Here:" in said
    names = ["inlineData", "executableCode", "codeExecutionResult", "fileData", "part"]
    assert sorted(named) == sorted(f"message.{name}" for name in [*names, "citationMetadata"])


@pytest.mark.parametrize("end", range(1, 4))
def test_a_stream_that_ends_before_its_reason_has_no_end(end: int) -> None:
    """However many of its events came."""
    part = b"".join(each + b"\r\n\r\n" for each in STREAM.split(b"\r\n\r\n")[:end])
    assert b"[DONE]" not in StreamedAnswer("m", 1, unheard).feed(part, last=True)
