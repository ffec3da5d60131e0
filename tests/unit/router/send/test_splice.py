"""A broken stream and its continuation are one answer: each character once, one head, one end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router.send.answer import Transcript, limit_of, obstacle, rest_of
from router.wire.endpoint import Endpoint, Usage
from router.wire.events import DONE, Event, Events, encode
from router.wire.formats import FORMATS
from router.wire.formats.base import Continued, Splice
from router.wire.formats.seam import Seam, split
from router.wire.translate.stream_to_responses import ResponsesStream
from router.wire.watch import StreamWatch
from tests.fakes.frontier_answers import Reply
from tests.fakes.frontier_streams import streamed
from tests.fakes.streams import objects

ENDPOINTS = [Endpoint.CHAT, Endpoint.COMPLETIONS, Endpoint.MESSAGES, Endpoint.RESPONSES]
WITH_USAGE = {"stream_options": {"include_usage": True}}
PIECES = st.lists(
    st.text(st.sampled_from('ab \n"\\é{}🙂'), min_size=1, max_size=4), min_size=1, max_size=12
)


def to_responses() -> ResponsesStream:
    """What makes a chat stream one of Responses."""
    return ResponsesStream({}, fallback_id="1", created=1)


def wire_of(endpoint: Endpoint) -> Continued:
    """The format, of which a broken stream may go on."""
    wire = FORMATS[endpoint]
    assert isinstance(wire, Continued)
    return wire


def events_of(endpoint: Endpoint, pieces: list[str], model: str, prompt: int) -> list[bytes]:
    """The events of an answer of these pieces."""
    return streamed(endpoint, WITH_USAGE, Reply(model, pieces, prompt_tokens=prompt))


def watched(endpoint: Endpoint, raw: bytes, sizes: list[int]) -> Iterator[Events]:
    """The bytes as the target's answer passes them on, in whatever pieces they arrive."""
    watch = StreamWatch("x", wire_of(endpoint), Usage())
    start = turn = 0
    while start < len(raw):
        size = sizes[turn % len(sizes)]
        turn += 1
        found = watch.feed(raw[start : start + size], last=start + size >= len(raw))
        start += size
        if found:
            yield found
        if watch.failure:
            return


def read(endpoint: Endpoint, raw: bytes) -> tuple[str, list[dict[str, Any]]]:
    """Text and events of a stream, as a client reads it."""
    events = [event for event in objects(raw) if event is not None]
    if endpoint is Endpoint.MESSAGES:
        deltas = [e["delta"] for e in events if e["type"] == "content_block_delta"]
        return "".join(delta["text"] for delta in deltas), events
    if endpoint is Endpoint.RESPONSES:
        return "".join(e["delta"] for e in events if e["type"].endswith("text.delta")), events
    choices = [choice for event in events for choice in event["choices"]]
    texts = [c["text"] if "text" in c else c["delta"].get("content", "") for c in choices]
    return "".join(text or "" for text in texts), events


def check_chat(events: list[dict[str, Any]], raw: bytes) -> None:
    """One id, model and role; one finish reason; counts of the whole; the end, once."""
    assert len({(e["id"], e["model"], e["created"]) for e in events}) == 1
    choices = [choice for event in events for choice in event["choices"]]
    assert sum("role" in choice.get("delta", {}) for choice in choices) <= 1
    assert [c["finish_reason"] for c in choices if c["finish_reason"]] == ["stop"]
    assert raw.count(b"[DONE]") == 1
    assert raw.endswith(b"data: [DONE]\n\n")


def check_messages(events: list[dict[str, Any]]) -> None:
    """The grammar of a Messages stream, with blocks that open and close in order."""
    kinds = [event["type"] for event in events if event["type"] != "ping"]
    assert kinds[0] == "message_start"
    assert kinds.count("message_start") == kinds.count("message_stop") == 1
    assert kinds[-2:] == ["message_delta", "message_stop"]
    is_open = None
    for event in events:
        if event["type"] == "content_block_start":
            assert is_open is None
            is_open = event["index"]
        elif event["type"] == "content_block_delta":
            assert event["index"] == is_open
        elif event["type"] == "content_block_stop":
            assert event["index"] == is_open
            is_open = None
    assert is_open is None


