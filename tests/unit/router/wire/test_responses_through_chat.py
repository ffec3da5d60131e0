"""Responses asked of APIs that have none: through chat, there and back, nothing lost unsaid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from pydantic import TypeAdapter

from router.errors import InvalidRequest, NotKept
from router.targets.base import Call
from router.wire.dialects import dialect_of
from router.wire.dialects.base import Asked, Traits, Translation
from router.wire.endpoint import Endpoint, Usage
from router.wire.events import Events
from router.wire.watch import StreamWatch
from tests.fakes.frontier_answers import Reply, ToolCall, whole
from tests.fakes.frontier_streams import streamed
from tests.fakes.streams import objects

Json = dict[str, Any]
CHAT_ONLY = Traits(native=frozenset({Endpoint.CHAT}))
TRANSLATED = ["openai", "azure", "anthropic", "bedrock", "gemini", "vertex", "vllm"]
SCHEMA: Json = {"type": "object", "properties": {"sku": {"type": "string"}}}
FUNCTION: Json = {"type": "function", "name": "look_up", "parameters": SCHEMA, "strict": False}
PATCH: Json = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Changes files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: TEXT"},
}
HI: Json = {"role": "user", "content": "hi"}
PICTURE = "data:image/png;base64,aGk="
FILE = "data:application/pdf;base64,aGk="
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def ask(dialect: str, body: Json, *, prefill: str = "", traits: Traits = CHAT_ONLY) -> Asked:
    """What a target of the dialect is sent for a Responses request."""
    body = {"model": "m", "input": "hi", **body}
    call = Call(Endpoint.RESPONSES, body, bool(body.get("stream")), "r", 5.0, prefill=prefill)
    return dialect_of(dialect).ask(call, traits)


def messages(items: Any, **more: Any) -> list[Json]:
    """The chat that becomes of these items."""
    found: list[Json] = ask("openai", {"input": items, **more}).body["messages"]
    return found


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


# What is asked


def test_a_conversation_becomes_one_of_chat() -> None:
    """Roles, several calls of one turn, their results, what was said beside them."""
    items = [
        {"role": "developer", "content": "be brief"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go."}]},
        {
            "type": "message",
            "id": "msg_1",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Two.", "annotations": []}],
        },
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": '{"x":1}'},
        {"type": "custom_tool_call", "call_id": "b", "name": "g", "input": 'say "x"'},
        {"type": "function_call_output", "call_id": "a", "output": "7"},
        {"type": "custom_tool_call_output", "call_id": "b", "output": "8"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        HI,
    ]
    assert messages(items, instructions="be kind") == [
        {"role": "system", "content": "be kind"},
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "Go."},
        {
            "role": "assistant",
            "content": "Two.",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
                {
                    "id": "b",
                    "type": "function",
                    "function": {"name": "g", "arguments": '{"input":"say \\"x\\""}'},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "7"},
        {"role": "tool", "tool_call_id": "b", "content": "8"},
        {"role": "assistant", "content": "No."},
        HI,
    ]


def test_what_is_said_between_a_call_and_its_result_is_said_with_the_call() -> None:
    """Chat has no place between them."""
    items = [
        HI,
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"role": "assistant", "content": "Wait."},
        {"type": "function_call_output", "call_id": "a", "output": "7"},
    ]
    roles = [(each["role"], each["content"]) for each in messages(items)]
    assert roles == [("user", "hi"), ("assistant", "Wait."), ("tool", "7")]


def test_pictures_and_files() -> None:
    """Of the user, and among results of tools, which chat has as text only."""
    shown = [
        {"type": "input_text", "text": "look"},
        {"type": "input_image", "image_url": PICTURE, "detail": "high"},
        {"type": "input_file", "file_data": FILE, "filename": "a.pdf"},
    ]
    items = [
        {"role": "user", "content": shown},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": shown[:2]},
        {"type": "function_call_output", "call_id": "b", "output": "8"},
    ]
    user, _, first, second, seen = messages(items)
    assert user["content"] == [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": PICTURE, "detail": "high"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": FILE}},
    ]
    assert (first["content"], second["content"]) == ("look", "8")
    assert seen == {"role": "user", "content": [user["content"][1]]}
    asked = ask("anthropic", {"input": items})
    kinds = [block["type"] for turn in asked.body["messages"] for block in turn["content"]]
    assert kinds[:3] == ["text", "image", "document"]
    assert "input.content.detail" in asked.warnings


def test_tools_and_how_they_are_to_be_used() -> None:
    """Functions, tools that take a text; those of servers are named."""
    choice = {"type": "allowed_tools", "mode": "required", "tools": [FUNCTION, PATCH]}
    tools = [FUNCTION, PATCH, {"type": "web_search", "search_context_size": "low"}]
    asked = ask("openai", {"tools": tools, "tool_choice": choice, "parallel_tool_calls": False})
    function, patch = asked.body["tools"]
    assert function["function"] == {"name": "look_up", "parameters": SCHEMA, "strict": False}
    assert patch["function"]["parameters"]["required"] == ["input"]
    assert patch["function"]["description"].endswith("lark grammar:\nstart: TEXT")
    assert asked.body["tool_choice"]["allowed_tools"]["mode"] == "required"
    assert asked.body["parallel_tool_calls"] is False
    assert asked.warnings == ("tools.format", "tools.web_search")
    named = ask("anthropic", {"tools": tools, "tool_choice": {"type": "custom", "name": "g"}})
    assert named.body["tool_choice"] == {"type": "tool", "name": "g"}


def test_bounds_forms_and_efforts() -> None:
    """Each by chat's name."""
    form = {"type": "json_schema", "name": "a", "schema": SCHEMA, "strict": True}
    body = {
        "max_output_tokens": 7,
        "text": {"format": form, "verbosity": "low"},
        "reasoning": {"effort": "high"},
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 2,
        "safety_identifier": "s",
        "user": "u",
        "stream": True,
    }
    sent = ask("openai", body).body
    del form["type"]
    assert sent["response_format"] == {"type": "json_schema", "json_schema": form}
    assert (sent["max_tokens"], sent["verbosity"], sent["reasoning_effort"]) == (7, "low", "high")
    assert (sent["logprobs"], sent["top_logprobs"], sent["user"]) == (True, 2, "s")
    assert sent["stream_options"] == {"include_usage": True}


