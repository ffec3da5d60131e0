"""Translation between chat and Messages: what is said, what is refused, whatever the chunks."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import InvalidRequest
from router.wire.dialects.base import StreamTranslator
from router.wire.events import DONE, Events, Splitter, encode
from router.wire.translate.answer_to_chat import chat_answer, lost_in_chat
from router.wire.translate.answer_to_messages import lost_in_messages, messages_answer
from router.wire.translate.chat_to_messages import messages_request
from router.wire.translate.messages_to_chat import chat_request
from router.wire.translate.messages_to_vllm import difference
from router.wire.translate.stream_to_chat import ChatStream
from router.wire.translate.stream_to_messages import MessagesStream
from router.wire.translate.vocabulary import finish_reason, stop_reason
from tests.fakes.frontier_answers import CHAT, MESSAGES, Reply, ToolCall
from tests.fakes.frontier_streams import streamed
from tests.fakes.streams import objects

PIXEL = "data:image/png;base64,iVBORw0KGgo="
HI: Any = {"role": "user", "content": "hi"}
CALL = {"id": "call:1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
REPLY = Reply(
    model="m",
    pieces=["Grüße", ", 世界", "\n\ndata: [DONE]\n\n"],
    calls=[ToolCall("call_0", "f", {"sku": "x"}), ToolCall("call_1", "g", {})],
    prompt_tokens=9,
    cached_tokens=4,
    finish="tool_calls",
)
SOME_WORDS = """
    role content type text user assistant tool tool_calls tool_call_id function name arguments
    image_url url source tool_use tool_result id input input_schema image document data file
    file_data json_schema format refusal thinking base64 media_type auto custom
"""
SOME_FIELDS = """
    messages system tools tool_choice stop n response_format temperature output_config
    stop_sequences modalities max_tokens parallel_tool_calls thinking
