"""Whatever is said, wherever, however the answer is cut: restore(stream(vault(x))) = x."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.config.governance import PiiAction
from router.govern.actions import Actions
from router.govern.detect import Span
from router.govern.vault.replacing import Replacing
from router.govern.vault.restoring import RestoredAnswer, Restoring
from router.govern.vault.vault import Vault
from router.wire.endpoint import Usage
from router.wire.events import DONE, Body, Event, Events, Piece
from router.wire.texts import texts

VALUES = {
    "alice@example.com": "EMAIL",
    "bob@example.com": "EMAIL",
    "DE89370400440532013000": "IBAN",
    "4111111111111111": "CREDIT_CARD",
    "Zoë Quux": "PERSON",
    'Dwayne "Rock" Moe\\Joe': "PERSON",
    "12 Long Road\nOxford": "ADDRESS",
}
FILLERS = (
    *" .,;:!?\n\\\"'<>[](){}_-1é字😀", "EMAIL", "email 1", "[EMAIL_1]", "<iban-1>", "PERSON_2",
    "[Credit Card 1]", "EMAIL_", "[E", "IBAN", "the", " of ", "\\[", "x",
)  # fmt: skip
SAID = st.lists(st.sampled_from(FILLERS) | st.sampled_from(sorted(VALUES)), max_size=12).map(
    "".join
)
ACTIONS = Actions((), ("*",), PiiAction.VAULT)


def find(text: str) -> list[Span]:
    """Every value of the list, wherever it stands."""
    found: list[Span] = []
    for value, entity in VALUES.items():
        start = text.find(value)
        while start >= 0:
            found.append(Span(start, start + len(value), entity))
            start = text.find(value, start + len(value))
    return sorted(found, key=lambda span: span.start)


def vaulted(body: dict[str, Any]) -> tuple[dict[str, Any], Vault]:
    """A body as a frontier gets it, and what stands for what."""
    said = texts(body)
    vault = Vault([text.text for text in said])
    replacing = Replacing(ACTIONS, vault, lambda value: f"{abs(hash(value)):024x}")
    replacing.learn(said, {text.text: find(text.text) for text in said})
    return replacing.body(body, said), vault


class Given:
    """An answer in these pieces."""

    status = 200

    def __init__(self, pieces: list[Piece], content_type: str = "text/event-stream") -> None:
        self._pieces = pieces
        self.content_type = content_type
        self.usage = Usage()

    async def chunks(self) -> AsyncIterator[Piece]:
        """All of it."""
        for piece in self._pieces:
            yield piece

    def interrupt(self, error: Exception) -> None:
        """Nothing waits."""

    async def aclose(self) -> None:
        """Nothing is open."""


def through(pieces: list[Piece], vault: Vault, kind: str, *, is_json: bool = False) -> list[Piece]:
    """What comes out for these."""

    async def read() -> list[Piece]:
        restoring = Restoring(vault, is_json=is_json)
        answer = RestoredAnswer(Given(pieces, kind), restoring, vault.restored)
        return [piece async for piece in answer.chunks() if piece]

    return asyncio.run(read())


# What an API's stream looks like, for a text in pieces; and how a client reads it


def chat(pieces: list[str]) -> Iterator[dict[str, Any]]:
    """A choice's content."""
    yield {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
    for piece in pieces:
        yield {"choices": [{"index": 0, "delta": {"content": piece}, "logprobs": None}]}
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def read_chat(event: dict[str, Any]) -> str:
    """What an event says there."""
    return event["choices"][0]["delta"].get("content") or ""


def reasoning(pieces: list[str]) -> Iterator[dict[str, Any]]:
    """What a model thinks."""
    for piece in pieces:
        yield {"choices": [{"index": 0, "delta": {"reasoning_content": piece}}]}
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def read_reasoning(event: dict[str, Any]) -> str:
    """What an event says there."""
    return event["choices"][0]["delta"].get("reasoning_content") or ""


def second(pieces: list[str]) -> Iterator[dict[str, Any]]:
    """The second of two answers, whose events are the first's neighbours."""
    for piece in pieces:
        yield {"choices": [{"index": 0, "delta": {"content": "[EMAIL"}}]}
        yield {"choices": [{"index": 1, "delta": {"content": piece}}]}
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    yield {"choices": [{"index": 1, "delta": {}, "finish_reason": "stop"}]}


def read_second(event: dict[str, Any]) -> str:
    """What an event says there."""
    return read_chat(event) if event["choices"][0]["index"] else ""


def completions(pieces: list[str]) -> Iterator[dict[str, Any]]:
    """A text."""
    for piece in pieces:
        yield {"object": "text_completion", "choices": [{"index": 0, "text": piece}]}
    yield {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}


def read_completions(event: dict[str, Any]) -> str:
    """What an event says there."""
    return str(event["choices"][0]["text"])


def messages(pieces: list[str]) -> Iterator[dict[str, Any]]:
    """A block of text."""
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for piece in pieces:
        delta = {"type": "text_delta", "text": piece}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}


