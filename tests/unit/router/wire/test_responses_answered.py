"""Chat answers as responses: every item, every event, whole and in any pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from router.wire.dialects.base import Traits, Translation
from router.wire.endpoint import Endpoint, Usage
from router.wire.events import Events
from router.wire.watch import StreamWatch
from tests.fakes.frontier_answers import Reply, ToolCall, whole
from tests.fakes.frontier_streams import streamed
from tests.fakes.streams import objects
from tests.fakes.through_chat import FUNCTION, HI, PATCH, Json, ask

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def back(dialect: str, body: Json) -> Translation:
    """What makes a target's answer a response."""
    found = ask(dialect, body).translation
    assert found is not None
    return found


def chat_whole(reply: Reply, **message: Any) -> Json:
    """A whole chat answer."""
    answer = whole("/v1/chat/completions", {}, reply)
    answer["choices"][0]["message"] |= message
    return answer


def events(translation: Translation, raw: bytes, sizes: list[int]) -> Iterator[Events]:
    """A chat stream's translation, its bytes arriving in whatever pieces."""
    watch = StreamWatch("x", ask("openai", {}).wire, Usage())
    start = turn = 0
    while start < len(raw):
        size = sizes[turn % len(sizes)]
        turn += 1
        run = watch.feed(raw[start : start + size], last=start + size >= len(raw))
        start += size
        if run:
            yield translation.stream.feed(run)