def check_responses(events: list[dict[str, Any]], text: str) -> None:
    """Numbers without a gap, one id for each thing, each event in its place, the text repeated."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"].removeprefix("response.") for event in events]
    deltas = kinds.count("output_text.delta")
    assert kinds == [
        "created",
        "output_item.added",
        "content_part.added",
        *["output_text.delta"] * deltas,
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    places = [(e["item_id"], e["output_index"], e["content_index"]) for e in events[2:-2]]
    assert set(places) == {("msg_fake", 0, 0)}
    done, part, item, last = events[-4:]
    response = last["response"]
    assert done["text"] == part["part"]["text"] == text
    assert item["item"] == response["output"][0]
    assert item["item"]["content"] == [part["part"]]
    assert item["item"]["id"] == events[1]["item"]["id"]
    assert (item["item"]["status"], response["status"]) == ("completed", "completed")
    assert {**response, "output": [], "usage": None} == {
        **events[0]["response"],
        "status": "completed",
    }


def other(endpoint: Endpoint, raw: bytes) -> bytes:
    """The stream of another target, whose ids differ."""
    if endpoint is not Endpoint.RESPONSES:
        return raw
    return raw.replace(b"msg_fake", b"msg_other").replace(b"resp_fake", b"resp_other")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("strips", [False, True])
@settings(max_examples=60)
@given(
    pieces=PIECES,
    rest_sizes=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    cut=st.floats(0, 1),
    sizes=st.lists(st.integers(1, 200), min_size=1, max_size=8),
    through_chat=st.booleans(),
)
@example(pieces=["a", " ", "b"], rest_sizes=[1], cut=0.55, sizes=[7], through_chat=False)
def test_any_cut_and_any_chunks_give_the_whole_text_once(
    endpoint: Endpoint,
    strips: bool,
    pieces: list[str],
    rest_sizes: list[int],
    cut: float,
    sizes: list[int],
    through_chat: bool,
) -> None:
    """For every place of the cut, bytes included, and every split of the bytes.

    The continuation begins where the prefill ends, so it writes the white space again that was kept
    back; ``strips`` is a model that does not. ``through_chat``: a provider goes on with Responses.
    """
    text = "".join(pieces)
    whole = b"".join(events_of(endpoint, pieces, "first", prompt=5))
    wire = wire_of(endpoint)
    transcript, out = Transcript(wire, 10_000), b""
    for chunk in watched(endpoint, whole[: int(cut * len(whole))], sizes):
        out += chunk.raw
        transcript.add(chunk)
    reading = transcript.read()
    assert reading.text == read(endpoint, out)[0]
    assert text.startswith(reading.text)
    if transcript.has_ended:
        end = wire.ending(transcript.reader, reading.deltas, full=False).raw
        out += end if b"[DONE]" not in out else b""
        assert read(endpoint, out)[0] == text
        return
    if not out:
        return
    if transcript.obstacle() is not None:  # of a response whose text has not begun, or is over
        assert endpoint is Endpoint.RESPONSES
        assert reading.text in ("", text)
        return
    prefill, space = split(reading.text)
    rest = text[len(reading.text) :] if strips else text[len(prefill) :]
    if strips and space and rest.startswith(space[0]):
        return  # nobody can tell such a model's new space from the old one
    parts, start, turn = [], 0, 0
    while start < len(rest):
        parts.append(rest[start : start + rest_sizes[turn % len(rest_sizes)]])
        start += len(parts[-1])
        turn += 1
    prompt = 5 + reading.deltas
    join = wire.splice(transcript.reader, Seam(space), reading.deltas, None)
    chat = Endpoint.CHAT if through_chat and endpoint is Endpoint.RESPONSES else endpoint
    translate = to_responses().feed
    second = other(endpoint, b"".join(events_of(chat, parts, "second", prompt=prompt)))
    for chunk in watched(chat, second, sizes):
        out += join.feed(chunk if chat is endpoint else translate(chunk)).raw
    said, events = read(endpoint, out)
    assert said == text
    if endpoint is Endpoint.MESSAGES:
        check_messages(events)
        assert events[-2]["usage"]["output_tokens"] == reading.deltas + len(parts)
        return
    if endpoint is Endpoint.RESPONSES:
        check_responses(events, text)
        usage = events[-1]["response"]["usage"]
        assert usage["input_tokens"] == 5
        assert usage["output_tokens"] == reading.deltas + len(parts)
        assert usage["total_tokens"] == 5 + reading.deltas + len(parts)
        return
    check_chat(events, out)
    usage = events[-1]["usage"]
    assert usage["prompt_tokens"] == 5
    assert usage["completion_tokens"] == reading.deltas + len(parts)
    assert usage["total_tokens"] == 5 + reading.deltas + len(parts)


@pytest.mark.parametrize(
    ("sent", "pieces", "joined"),
    [
        (" ", [" world"], "world"),
        (" ", ["world"], "world"),
        ("\n\n", ["\n", "\n", "Next"], "Next"),
        ("\n\n", ["\nNext"], "Next"),
        (" ", ["\nNext"], "\nNext"),
        ("", [" world"], " world"),
        ("  ", [" ", "", " ", " x"], " x"),
    ],
)
def test_white_space_at_the_seam(sent: str, pieces: list[str], joined: str) -> None:
    """What the client has is taken off once; what is new stays."""
    seam = Seam(sent)
    assert "".join(seam.join(piece) for piece in pieces) == joined


TALK = [
    {"role": "developer", "content": "be brief"},
    {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
    {"role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
    {"type": "message", "role": "user", "content": "c"},
]
PICTURE = {"type": "input_image", "image_url": "https://example.org/a.png"}


@pytest.mark.parametrize(
    ("endpoint", "fields", "continued"),
    [
        (Endpoint.CHAT, {"temperature": 0, "max_tokens": 5, "seed": 1, "n": 1}, True),
        (Endpoint.CHAT, {"tools": [{}], "tool_choice": "auto"}, True),
        (Endpoint.CHAT, {"logprobs": False, "response_format": {"type": "text"}}, True),
        (Endpoint.CHAT, {"n": 2}, False),
        (Endpoint.CHAT, {"logprobs": True}, False),
        (Endpoint.CHAT, {"tool_choice": "required"}, False),
        (Endpoint.CHAT, {"tool_choice": {"type": "function", "function": {}}}, False),
        (Endpoint.CHAT, {"response_format": {"type": "json_object"}}, False),
        (Endpoint.CHAT, {"structured_outputs": {"regex": "a"}}, False),
        (Endpoint.CHAT, {"return_token_ids": True}, False),
        (Endpoint.CHAT, {"something_new": 1}, False),
        (Endpoint.COMPLETIONS, {"prompt": "a"}, True),
        (Endpoint.COMPLETIONS, {"prompt": ["a", "b"]}, False),
        (Endpoint.COMPLETIONS, {"prompt": "a", "echo": True}, False),
        (Endpoint.MESSAGES, {"max_tokens": 5, "system": "s"}, True),
        (Endpoint.MESSAGES, {"thinking": {"type": "enabled"}}, False),
        (Endpoint.MESSAGES, {"tool_choice": {"type": "any"}}, False),
        (Endpoint.RESPONSES, {"input": "a", "instructions": "b", "max_output_tokens": 5}, True),
        (Endpoint.RESPONSES, {"input": "a", "store": False, "tools": [], "include": []}, True),
        (Endpoint.RESPONSES, {"input": "a", "text": {"format": {"type": "text"}}}, True),
        (Endpoint.RESPONSES, {"input": [{"role": "user", "content": "a"}]}, True),
        (Endpoint.RESPONSES, {"input": TALK}, True),
        (Endpoint.RESPONSES, {"input": []}, False),
        (Endpoint.RESPONSES, {"input": [{"type": "function_call_output"}]}, False),
        (Endpoint.RESPONSES, {"input": [{"role": "user", "content": [PICTURE]}]}, False),
        (Endpoint.RESPONSES, {"input": [{"role": "assistant", "content": "a"}]}, False),
        (Endpoint.RESPONSES, {"input": "a", "tools": [{}]}, False),
        (Endpoint.RESPONSES, {"input": "a", "max_tokens": 5}, False),
        (Endpoint.RESPONSES, {"input": "a", "reasoning": {"effort": "low"}}, False),
        (Endpoint.RESPONSES, {"input": "a", "previous_response_id": "resp_1"}, False),
        (Endpoint.RESPONSES, {"input": "a", "text": {"format": {"type": "json_object"}}}, False),
        (Endpoint.RESPONSES, {"input": "a", "top_logprobs": 2}, False),
    ],
)
def test_what_can_be_continued(endpoint: Endpoint, fields: dict[str, Any], continued: bool) -> None:
    """Only what surely means the same for the rest of an answer."""
    body = {"model": "m", "stream": True, **fields}
    if endpoint in {Endpoint.CHAT, Endpoint.MESSAGES}:
        body["messages"] = [{"role": "user", "content": "x"}]
    assert (obstacle(wire_of(endpoint), body) is None) is continued


def test_an_answer_that_the_client_began_is_not_continued() -> None:
    """Its prefix is not ours to repeat."""
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    assert obstacle(wire_of(Endpoint.CHAT), {"messages": messages})


def test_the_bound_on_tokens_shrinks() -> None:
    """By what was sent; never to nothing, which no API accepts."""
    body = {"max_tokens": 10, "max_completion_tokens": 12, "min_tokens": 3, "top_p": 1}
    found = {"max_tokens": 6, "max_completion_tokens": 8, "min_tokens": 0, "top_p": 1}
    assert rest_of(body, 4) == found
    assert rest_of(body, 40)["max_tokens"] == 1
    assert limit_of(body) == 10
    assert rest_of({"max_output_tokens": 10}, 4) == {"max_output_tokens": 6}
    assert limit_of({"max_output_tokens": 10}) == 10
    assert limit_of({}) is None


@pytest.mark.parametrize(
    ("endpoint", "event"),
    [
        (Endpoint.CHAT, {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0}]}}]}),
        (Endpoint.CHAT, {"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]}),
        (Endpoint.CHAT, {"choices": [{"index": 1, "delta": {"content": "b"}}]}),
        (Endpoint.CHAT, {"choices": ["nonsense"]}),
        (
            Endpoint.MESSAGES,
            {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use"}},
        ),
        (
            Endpoint.MESSAGES,
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta"}},
        ),
    ],
)
def test_what_was_sent_can_be_in_the_way(endpoint: Endpoint, event: dict[str, Any]) -> None:
    """Tool calls, thoughts, several answers, and what nobody understands."""
    transcript = Transcript(wire_of(endpoint), 100)
    transcript.add(Events.of([Event.of(event)]))
    assert transcript.read().obstacle


OPENED: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"id": "resp_1"}},
    {"type": "response.output_item.added", "item": {"id": "msg_1", "type": "message"}},
    {
        "type": "response.content_part.added",
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "part": {"type": "output_text", "text": ""},
    },
]
SAID: dict[str, Any] = {
    "type": "response.output_text.delta",
    "item_id": "msg_1",
    "output_index": 0,
    "content_index": 0,
    "delta": "a",
}


def joining(transcript: Transcript) -> Splice:
    """What joins a continuation to a Responses stream of one token."""
    return wire_of(Endpoint.RESPONSES).splice(transcript.reader, Seam(""), 1, None)


def spoken(events: list[dict[str, Any]]) -> Transcript:
    """A Responses stream, numbered."""
    transcript = Transcript(wire_of(Endpoint.RESPONSES), 100)
    for number, event in enumerate(events):
        transcript.add(Events.of([Event.of({**event, "sequence_number": number})]))
    transcript.read()
    return transcript


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.output_text.done"},
        {"type": "response.output_item.done"},
        {"type": "response.output_item.added", "item": {"type": "message"}},
        {"type": "response.output_text.annotation.added"},
        {"type": "response.refusal.delta", "delta": "no"},
        {"type": "response.something_new"},
        {**SAID, "output_index": 1},
        {**SAID, "item_id": "msg_2"},
        {},
    ],
)
def test_a_response_that_is_more_than_one_text_is_not_continued(event: dict[str, Any]) -> None:
    """Whatever else it has sent, also after its text."""
    assert spoken([*OPENED, SAID]).obstacle() is None
    assert spoken([*OPENED, SAID, event]).obstacle()


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_response_without_text_is_not_continued(kept: int) -> None:
    """There is nothing to go on from, and nothing into which to write."""
    assert spoken(OPENED[:kept]).obstacle()
    reasoning = {"type": "response.output_item.added", "item": {"type": "reasoning"}}
    assert spoken([OPENED[0], reasoning]).obstacle()


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.output_item.added", "item": {"type": "function_call"}},
        {"type": "response.output_item.added", "item": {"type": "reasoning"}},
        {"type": "response.content_part.added", "part": {"type": "refusal"}},
        {"type": "response.failed", "response": {"status": "failed"}},
        {"type": "response.reasoning_text.delta", "delta": "hm"},
        {"type": "response.something_new"},
    ],
)
def test_a_continuation_that_is_more_than_text_is_refused(event: dict[str, Any]) -> None:
    """It is broken, not guessed at: the stream goes on elsewhere or ends with an error."""
    join = joining(spoken([*OPENED, SAID]))
    with pytest.raises(ValueError, match="continuation"):
        join.feed(Events(encode(event)))


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        ("stop", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
    ],
)
def test_how_chat_ends_is_how_the_response_ends(
    finish: str, status: str, reason: str | None
) -> None:
    """In the last event's type, in its response and in the message."""
    choice = {"delta": {"role": "assistant", "content": "b"}, "finish_reason": finish}
    join = joining(spoken([*OPENED, SAID]))
    raw = join.feed(to_responses().feed(Events(encode({"choices": [choice]}) + DONE))).raw
    *_, item, last = [event for event in objects(raw) if event is not None]
    assert last["type"] == f"response.{status}"
    assert last["response"]["status"] == item["item"]["status"] == status
    assert (last["response"]["incomplete_details"] or {}).get("reason") == reason
    assert item["item"]["content"][0]["text"] == "ab"
    assert last["response"]["usage"] is None