def read_messages(event: dict[str, Any]) -> str:
    """What an event says there."""
    return str(event["delta"]["text"]) if event["type"] == "content_block_delta" else ""


def thinking(pieces: list[str]) -> Iterator[dict[str, Any]]:
    """A block of thoughts."""
    for piece in pieces:
        delta = {"type": "thinking_delta", "thinking": piece}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}


def read_thinking(event: dict[str, Any]) -> str:
    """What an event says there."""
    return str(event["delta"]["thinking"]) if event["type"] == "content_block_delta" else ""


def responses(pieces: list[str]) -> Iterator[dict[str, Any]]:
    """A text of Responses; its end repeats all of it."""
    place = {"output_index": 0, "content_index": 0, "item_id": "msg_1"}
    for piece in pieces:
        yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
    whole = "".join(pieces)
    yield {"type": "response.output_text.done", **place, "text": whole}
    item = {"type": "message", "content": [{"type": "output_text", "text": whole}]}
    yield {"type": "response.completed", "response": {"object": "response", "output": [item]}}


def read_responses(event: dict[str, Any]) -> str:
    """What an event says there."""
    return str(event["delta"]) if event["type"].endswith(".delta") else ""


def refusal(pieces: list[str]) -> Iterator[dict[str, Any]]:
    """A refusal of Responses."""
    for piece in pieces:
        yield {"type": "response.refusal.delta", "output_index": 0, "delta": piece}
    yield {"type": "response.refusal.done", "output_index": 0, "refusal": "".join(pieces)}


STREAMS: dict[str, tuple[Callable[..., Any], Callable[..., str]]] = {
    "chat": (chat, read_chat),
    "reasoning": (reasoning, read_reasoning),
    "second": (second, read_second),
    "completions": (completions, read_completions),
    "messages": (messages, read_messages),
    "thinking": (thinking, read_thinking),
    "responses": (responses, read_responses),
    "refusal": (refusal, read_responses),
}


def chat_call(pieces: list[str]) -> Iterator[dict[str, Any]]:
    """A tool's arguments in chat."""
    head = {"index": 1, "id": "call_1", "type": "function", "function": {"name": "send"}}
    yield {"choices": [{"index": 0, "delta": {"tool_calls": [head]}}]}
    for piece in pieces:
        call = {"index": 1, "function": {"arguments": piece}}
        yield {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}


def read_chat_call(event: dict[str, Any]) -> str:
    """What an event says there."""
    calls = event["choices"][0]["delta"].get("tool_calls") or [{}]
    return calls[0].get("function", {}).get("arguments") or ""


def messages_call(pieces: list[str]) -> Iterator[dict[str, Any]]:
    """A tool's arguments in Messages."""
    for piece in pieces:
        delta = {"type": "input_json_delta", "partial_json": piece}
        yield {"type": "content_block_delta", "index": 2, "delta": delta}
    yield {"type": "content_block_stop", "index": 2}