"""
WORDS, FIELDS = SOME_WORDS.split(), SOME_FIELDS.split()
THINKING: list[dict[str, Any]] = [
    {"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking"}},
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": "hm"},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "signature_delta", "signature": "s"},
    },
    {"type": "content_block_stop", "index": 0},
    {"type": "ping"},
    {"type": "something_new", "field": 1},
    {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
]


def _to_messages(**body: Any) -> dict[str, Any]:
    return messages_request({"model": "m", "messages": [HI], **body}, default_max_tokens=77)


def _to_chat(**body: Any) -> dict[str, Any]:
    full = {"model": "m", "max_tokens": 5, "messages": [HI], **body}
    return chat_request(full, max_tokens_field="max_tokens", ask_for_usage=True)


def _chat_stream() -> StreamTranslator:
    return ChatStream(created=1, include_usage=True)


def _messages_stream() -> StreamTranslator:
    return MessagesStream(model="m", fallback_id="msg_0")


def _events(run: Events) -> list[dict[str, Any]]:
    return [event for event in objects(run.raw) if event is not None]


@pytest.mark.parametrize("direction", ["to-chat", "to-messages"])
@given(data=st.data())
def test_any_split_is_translated_alike(direction: str, data: st.DataObject) -> None:
    """However the wire splits a stream, even inside a character, the translation is the same."""
    make = _chat_stream if direction == "to-chat" else _messages_stream
    path = MESSAGES if direction == "to-chat" else CHAT
    asked = {"stream_options": {"include_usage": True}}
    stream = b"".join(streamed(path, asked, REPLY))
    cuts = data.draw(st.lists(st.integers(1, len(stream) - 1), max_size=12, unique=True))
    translator, splitter = make(), Splitter()
    bounds = [0, *sorted(cuts), len(stream)]
    runs = [splitter.feed(stream[a:b]) for a, b in pairwise(bounds)]
    assert b"".join(translator.feed(run).raw for run in runs) == make().feed(Events(stream)).raw


def test_there_and_back_says_the_same() -> None:
    """Messages → chat → Messages keeps text, calls, reason and counts."""
    stream = b"".join(streamed(MESSAGES, {}, REPLY))
    back = _events(_messages_stream().feed(_chat_stream().feed(Events(stream))))
    text = "".join(e["delta"].get("text", "") for e in back if "index" in e and "delta" in e)
    starts = [e["content_block"] for e in back if e["type"] == "content_block_start"]
    assert text == REPLY.text
    assert [(b["type"], b.get("name")) for b in starts] == [
        ("text", None),
        ("tool_use", "f"),
        ("tool_use", "g"),
    ]
    assert back[-2]["delta"]["stop_reason"] == "tool_use"
    assert back[-2]["usage"] == {
        "input_tokens": 5,
        "cache_read_input_tokens": 4,
        "output_tokens": 5,
    }


def test_blocks_open_and_close_in_order() -> None:
    """A Messages stream has one block open at a time, numbered without gaps."""
    stream = b"".join(streamed(CHAT, {}, REPLY))
    told = [
        (event["type"].removeprefix("content_block_"), event["index"])
        for event in _events(_messages_stream().feed(Events(stream)))
        if event["type"] in {"content_block_start", "content_block_stop"}
    ]
    assert told == [(kind, n) for n in range(3) for kind in ("start", "stop")]


def test_thinking_becomes_reasoning_and_unknown_events_are_skipped() -> None:
    """Thoughts go where compatible servers put them; signatures and novelties are dropped."""
    stream = b"".join(encode(event, str(event["type"])) for event in THINKING)
    chunks = _events(_chat_stream().feed(Events(stream)))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert deltas == [{"role": "assistant", "content": ""}, {"reasoning_content": "hm"}, {}]
    assert chunks[-2]["choices"][0]["finish_reason"] == "content_filter"
    assert chunks[-1]["usage"]["completion_tokens"] == 3


def test_which_stop_string_ended_an_answer_is_told_there_and_back() -> None:
    """Where OpenAI-compatible servers say it, and where Messages does."""
    block = {"type": "text", "text": "a"}
    message = {"id": "msg_1", "model": "m", "content": [block], "stop_reason": "stop_sequence"}
    whole = chat_answer({**message, "stop_sequence": "END"}, created=1)
    assert whole["choices"][0]["stop_reason"] == "END"
    back = messages_answer(whole, model="m", fallback_id="msg_0")
    assert (back["stop_reason"], back["stop_sequence"]) == ("stop_sequence", "END")
    assert (
        "stop_reason"
        not in chat_answer({**message, "stop_sequence": None}, created=1)["choices"][0]
    )
    delta = {"stop_reason": "stop_sequence", "stop_sequence": "END"}
    events = [*THINKING[:1], {"type": "message_delta", "delta": delta}, {"type": "message_stop"}]
    stream = Events(b"".join(encode(event, str(event["type"])) for event in events))
    translated = _chat_stream().feed(stream)
    assert _events(translated)[1]["choices"][0]["stop_reason"] == "END"
    again = _events(_messages_stream().feed(translated))
    assert again[-2]["delta"] == {"stop_reason": "stop_sequence", "stop_sequence": "END"}


def test_what_chat_has_no_place_for_is_named() -> None:
    """Of a whole answer and of a stream: citations, and what a provider's own tools did."""
    cited = {"type": "text", "text": "a", "citations": [{"type": "char_location"}]}
    searched = {"type": "server_tool_use", "name": "web_search", "input": {}}
    assert lost_in_chat({"content": [cited, searched]}) == [
        "content.server_tool_use",
        "content.citations",
    ]
    delta = {"type": "citations_delta", "citation": {}}
    event = {"type": "content_block_delta", "index": 0, "delta": delta}
    assert lost_in_chat(event) == ["content.citations"]
    assert lost_in_chat({"type": "content_block_start", "content_block": searched}) == [
        "content.server_tool_use"
    ]
    assert not any(lost_in_chat(each) for each in THINKING)
    wordy = {"content": [{"type": "a whole sentence, that is no name"}]}
    assert lost_in_chat(wordy) == ["content.block"]