def test_fields_of_a_vendors_own_are_handed_on() -> None:
    """As with chat and Messages; elsewhere they are named."""
    asked = ask("anthropic", {"top_k": 3, "thinking": {"type": "disabled"}})
    assert (asked.body["top_k"], asked.body["thinking"]) == (3, {"type": "disabled"})
    safety = [{"category": "a", "threshold": "b"}]
    assert ask("gemini", {"safetySettings": safety}).body["safetySettings"] == safety
    more = {"guardrailConfig": {"guardrailIdentifier": "g"}, "top_k": 3}
    sent = ask("bedrock", more).body
    assert sent["guardrailConfig"] == {"guardrailIdentifier": "g"}
    assert ask("openai", more).warnings == ("guardrailConfig", "top_k")


def test_geminis_thoughts_are_a_summary() -> None:
    """Who asks for one gets them."""
    asked = ask("gemini", {"reasoning": {"effort": "low", "summary": "auto"}})
    config = asked.body["generationConfig"]["thinkingConfig"]
    assert config == {"thinkingBudget": 1024, "includeThoughts": True}
    assert asked.warnings == ()
    others = ask("anthropic", {"reasoning": {"effort": "low", "summary": "auto"}}).warnings
    assert set(others) == {"reasoning.effort", "reasoning.summary"}