def read_messages_call(event: dict[str, Any]) -> str:
    """What an event says there."""
    return str(event["delta"]["partial_json"]) if "delta" in event else ""


def responses_call(pieces: list[str]) -> Iterator[dict[str, Any]]:
    """A tool's arguments in Responses."""
    name = "response.function_call_arguments"
    for piece in pieces:
        yield {"type": f"{name}.delta", "output_index": 3, "delta": piece}
    yield {"type": f"{name}.done", "output_index": 3, "arguments": "".join(pieces)}


CALLS: dict[str, tuple[Callable[..., Any], Callable[..., str]]] = {
    "chat": (chat_call, read_chat_call),
    "messages": (messages_call, read_messages_call),
    "responses": (responses_call, read_responses),
}


def cut(text: str, places: list[int]) -> list[str]:
    """A text, cut there."""
    ends = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[a:b] for a, b in pairwise(ends)]


def runs(events: list[Event], sizes: list[int]) -> list[Piece]:
    """Events in runs of these sizes."""
    found: list[Piece] = []
    place = 0
    for size in sizes:
        found.append(Events.of(events[place : place + size]))
        place += size
    found.append(Events.of(events[place:]))
    return [run for run in found if run]


def events_of(pieces: list[Piece]) -> list[dict[str, Any]]:
    """The objects that a client reads."""
    return [
        orjson.loads(event.data)
        for run in pieces
        if isinstance(run, Events)
        for event in Events(run.raw)
        if not event.is_done
    ]


CUTS = st.lists(st.integers(0, 200), max_size=20) | st.just(list(range(200)))
SIZES = st.lists(st.integers(1, 4), max_size=20)


@pytest.mark.parametrize("name", STREAMS)
@given(said=SAID, cuts=CUTS, sizes=SIZES)
@example(said='alice@example.com\\"12 Long Road\nOxford', cuts=list(range(200)), sizes=[])
def test_a_stream_that_repeats_what_was_vaulted_says_what_was_said(
    name: str, said: str, cuts: list[int], sizes: list[int]
) -> None:
    """In every dialect, and what is said twice (a response's end) both times."""
    stream, read = STREAMS[name]
    body, vault = vaulted({"messages": [{"role": "user", "content": said}]})
    sent = body["messages"][0]["content"]
    events = [Event.of(event) for event in stream(cut(sent, cuts))]
    out = events_of(through(runs([*events, Event(DONE)], sizes), vault, "text/event-stream"))
    assert "".join(map(read, out)) == said
    assert len(out) == len(events)
    for event in out:
        if event.get("type") == "response.output_text.done":
            assert event["text"] == said
        if event.get("type") == "response.completed":
            assert event["response"]["output"][0]["content"][0]["text"] == said


JSON = st.recursive(
    SAID, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SAID, inner, max_size=3)
)
NESTED = st.dictionaries(SAID, SAID.map(lambda said: json.dumps({"deep": said})), max_size=2)


@pytest.mark.parametrize("name", CALLS)
@given(given_=st.dictionaries(SAID, JSON, max_size=3) | NESTED, cuts=CUTS, sizes=SIZES)
def test_a_tools_arguments_come_back_as_the_json_that_they_were(
    name: str, given_: dict[str, Any], cuts: list[int], sizes: list[int]
) -> None:
    """Also where a value has quotation marks, in JSON that is in a string of JSON."""
    stream, read = CALLS[name]
    arguments = json.dumps(given_)
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    body, vault = vaulted({"messages": [{"role": "assistant", "tool_calls": [call]}]})
    sent = body["messages"][0]["tool_calls"][0]["function"]["arguments"]
    for value in VALUES:
        assert json.dumps(value)[1:-1] not in sent
    events = [Event.of(event) for event in stream(cut(sent, cuts))]
    out = events_of(through(runs(events, sizes), vault, "text/event-stream"))
    assert json.loads("".join(map(read, out))) == given_