def test_what_messages_have_no_place_for_is_named() -> None:
    """Where a provider searched the web by itself, or answered twice."""
    cited = {"role": "assistant", "content": "a", "annotations": [{"type": "url_citation"}]}
    assert lost_in_messages({"choices": [{"message": cited}]}) == ["message.annotations"]
    assert lost_in_messages({"choices": [{"delta": {"audio": {"data": "x"}}}]}) == ["message.audio"]
    assert lost_in_messages({"choices": [{"message": {"content": "a"}}, {}]}) == ["choices"]
    assert lost_in_messages({"choices": []}) == []


def test_error_event_stays_an_error_event() -> None:
    """An error in the middle of a stream is well formed in the other dialect."""
    error = {"type": "overloaded_error", "message": "no"}
    told = Events(encode({"type": "error", "error": error}, "error"))
    chunk = _events(_chat_stream().feed(told))[0]
    assert chunk["error"]["message"] == "no"
    assert chunk["error"]["code"] == "overloaded_error"
    back = _events(_messages_stream().feed(Events(encode({"error": {"message": "no"}}))))[0]
    assert (back["type"], back["error"]["message"]) == ("error", "no")


def test_system_messages_are_gathered() -> None:
    """System and developer messages, wherever they stand, become the system prompt."""
    messages = [
        {"role": "system", "content": "a"},
        HI,
        {"role": "developer", "content": [{"type": "text", "text": "b"}]},
    ]
    request = _to_messages(messages=messages)
    assert [block["text"] for block in request["system"]] == ["a", "b"]
    assert request["messages"] == [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]


def test_parallel_tool_results_stand_in_one_turn() -> None:
    """Results of parallel calls and the user's next words follow the calls in one user turn."""
    messages = [
        HI,
        {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "call_2"}]},
        {"role": "tool", "tool_call_id": "call:1", "content": "one"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "two"}]},
        {"role": "user", "content": "and now?"},
    ]
    turns = _to_messages(messages=messages)["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    uses, results = turns[1]["content"], turns[2]["content"]
    assert [use["id"] for use in uses] == ["call_1", "call_2"]
    assert uses[0]["input"] == {"a": 1}
    assert [r.get("tool_use_id") for r in results] == ["call_1", "call_2", None]


def test_parameters_to_messages() -> None:
    """Sampling, stops and the bound on the answer arrive in Messages' words."""
    request = _to_messages(
        temperature=1.7, top_p=0.9, stop="END", seed=3, frequency_penalty=0.5, user="me", top_k=4
    )
    assert request == {
        "model": "m",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "max_tokens": 77,
        "temperature": 1.0,
        "top_p": 0.9,
        "top_k": 4,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "me"},
    }
    assert _to_messages(max_tokens=3, max_completion_tokens=2)["max_tokens"] == 2
    assert _to_messages(max_tokens=3, stop=["a", "b"])["stop_sequences"] == ["a", "b"]


def test_images_and_documents_to_messages() -> None:
    """Pictures come as data or by address, documents as data, with their cache marks."""
    parts = [
        {"type": "image_url", "image_url": {"url": PIXEL}, "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}},
        {"type": "text", "text": ""},
    ]
    blocks = _to_messages(messages=[{"role": "user", "content": parts}])["messages"][0]["content"]
    assert blocks == [
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
            "cache_control": {"type": "ephemeral"},
        },
        {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        },
    ]


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        ("auto", None, {"type": "auto"}),
        ("none", False, {"type": "none"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (
            {"type": "function", "function": {"name": "f"}},
            True,
            {"type": "tool", "name": "f"},
        ),
    ],
)
def test_tool_choice_to_messages(choice: Any, parallel: bool | None, expected: Any) -> None:
    """Every way to choose a tool has its counterpart."""
    tool = {"type": "function", "function": {"name": "f", "description": "d", "strict": True}}
    request = _to_messages(tools=[tool], tool_choice=choice, parallel_tool_calls=parallel)
    assert request.get("tool_choice") == expected
    schema = {"type": "object", "properties": {}}
    assert request["tools"] == [
        {"name": "f", "input_schema": schema, "description": "d", "strict": True}
    ]