def told(translation: Translation, raw: bytes, sizes: tuple[int, ...] = (4096,)) -> list[Json]:
    """The same, as a client reads it: each event is one that OpenAI's SDK knows."""
    out = b"".join(each.raw for each in events(translation, raw, list(sizes)))
    found = [event for event in objects(out) if event is not None]
    for event in found:
        EVENT.validate_python(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def chunks(*choices: Json, usage: Json | None = None) -> bytes:
    """A chat stream of these choices."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    said = [{**head, "choices": [{"index": 0, **choice}]} for choice in choices]
    said += [{**head, "choices": [], "usage": usage}] if usage else []
    return b"".join(b"data: " + orjson.dumps(each) + b"\n\n" for each in said) + b"data: [DONE]\n\n"


CALL = ToolCall("call_1", "look_up", {"sku": "x"})
REPLIES = {
    "text": Reply("m", ["One ", "two."], prompt_tokens=3, cached_tokens=2),
    "calls": Reply("m", [], [CALL, ToolCall("call_2", "look_up", {})], finish="tool_calls"),
    "cut": Reply("m", ["One "], finish="length"),
    "nothing": Reply("m", []),
}


@pytest.mark.parametrize("name", REPLIES)
def test_streamed_and_whole_are_the_same_response(name: str) -> None:
    """To the last field."""
    reply, asked = REPLIES[name], {"stream_options": {"include_usage": True}}
    request = {"tools": [FUNCTION], "metadata": {"a": "b"}, "instructions": "the operator's"}
    translation = back("openai", request)
    found = told(translation, b"".join(streamed("/v1/chat/completions", asked, reply)))
    response = found[-1]["response"]
    if not reply.pieces and not reply.calls:
        assert response["output"] == []
    assert response == translation.whole(chat_whole(reply))
    Response.model_validate(response)
    assert found[-1]["type"] == f"response.{response['status']}"
    assert [each["type"] for each in found[:2]] == ["response.created", "response.in_progress"]
    assert found[0]["response"] == {**response, "status": "in_progress", "output": [],
                                    "usage": None, "incomplete_details": None}  # fmt: skip
    assert response["usage"]["output_tokens"] == reply.output_tokens
    assert response["usage"]["input_tokens_details"]["cached_tokens"] == reply.cached_tokens
    assert (response["store"], response["instructions"]) == (False, None)


def test_how_an_answer_ended() -> None:
    """A bound, a filter; who says nothing, or something of its own, ended."""
    reasons = {"length": "max_output_tokens", "content_filter": "content_filter"}
    for finish in ("stop", "length", "content_filter", "tool_calls", "eos", None):
        choice = {"delta": {"content": "a"}, "finish_reason": finish}
        last = told(back("openai", {}), chunks(choice))[-1]["response"]
        details = last["incomplete_details"] or {}
        assert details.get("reason") == reasons.get(str(finish))
        status = "incomplete" if finish in reasons else "completed"
        assert last["status"] == last["output"][-1]["status"] == status


def test_everything_that_an_answer_can_have() -> None:
    """Thoughts, words, a refusal, calls by turns, one of them signed, and words after them."""
    signature = {"extra_content": {"google": {"thought_signature": "c2lnbmVk"}}}
    raw = chunks(
        {"delta": {"role": "assistant", "reasoning_content": "Hm"}},
        {"delta": {"reasoning": "m."}},
        {"delta": {"content": "One "}},
        {"delta": {"content": "two."}},
        {"delta": {"refusal": "No."}},
        {"delta": {"tool_calls": [{"index": 0, "id": "a", **signature,
                                   "function": {"name": "look_up", "arguments": ""}}]}},
        {"delta": {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "apply_patch"}}]}},
        {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": '{"sku":'}}]}},
        {"delta": {"tool_calls": [{"index": 1, "function": {"arguments": '{"input":"*** x'}}]}},
        {"delta": {"tool_calls": [{"index": 0, "function": {"arguments": '"x"}'}}]}},
        {"delta": {"tool_calls": [{"index": 1, "function": {"arguments": '\\n"}'}}]}},
        {"delta": {"content": "Done."}, "finish_reason": "stop"},
    )  # fmt: skip
    found = told(back("gemini", {"tools": [FUNCTION, PATCH]}), raw)
    output = found[-1]["response"]["output"]
    assert [item["type"] for item in output] == [
        "reasoning", "message", "message", "reasoning", "function_call", "custom_tool_call",
        "message",
    ]  # fmt: skip
    thoughts, said, refused, signed, call, patch, after = output
    assert thoughts["summary"] == [{"type": "summary_text", "text": "Hmm."}]
    assert said["content"][0]["text"] == "One two."
    assert refused["content"] == [{"type": "refusal", "refusal": "No."}]
    assert (signed["summary"], signed["encrypted_content"]) == ([], "google.c2lnbmVk")
    assert (call["call_id"], call["arguments"]) == ("a", '{"sku":"x"}')
    assert (patch["call_id"], patch["input"]) == ("b", "*** x\n")
    assert after["content"][0]["text"] == "Done."
    _check_items(found, output)
    again = ask("gemini", {"model": "gemini-3-pro", "input": [HI, *output]}).body["contents"]
    parts = [part for turn in again for part in turn["parts"] if "functionCall" in part]
    assert parts[0]["thoughtSignature"] == "c2lnbmVk"


def _check_items(found: list[Json], output: list[Json]) -> None:
    """Each item is announced once, told in its pieces, and ended once, as the whole has it."""
    for number, item in enumerate(output):
        own = [each for each in found if each.get("output_index") == number]
        assert own[0]["type"] == "response.output_item.added"
        assert own[-1] == {**own[-1], "type": "response.output_item.done", "item": item}
        assert own[0]["item"]["id"] == item["id"]
        assert {each["item_id"] for each in own[1:-1]} <= {item["id"]}
        deltas = "".join(each["delta"] for each in own if each["type"].endswith(".delta"))
        content = (item.get("content") or item.get("summary") or [{}])[0]
        whole_text = (
            content.get("text") or content.get("refusal") or item.get("arguments")
            or item.get("input") or ""
        )  # fmt: skip
        assert deltas == whole_text


def test_probabilities_of_tokens() -> None:
    """With each piece, and once more with the text."""
    logprob = {"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}
    choice = {"delta": {"content": "a"}, "logprobs": {"content": [logprob]}}
    body = {"include": ["message.output_text.logprobs"]}
    found = told(back("openai", body), chunks(choice, {"delta": {}, "finish_reason": "stop"}))
    said = [each["logprobs"] for each in found if "logprobs" in each]
    assert said == [[logprob], [logprob]]
    assert found[-1]["response"]["output"][0]["content"][0]["logprobs"] == [logprob]


def test_a_call_without_arguments_has_an_empty_object() -> None:
    """Clients parse them; but a call that was cut short stays as it was."""
    call = {"index": 0, "id": "a", "function": {"name": "look_up", "arguments": ""}}
    for finish, arguments in (("tool_calls", "{}"), ("length", "")):
        choice = {"delta": {"tool_calls": [call]}, "finish_reason": finish}
        found = told(back("openai", {}), chunks(choice))
        assert found[-1]["response"]["output"][0]["arguments"] == arguments


def test_calls_under_one_index_are_several() -> None:
    """As Google's OpenAI-compatible API tells them: each has its own id."""
    calls = [
        {"index": 0, "id": f"c{n}", "function": {"name": "look_up", "arguments": f'{{"n": {n}}}'}}
        for n in range(2)
    ]
    said = [{"delta": {"tool_calls": [call]}, "finish_reason": None} for call in calls]
    end = {"delta": {}, "finish_reason": "tool_calls"}
    output = told(back("openai", {}), chunks(*said, end))[-1]["response"]["output"]
    found = [(item["call_id"], item["arguments"]) for item in output]
    assert found == [("c0", '{"n": 0}'), ("c1", '{"n": 1}')]


def test_each_call_that_was_cut_short_says_so() -> None:
    """Of calls that are told by turns it need not be the last one."""
    said: list[Json] = [
        {"delta": {"tool_calls": [{"index": n, "id": f"c{n}", "function": function}]}}
        for n, function in enumerate(
            [
                {"name": "look_up", "arguments": '{"sku"'},
                {"name": "look_up", "arguments": '{"sku": 2}'},
                {"name": "look_up", "arguments": '{"sku"'},
            ]
        )
    ]
    said.append({"delta": {}, "finish_reason": "length"})
    response = told(back("openai", {}), chunks(*said))[-1]["response"]
    states = [item["status"] for item in response["output"]]
    assert states == ["incomplete", "completed", "incomplete"]


def test_an_error_in_the_middle_is_an_event_with_its_number() -> None:
    """As Responses tell it."""
    raw = chunks({"delta": {"content": "a"}}).removesuffix(b"data: [DONE]\n\n")
    translation = back("openai", {})
    found = list(objects(translation.stream.feed(Events(raw)).raw))
    error = b'data: {"error": {"message": "gone", "code": "overloaded"}}\n\n'
    [last] = objects(translation.stream.feed(Events(error)).raw)
    assert last == {"type": "error", "code": "overloaded", "message": "gone", "param": None,
                    "sequence_number": len(found)}  # fmt: skip


def test_what_was_all_said_is_ended() -> None:
    """A stream that is cut after its reason for the end lacks nothing, but one before does."""
    said, end = {"delta": {"content": "a"}}, {"delta": {}, "finish_reason": "stop"}
    for choices, kind in (((said,), None), ((said, end), "response.completed")):
        translation = back("openai", {})
        translation.stream.feed(Events(chunks(*choices).removesuffix(b"data: [DONE]\n\n")))
        kinds = [each["type"] for each in objects(translation.cut().raw) if each]
        assert (kinds or [None])[-1] == kind
        assert translation.completes


def test_thoughts_of_other_models_do_not_go_to_openai() -> None:
    """Which refuses those that it did not think itself; its own stay."""
    own = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    foreign = {"type": "reasoning", "id": "rs_graftwork_1_0", "summary": []}
    traits = Traits(native=frozenset({Endpoint.RESPONSES}))
    asked = ask("openai", {"input": [HI, own, foreign]}, traits=traits)
    assert asked.wire.endpoint is Endpoint.RESPONSES
    assert asked.body["input"] == [HI, own]


def test_what_a_response_has_no_place_for_is_named() -> None:
    """Of a whole answer, and of a chunk."""
    lost = back("openai", {}).lost
    assert list(lost(chat_whole(REPLIES["text"], annotations=[{"a": 1}]))) == ["output.annotations"]
    assert list(lost({"choices": [{"delta": {"audio": {"id": "a"}}}]})) == ["output.audio"]


PIECES = st.lists(
    st.text(st.sampled_from('ab \n"\\é{}🙂'), min_size=1, max_size=4), min_size=1, max_size=8
)


@settings(max_examples=60)
@given(
    pieces=PIECES,
    calls=st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=3)), max_size=3),
    sizes=st.lists(st.integers(1, 200), min_size=1, max_size=8),
    cut=st.booleans(),
)
def test_any_split_of_the_bytes_gives_the_same_response(
    pieces: list[str], calls: list[dict[str, str]], sizes: list[int], cut: bool
) -> None:
    """Streamed in any pieces and whole."""
    made = [ToolCall(f"call_{n}", "look_up", found) for n, found in enumerate(calls)]
    finish = "length" if cut else "tool_calls" if made else "stop"
    reply = Reply("m", pieces, made, prompt_tokens=5, finish=finish)
    raw = streamed("/v1/chat/completions", {"stream_options": {"include_usage": True}}, reply)
    translation = back("openai", {"tools": [FUNCTION]})
    found = told(translation, b"".join(raw), tuple(sizes))
    content = {"content": "".join(pieces)}
    assert found[-1]["response"] == translation.whole(chat_whole(reply, **content))
    _check_items(found, found[-1]["response"]["output"])


MEGABYTE = "x" * 1024 * 1024
LONG: list[Json] = [
    {"content": MEGABYTE},
    {"reasoning_content": MEGABYTE},
    {"refusal": MEGABYTE},
    {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": MEGABYTE}}]},
]


@pytest.mark.parametrize("delta", LONG, ids=["text", "thoughts", "refusal", "arguments"])
def test_an_answer_that_never_ends_is_given_up(delta: Json) -> None:
    """Law 9: what is kept until the last event, which repeats it, is bounded."""
    stream = back("openai", {}).stream
    run = chunks({"delta": delta}).removesuffix(b"data: [DONE]\n\n")
    for _ in range(15):
        stream.feed(Events(run))
    with pytest.raises(ValueError, match="too long"):
        stream.feed(Events(run))


def test_items_without_end_are_given_up() -> None:
    """Also those that say nothing."""
    stream = back("openai", {}).stream
    calls = [{"index": n, "id": "a", "function": {"name": "f"}} for n in range(20_000)]
    with pytest.raises(ValueError, match="too long"):
        stream.feed(Events(chunks({"delta": {"tool_calls": calls}})))