def test_what_an_assistant_began_is_gone_on_from() -> None:
    """By who can."""
    traits = Traits(native=frozenset({Endpoint.CHAT, Endpoint.RESPONSES}), can_prefill=True)
    asked = ask("openai", {}, prefill="One", traits=traits)
    assert asked.body["messages"][-1] == {"role": "assistant", "content": "One"}
    for dialect in ("anthropic", "gemini", "bedrock"):
        assert dialect_of(dialect).can_continue(Endpoint.RESPONSES, traits)
    assert "One" in str(ask("anthropic", {}, prefill="One").body["messages"][-1])


SAMPLES: Json = {
    "access_programs": ["a"],
    "background": True,
    "background_options": {"a": 1},
    "context_management": [{"type": "compaction"}],
    "conversation": "conv",
    "image": {"a": 1},
    "include": ["reasoning.encrypted_content"],
    "input": [HI, HI],
    "instructions": "be kind",
    "max_output_tokens": 7,
    "max_tool_calls": 3,
    "metadata": {"a": "b"},
    "model": "other",
    "moderation": {"model": "x"},
    "parallel_tool_calls": False,
    "previous_response_id": "resp",
    "prompt": {"id": "p"},
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
    "reasoning": {"effort": "low"},
    "safety_identifier": "s",
    "service_tier": "flex",
    "store": True,
    "stream_options": {"include_obfuscation": True},
    "temperature": 0.3,
    "text": {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}},
    "tool_choice": "required",
    "tools": [FUNCTION],
    "top_logprobs": 2,
    "top_p": 0.5,
    "truncation": "auto",
    "user": "u",
    "a_field_of_tomorrow": 1,
}
OURS = frozenset(
    {
        "metadata",  # repeated in the response
        "prompt_cache_key",  # what is cached where nobody has to ask for it
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",  # of the router: whose data it is
        "top_logprobs",  # of what `include` asks for
        "truncation",  # the router's work
        "user",
    }
)
"""What no answer depends on, and need not be named."""


def test_the_samples_are_all_that_the_sdk_knows() -> None:
    """A new field of the SDK makes this fail until somebody says what becomes of it."""
    assert ResponseCreateParamsBase.__annotations__.keys() <= SAMPLES.keys()