def test_structured_output_both_ways() -> None:
    """A JSON schema for the answer survives in both directions."""
    schema = {"type": "object"}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    request = _to_messages(response_format=wanted)
    assert request["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    back = _to_chat(output_config=request["output_config"])
    assert back["response_format"]["json_schema"]["schema"] == schema


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": "json"}, "response_format"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"functions": [{}]}, "functions"),
        ({"tools": [{"type": "custom"}]}, "tools.0"),
        ({"tools": ["f"]}, "tools"),
        ({"tools": [CALL], "tool_choice": "maybe"}, "tool_choice"),
        ({"messages": "hi"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages.0"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": 1}]}]},
            "messages.0.content.0.image_url",
        ),
        ({"messages": [HI, {"role": "tool", "content": "x"}]}, "messages.1.tool_call_id"),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "{"}}],
                    }
                ]
            },
            "messages.0.tool_calls.0.function.arguments",
        ),
    ],
)
def test_what_messages_cannot_say_is_refused(body: dict[str, Any], param: str) -> None:
    """Never silently another answer: the parameter at fault is named."""
    with pytest.raises(InvalidRequest) as caught:
        _to_messages(**body)
    assert caught.value.param is not None
    assert caught.value.param.startswith(param)
    assert "`" in caught.value.message


def test_prefill_does_not_end_in_space() -> None:
    """Anthropic refuses a prefill that ends in white space; the request is left as it was."""
    message = {"role": "assistant", "content": "The answer is "}
    turns = _to_messages(messages=[HI, message])["messages"]
    assert turns[-1]["content"][0]["text"] == "The answer is"
    assert message["content"] == "The answer is "


def test_a_prefill_of_nothing_but_space_is_none() -> None:
    """Anthropic refuses empty texts."""
    for content in (" ", [{"type": "text", "text": "\n"}]):
        turns = _to_messages(messages=[HI, {"role": "assistant", "content": content}])["messages"]
        assert [turn["role"] for turn in turns] == ["user"]
    parts = [{"type": "text", "text": "So"}, {"type": "text", "text": " "}]
    turns = _to_messages(messages=[HI, {"role": "assistant", "content": parts}])["messages"]
    assert turns[-1]["content"] == [{"type": "text", "text": "So"}]


def test_conversation_to_chat() -> None:
    """System, images, tool calls and results in chat's words; thoughts are forgotten."""
    request = _to_chat(
        system=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "look"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": "AA=="},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "s"},
                    {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "7", "is_error": True},
                    {"type": "text", "text": "well?"},
                ],
            },
        ],
    )
    system, user, assistant, tool, last = request["messages"]
    assert system == {"role": "system", "content": "a\n\nb"}
    assert user["content"][1]["image_url"]["url"] == "data:image/png;base64,AA=="
    assert assistant["content"] is None
    assert assistant["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":1}'}
    assert tool == {"role": "tool", "tool_call_id": "t1", "content": "Error: 7"}
    assert last == {"role": "user", "content": "well?"}