@given(said=SAID)
def test_a_whole_answer_says_what_was_said_wherever_it_says_it(said: str) -> None:
    """Content, reasoning, refusal, arguments as text and as an object, and a response's items."""
    body, vault = vaulted({"messages": [{"role": "user", "content": said}]})
    sent = body["messages"][0]["content"]
    for answer in (
        lambda text: {"choices": [{"message": {"role": "assistant", "content": text,
                      "refusal": text, "reasoning_content": text}}]},
        lambda text: {"choices": [{"index": 0, "text": text}]},
        lambda text: {"type": "message", "role": "assistant", "content": [
            {"type": "text", "text": text}, {"type": "thinking", "thinking": text},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"to": [text]}}]},
        lambda text: {"object": "response", "output": [{"type": "message", "role": "assistant",
                      "content": [{"type": "output_text", "text": text}]}], "instructions": text},
        lambda text: {"choices": [{"message": {"role": "assistant", "tool_calls": [
            {"id": "c", "type": "function",
             "function": {"name": "f", "arguments": json.dumps({"to": text})}}]}}]},
    ):  # fmt: skip
        out = through([Body(orjson.dumps(answer(sent)))], vault, "application/json")
        found = orjson.loads(b"".join(piece.raw for piece in out))
        expected = orjson.loads(orjson.dumps(answer(said)))
        if "tool_calls" in str(found):
            for each in (found, expected):
                function = each["choices"][0]["message"]["tool_calls"][0]["function"]
                function["arguments"] = json.loads(function["arguments"])
        assert found == expected


@given(said=st.lists(st.sampled_from(sorted(VALUES)) | st.just(" and "), min_size=1).map(" ".join))
def test_no_value_is_in_what_is_sent(said: str) -> None:
    """Wherever it stands in the body."""
    body = {
        "messages": [
            {"role": "system", "content": said},
            {"role": "user", "content": [{"type": "text", "text": said}], "name": said},
            {"role": "tool", "tool_call_id": "c", "content": json.dumps({said: [said]})},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "description": said}}],
        "stop": [said],
        "metadata": {"note": said},
        "user": said,
        "safety_identifier": said,
    }
    sent = orjson.dumps(vaulted(body)[0]).decode()
    for value in VALUES:
        assert value not in sent
        assert json.dumps(value)[1:-1] not in sent


@pytest.mark.parametrize("streamed", [False, True])
def test_probabilities_of_tokens_stay_those_of_the_placeholder(streamed: bool) -> None:
    """A token has no value to be put into; the text beside it has."""
    body, vault = vaulted({"messages": [{"role": "user", "content": "to bob@example.com"}]})
    sent = body["messages"][0]["content"]
    tokens = [
        {"token": token, "logprob": -0.1, "bytes": [*token.encode()],
         "top_logprobs": [{"token": "[EMAIL_1]", "logprob": -0.1, "bytes": None}]}
        for token in ("to ", "[", "EMAIL", "_1", "]")
    ]  # fmt: skip
    choice = {"index": 0, "logprobs": {"content": tokens, "refusal": None}}
    if streamed:
        event = {"choices": [choice | {"delta": {"content": sent}, "finish_reason": "stop"}]}
        pieces: list[Piece] = [Events.of([Event.of(event)])]
    else:
        pieces = [Body.of({"choices": [choice | {"message": {"content": sent}}]})]
    kind = "text/event-stream" if streamed else "application/json"
    out = b"".join(piece.raw for piece in through(pieces, vault, kind))
    found = orjson.loads(out.removeprefix(b"data: "))["choices"][0]
    assert found.get("delta", found.get("message"))["content"] == "to bob@example.com"
    assert found["logprobs"]["content"] == tokens