@pytest.mark.parametrize("dialect", TRANSLATED)
@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_field_is_said_refused_or_named(dialect: str, name: str) -> None:
    """In the client's own words."""
    needs_tools = name in ("tool_choice", "parallel_tool_calls")
    base: Json = {"tools": [FUNCTION]} if needs_tools else {}
    before = ask(dialect, base)
    asked, refused = None, ""
    try:
        asked = ask(dialect, {**base, name: SAMPLES[name]})
    except InvalidRequest as error:
        refused = str(error.param)
    if asked is None:
        its_own = "previous_response_id" if name == "conversation" else name
        assert refused.split(".")[0] == its_own
        return
    named = {each.split(".")[0].split(" ")[0] for each in asked.warnings}
    assert named <= {name}
    assert name in named or asked.body != before.body or name in OURS | {"model"}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"background": True}, "background"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input.0"),
        ({"input": [HI, {"id": "msg_1"}]}, "input.1"),
        ({"input": [HI, {"type": "computer_call_output", "call_id": "a"}]}, "input.1"),
        ({"input": [{"type": ["x"]}]}, "input.0"),
        ({"input": [{"role": "boss", "content": "x"}]}, "input.0.role"),
        ({"input": 7}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
         "input.0.content.0"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "x"}]}]},
         "input.0.content.0"),
        ({"input": [{"type": "function_call", "call_id": "a", "name": "f"}]}, "input.0.arguments"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input.0.call_id"),
        ({"text": {"format": {"type": "xml"}}}, "text.format"),
        ({"text": "x"}, "text"),
        ({"reasoning": "x"}, "reasoning"),
        ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, "tool_choice"),
        ({"tools": [FUNCTION], "tool_choice": {"type": "web_search"}}, "tool_choice"),
        ({"tools": [{"type": "function"}]}, "tools.0.name"),
        ({"tools": ["x"]}, "tools"),
        ({"instructions": 7}, "instructions"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dialect", TRANSLATED)
def test_what_would_make_another_answer_is_refused(dialect: str, body: Json, param: str) -> None:
    """By its place in what the client sent, before anybody is asked."""
    with pytest.raises(InvalidRequest) as refused:
        ask(dialect, body)
    assert refused.value.param == param
    assert f"`{param}`" in refused.value.message


@pytest.mark.parametrize(
    ("dialect", "body", "param"),
    [
        (
            "anthropic",
            {
                "instructions": "x",
                "input": [
                    HI,
                    {"role": "user", "content": [{"type": "input_image", "image_url": "ftp://x"}]},
                ],
            },
            "input.1.content.0.image_url",
        ),
        (
            "anthropic",
            {"input": [{"type": "function_call", "call_id": "a", "name": "f", "arguments": "["}]},
            "input.0.tool_calls.0.function.arguments",
        ),
        ("anthropic", {"text": {"format": {"type": "json_object"}}}, "text.format"),
        ("anthropic", {"include": ["message.output_text.logprobs"]}, "include"),
        ("gemini", {"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ("anthropic", {"input": []}, "input"),
    ],
)
def test_what_the_targets_api_cannot_say_is_refused_in_the_clients_words(
    dialect: str, body: Json, param: str
) -> None:
    """The second translation's errors are about the chat in the middle: nobody sent that."""
    with pytest.raises(InvalidRequest) as refused:
        ask(dialect, body)
    assert refused.value.param == param
    assert "messages" not in refused.value.message


@pytest.mark.parametrize("dialect", TRANSLATED)
def test_nobody_keeps_what_was_said(dialect: str) -> None:
    """By the code at which OpenAI's own libraries send the whole conversation."""
    with pytest.raises(NotKept):
        ask(dialect, {"previous_response_id": "resp_1"})


def test_items_that_are_left_out_are_named() -> None:
    """Thoughts, and what a provider's own tools did; what came of it was said."""
    items = [
        HI,
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"role": "assistant", "content": "Found."},
        {"role": "user", "content": [{"type": "input_file", "file_data": FILE, "detail": "high"}]},
    ]
    asked = ask("openai", {"input": items})
    assert [each["role"] for each in asked.body["messages"]] == ["user", "assistant", "user"]
    assert asked.warnings == ("input.reasoning", "input.web_search_call", "input.content.detail")


def test_values_that_happen_anyway_are_not_named() -> None:
    """What SDKs send of themselves warns nobody."""
    body = {
        "store": False,
        "background": False,
        "include": [],
        "service_tier": "auto",
        "stream_options": {"include_obfuscation": False},
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "truncation": "disabled",
        "temperature": 1,
        "tools": [],
    }
    for dialect in TRANSLATED:
        assert ask(dialect, body).warnings == ()


# What comes back


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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "role", "content", "text", "name", "call_id", "arguments", "output",
                 "input", "image_url", "tools", "format", "mode", "id", "encrypted_content"]
            ),
            inner | st.sampled_from(
                ["message", "user", "assistant", "input_text", "output_text", "function_call",
                 "function_call_output", "custom", "function", "reasoning", "input_image"]
            ),
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=150)
@given(
    said=JSON,
    field=st.sampled_from(["tools", "tool_choice", "text", "reasoning", "include", "instructions"]),
    value=JSON,
    dialect=st.sampled_from(["openai", "anthropic", "gemini", "bedrock"]),
)
def test_a_hostile_body_is_answered_or_refused(
    said: Any, field: str, value: Any, dialect: str
) -> None:
    """Never an error that nobody foresaw."""
    try:
        asked = ask(dialect, {"input": said, field: value})
    except InvalidRequest:
        return
    orjson.dumps(asked.body)


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