def test_parameters_to_chat() -> None:
    """Bounds, stops and tool choice in chat's words; a stream is asked for its counts."""
    request = _to_chat(
        stream=True,
        stop_sequences=["END"],
        temperature=0.5,
        metadata={"user_id": "u"},
        tools=[{"name": "f", "input_schema": {"type": "object"}}],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
    )
    assert request["max_tokens"] == 5
    assert request["stop"] == ["END"]
    assert request["stream_options"] == {"include_usage": True}
    assert (request["tool_choice"], request["parallel_tool_calls"]) == ("required", False)
    assert "metadata" not in request
    with pytest.raises(InvalidRequest, match="server tools"):
        _to_chat(tools=[{"type": "web_search_20250305", "name": "web_search"}])
    with pytest.raises(InvalidRequest, match="does not take"):
        _to_chat(messages=[{"role": "user", "content": [{"type": "container_upload"}]}])


def test_whole_answers_both_ways() -> None:
    """Thinking, text, calls and counts survive; ids keep their own prefix."""
    answer = {
        "id": "msg_1",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "a"},
            {"type": "text", "text": "b"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 1, "cache_creation_input_tokens": 2, "output_tokens": 3},
    }
    chat = chat_answer(answer, created=5)
    message = chat["choices"][0]["message"]
    assert (chat["id"], chat["created"]) == ("chatcmpl-1", 5)
    assert (message["content"], message["reasoning_content"]) == ("ab", "hm")
    assert chat["usage"]["prompt_tokens"] == 3
    assert chat["usage"]["prompt_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 2}
    back = messages_answer(chat, model="m", fallback_id="msg_0")
    assert back["id"] == "msg_1"
    assert [block["type"] for block in back["content"]] == ["thinking", "text", "tool_use"]
    assert back["content"][2]["input"] == {"a": 1}


def test_stop_reasons_have_counterparts() -> None:
    """Every reason is known in both directions; an unknown one is an ordinary end."""
    assert finish_reason("max_tokens") == "length"
    assert finish_reason("refusal") == "content_filter"
    assert finish_reason("something_new") == finish_reason(None) == "stop"
    assert stop_reason({"finish_reason": "length"}) == ("max_tokens", None)
    assert stop_reason({"finish_reason": "stop", "stop_reason": "END"}) == ("stop_sequence", "END")
    assert stop_reason({"finish_reason": "something_new"}) == ("end_turn", None)


@pytest.mark.parametrize(
    ("arguments", "matched", "expected"),
    [
        ('{"a": 1}', None, "tool_use"),
        ('{"a": 1}', "END", "tool_use"),
        ('{"a": ', "END", "stop_sequence"),
    ],
)
def test_a_tool_that_the_client_named_is_to_be_used(
    arguments: str, matched: str | None, expected: str
) -> None:
    """Chat then ends with ``stop``; a call that a stop string cut short is not to be run."""
    call = {"index": 0, "id": "t", "function": {"name": "f", "arguments": arguments}}
    end: dict[str, Any] = {"delta": {}, "finish_reason": "stop", "stop_reason": matched}
    stream = encode({"choices": [{"delta": {"tool_calls": [call]}}]}) + encode({"choices": [end]})
    run = _messages_stream().feed(Events(stream + DONE))
    assert _events(run)[-2]["delta"]["stop_reason"] == expected


def test_a_whole_call_of_a_named_tool_is_to_be_used() -> None:
    """As in a stream."""
    call = {"id": "t", "function": {"name": "f", "arguments": "{}"}}
    message = {"content": None, "tool_calls": [call]}
    answer = {"choices": [{"message": message, "finish_reason": "stop"}]}
    assert messages_answer(answer, model="m", fallback_id="msg_0")["stop_reason"] == "tool_use"


def _piece(index: int | None, arguments: str, name: str = "", said: str = "") -> bytes:
    call: dict[str, Any] = {"index": index, "function": {"arguments": arguments}}
    if name:
        call |= {"id": f"id-{name}"}
        call["function"]["name"] = name
    return encode({"choices": [{"delta": {"tool_calls": [call], "content": said}}]})


def _blocks(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What a client makes of them; it takes one open block at a time, numbered from 0."""
    blocks: list[list[str]] = []
    is_open = False
    for event in events:
        if event["type"] == "content_block_start":
            assert not is_open
            assert event["index"] == len(blocks)
            is_open = True
            block = event["content_block"]
            blocks.append([block.get("name") or block["type"], ""])
        elif event["type"] == "content_block_delta":
            assert is_open
            assert event["index"] == len(blocks) - 1
            delta = event["delta"]
            blocks[-1][1] += delta.get("partial_json") or delta.get("text") or ""
        elif event["type"] == "content_block_stop":
            assert is_open
            assert event["index"] == len(blocks) - 1
            is_open = False
    assert not is_open
    return [(name, said) for name, said in blocks]


_END = encode({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})
_ONE, _TWO = ("one", '{"a": 1}'), ("two", '{"b": "}"}')
_BY_TURNS = {
    "pieces by turns": [
        _piece(0, '{"a"', "one"), _piece(1, '{"b"', "two"), _piece(0, ": 1}"), _piece(1, ': "}"}'),
    ],
    "all begin first": [
        _piece(0, "", "one"), _piece(1, "", "two"), _piece(1, '{"b": "}"}'), _piece(0, '{"a": 1}'),
    ],
    "one after the other": [
        _piece(0, '{"a"', "one"), _piece(0, ": 1}"), _piece(1, "", "two"), _piece(0, " "),
        _piece(1, '{"b": "}"}'),
    ],
    "one index": [_piece(0, '{"a": 1}', "one"), _piece(0, '{"b": "}"}', "two")],
    "no index": [_piece(None, '{"a": 1}', "one"), _piece(None, "", "two"),
                 _piece(None, '{"b": "}"}')],
}  # fmt: skip


@pytest.mark.parametrize("how", _BY_TURNS)
@pytest.mark.parametrize("is_cut", [False, True])
def test_calls_that_are_told_by_turns_become_blocks_one_after_the_other(
    how: str, is_cut: bool
) -> None:
    """Also of servers that tell them under one index, or none; also where the end is cut off."""
    stream = MessagesStream(model="m", fallback_id="msg_0")
    events = _events(stream.feed(Events(b"".join(_BY_TURNS[how]) + _END)))
    events += _events(stream.cut() if is_cut else stream.feed(Events(DONE)))
    assert _blocks(events) == [_ONE, _TWO]
    [end] = [event for event in events if event["type"] == "message_delta"]
    assert end["delta"]["stop_reason"] == "tool_use"


def test_calls_one_after_the_other_are_told_as_they_come() -> None:
    """Only what cannot be told yet waits."""
    stream = _messages_stream()
    said = [stream.feed(Events(each)) for each in _BY_TURNS["one after the other"]]
    assert [b"partial_json" in each.raw for each in said] == [True, True, False, False, True]


def test_what_is_said_between_pieces_of_a_call_waits_for_its_end() -> None:
    """And nothing of it is lost."""
    pieces = [_piece(0, '{"a"', "one", "Let me "), _piece(0, ": 1", said="look"), _piece(0, "}")]
    events = _events(_messages_stream().feed(Events(b"".join(pieces) + _END + DONE)))
    assert _blocks(events) == [("text", "Let me "), _ONE, ("text", "look")]


def test_a_call_that_goes_on_behind_its_end_is_noticed() -> None:
    """Its arguments would be other ones than were told."""
    pieces = [_piece(0, "{}", "one"), _piece(1, "{}", "two"), _piece(0, '{"a": 1}')]
    with pytest.raises(ValueError, match="behind its end"):
        _messages_stream().feed(Events(b"".join(pieces)))


def test_what_a_block_has_from_its_beginning_is_said() -> None:
    """As some who copied Anthropic's API stream; a count without a reason is no end."""
    call = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": {"id": "msg_1", "model": "m"}},
        {"type": "content_block_start", "index": 0,
         "content_block": {"type": "thinking", "thinking": "hm", "signature": ""}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": call},
        {"type": "content_block_stop", "index": 1},
        {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 1}},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    ]  # fmt: skip
    run = _chat_stream().feed(Events(b"".join(encode(e, e["type"]) for e in events)))
    choices = [choice for chunk in _events(run) for choice in chunk["choices"]]
    deltas = [choice["delta"] for choice in choices]
    assert [delta["reasoning_content"] for delta in deltas if "reasoning_content" in delta] == [
        "hm"
    ]
    calls = [each["function"] for delta in deltas for each in delta.get("tool_calls", ())]
    assert "".join(each["arguments"] for each in calls) == '{"a":1}'
    assert [c["finish_reason"] for c in choices if c["finish_reason"]] == ["tool_calls"]


def test_probabilities_go_along_where_they_are_read() -> None:
    """Each token once, also of chunks that say nothing; without the wish none of them."""
    chunks: list[dict[str, Any]] = [
        {"choices": [{"delta": {"content": text}, "logprobs": {"content": [{"logprob": n}]}}]}
        for n, text in enumerate(["", "a", "b", ""])
    ]
    stream = b"".join(encode(chunk) for chunk in chunks) + DONE
    told = _events(MessagesStream(model="m", fallback_id="x", tells=True).feed(Events(stream)))
    found = [e["logprobs"]["content"] for e in told if "logprobs" in e]
    assert found == [[{"logprob": 0}, {"logprob": 1}], [{"logprob": 2}], [{"logprob": 3}]]
    assert b"logprob" not in _messages_stream().feed(Events(stream)).raw


def test_events_that_are_not_json_objects_are_noticed() -> None:
    """A translator does not guess: it raises, and the answer is broken."""
    for data in (b"data: {\n\n", b"data: []\n\n"):
        with pytest.raises((ValueError, TypeError)):
            _chat_stream().feed(Events(data))


def _random_json(dice: random.Random, depth: int = 0) -> Any:
    kind = dice.randrange(7 if depth < 5 else 4)
    if kind < 4:
        return dice.choice([None, True, 0, 1, 2.5, "", "x", *WORDS])
    if kind == 4:
        return [_random_json(dice, depth + 1) for _ in range(dice.randrange(3))]
    return {dice.choice(WORDS): _random_json(dice, depth + 1) for _ in range(dice.randrange(5))}


def test_any_json_is_translated_or_refused() -> None:
    """Whatever a client sends, the request translators never fail in any other way."""
    dice = random.Random(20)
    refused = 0
    for _ in range(4000):
        body = {name: _random_json(dice) for name in FIELDS if dice.random() < 0.2}
        messages = [
            {"role": dice.choice(["user", "assistant", "tool", "system", []]),
             "content": [_random_json(dice)], "tool_calls": [_random_json(dice)]}
            for _ in range(dice.randrange(3))
        ]  # fmt: skip
        difference({"max_tokens": 1, "messages": [HI, *messages], **body})
        for translate in (_to_messages, _to_chat):
            try:
                translate(**{"messages": [HI, *messages], **body})
            except InvalidRequest as error:
                refused += error.param is not None
    assert 1000 < refused < 8000


def test_translation_leaves_the_call_as_it_was() -> None:
    """The same body goes to the next target when this one fails."""
    body = {
        "model": "m",
        "messages": [HI, {"role": "assistant", "content": [{"type": "text", "text": "x "}]}],
    }
    before = orjson.dumps(body)
    messages_request(body, default_max_tokens=1)
    chat_request(body, max_tokens_field="max_tokens", ask_for_usage=True)
    assert orjson.dumps(body) == before


def test_arguments_without_end_are_given_up() -> None:
    """Law 9: they are kept until the call is over."""
    stream = _messages_stream()
    function = {"name": "f", "arguments": "x" * 1024 * 1024}
    call = {"index": 0, "id": "a", "function": function}
    run = Events(encode({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}))
    for _ in range(15):
        stream.feed(run)
    with pytest.raises(ValueError, match="longer"):
        stream.feed(run)