@pytest.mark.parametrize(
    "choice",
    [
        {"delta": {"reasoning_content": "hm"}},
        {"delta": {"refusal": "no"}},
        {"delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f"}}]}},
        {"delta": {"tool_calls": [{"index": 0}]}, "finish_reason": "tool_calls"},
    ],
)
def test_chat_that_goes_on_with_more_than_text(choice: dict[str, Any]) -> None:
    """It is broken: the stream goes on elsewhere or ends with an error."""
    join = joining(spoken([*OPENED, SAID]))
    with pytest.raises((ValueError, KeyError)):
        join.feed(to_responses().feed(Events(encode({"choices": [choice]}) + DONE)))


def test_a_continuation_has_one_message_of_one_part() -> None:
    """The first of each is announced already; a second one would not fit."""
    join = joining(spoken([*OPENED, SAID]))
    again = Events(encode(OPENED[1]))
    assert not join.feed(again)
    with pytest.raises(ValueError, match="continuation"):
        join.feed(again)


def test_a_transcript_is_bounded() -> None:
    """Law 9: text over the limit is given up, not kept."""
    transcript = Transcript(wire_of(Endpoint.CHAT), 1000)
    chunk = {"choices": [{"index": 0, "delta": {"content": "x" * 100}}]}
    for _ in range(2000):
        transcript.add(Events(encode(chunk)))
    assert transcript.read().obstacle
    assert not transcript.read().text


def test_a_continuation_that_never_ends_is_given_up() -> None:
    """Law 9: the last event repeats all of the text, so all of it is kept."""
    join = joining(spoken([*OPENED, SAID]))
    run = Events(encode({**SAID, "delta": "x" * 1024 * 1024}))
    for _ in range(15):
        join.feed(run)
    with pytest.raises(ValueError, match="too long"):
        join.feed(run)
