"""Responses asked of APIs that have none: every field and item said, refused or named."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses.response_create_params import ResponseCreateParamsBase

from router.errors import InvalidRequest, NotKept
from router.wire.dialects import dialect_of
from router.wire.dialects.base import Traits
from router.wire.endpoint import Endpoint
from tests.fakes.through_chat import FUNCTION, HI, PATCH, SCHEMA, Json, ask

TRANSLATED = ["openai", "azure", "anthropic", "bedrock", "gemini", "vertex", "vllm"]
PICTURE = "data:image/png;base64,aGk="
FILE = "data:application/pdf;base64,aGk="


def messages(items: Any, **more: Any) -> list[Json]:
    """The chat that becomes of these items."""
    found: list[Json] = ask("openai", {"input": items, **more}).body["messages"]
    return found


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
            "input.0.arguments",
        ),
        (
            "gemini",
            {
                "input": [
                    HI,
                    {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
                    {"type": "function_call", "call_id": "b", "name": "f", "arguments": "[]"},
                ]
            },
            "input.2.arguments",
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
