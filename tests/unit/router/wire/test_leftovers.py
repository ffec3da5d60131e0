"""Of every field that the vendors' SDKs know, in every translation: said, refused or named."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from anthropic.types.message_create_params import MessageCreateParamsBase as MessagesParams
from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import response_create_params

from router.errors import InvalidRequest
from router.targets.base import Call
from router.wire.dialects import dialect_of
from router.wire.dialects.base import Asked, Traits
from router.wire.endpoint import Endpoint
from tests.fakes.installed_vllm import installed

HI: dict[str, Any] = {"role": "user", "content": "hi"}
BASES: dict[Endpoint, dict[str, Any]] = {
    Endpoint.CHAT: {"model": "m", "messages": [HI]},
    Endpoint.MESSAGES: {"model": "m", "messages": [HI], "max_tokens": 5},
    Endpoint.RESPONSES: {"model": "m", "input": "hi"},
    Endpoint.COMPLETIONS: {"model": "m", "prompt": "hi"},
    Endpoint.EMBEDDINGS: {"model": "m", "input": "hi"},
}
SCHEMA = {"type": "object", "properties": {}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
CUSTOM = {"name": "f", "input_schema": SCHEMA}
CHAT: dict[str, Any] = {
    "audio": {"voice": "alloy", "format": "wav"},
    "frequency_penalty": 0.5,
    "function_call": "auto",
    "functions": [{"name": "f"}],
    "logit_bias": {"7": 1},
    "logprobs": True,
    "max_completion_tokens": 7,
    "max_tokens": 7,
    "messages": [said := {"role": "system", "content": "be kind"}, HI],
    "metadata": {"a": "b"},
    "modalities": ["text", "audio"],
    "model": "other",
    "moderation": {"model": "x"},
    "n": 2,
    "parallel_tool_calls": False,
    "prediction": {"type": "content", "content": "x"},
    "presence_penalty": 0.5,
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
    "reasoning_effort": "low",
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},
    "safety_identifier": "s",
    "seed": 7,
    "service_tier": "flex",
    "stop": ["END"],
    "store": True,
    "stream_options": {"include_usage": True},
    "temperature": 0.3,
    "tool_choice": "required",
    "tools": [TOOL],
    "top_logprobs": 2,
    "top_p": 0.5,
    "user": "u",
    "verbosity": "low",
    "web_search_options": {"search_context_size": "low"},
}
MESSAGES: dict[str, Any] = {
    "cache_control": {"type": "ephemeral"},
    "container": "c",
    "diagnostics": {"a": True},
    "inference_geo": "us",
    "max_tokens": 7,
    "messages": [HI, {"role": "assistant", "content": "a"}, HI],
    "metadata": {"user_id": "u"},
    "model": "other",
    "output_config": {"effort": "low"},
    "service_tier": "standard_only",
    "speed": "fast",
    "stop_sequences": ["END"],
    "stream": True,
    "system": "be kind",
    "temperature": 0.3,
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "tool_choice": {"type": "any"},
    "tools": [CUSTOM],
    "top_k": 3,
    "top_p": 0.5,
    "user_profile_id": "p",
    "workspace_id": "w",
    "mcp_servers": [{"name": "s", "url": "https://example.com"}],
    "context_management": {"edits": []},
}
RESPONSES: dict[str, Any] = {
    "access_programs": ["a"],
    "background": True,
    "background_options": {"a": 1},
    "context_management": [{"type": "compaction"}],
    "conversation": "conv",
    "image": {"a": 1},
    "moderation": {"model": "x"},
    "previous_response_id": "resp",
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
    "safety_identifier": "s",
    "stream_options": {"include_obfuscation": False},
}
ANSWERED = ("said", "refused", "named")
HINTS = frozenset(
    {
        "cache_control",  # what is cached where nobody has to ask for it
        "metadata",  # of what a provider stores; nothing is stored
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",  # ours: whose data it is
        "stream_options",  # ours, where the other API always counts
        "user",
    }
)
"""What no answer depends on, and need not be named."""
TOGETHER = {"tool_choice": ("tools",), "parallel_tool_calls": ("tools",)}
"""Means something only with others."""


def fields_of(params: Any) -> set[str]:
    """The fields of a request, as an SDK types it."""
    return set(params.__annotations__)


def ask(dialect: str, endpoint: Endpoint, body: dict[str, Any], traits: Traits) -> Asked:
    """What a target of the dialect is sent."""
    call = Call(endpoint, body, bool(body.get("stream")), "req", 5.0)
    return dialect_of(dialect).ask(call, traits)


def outcome(
    dialect: str, endpoint: Endpoint, name: str, samples: dict[str, Any], traits: Traits
) -> str:
    """``said``, ``refused`` or ``named``; ``dropped`` when none; ``?``: another field was."""
    base = {**BASES[endpoint], **{other: samples[other] for other in TOGETHER.get(name, ())}}
    before = ask(dialect, endpoint, base, traits)
    try:
        asked = ask(dialect, endpoint, {**base, name: samples[name]}, traits)
    except InvalidRequest as error:
        its_own = str(error.param).split(".")[0] == name
        return "refused" if its_own or error.code == "previous_response_not_found" else "?"
    # Named by the field, or by what is inside it.
    if any(each.split(".")[0].split(" ")[0] == name for each in asked.warnings):
        return "named"
    if asked.warnings != before.warnings:
        return "?"
    return "said" if asked.body != before.body else "dropped"


NATIVE_CHAT = Traits(native=frozenset({Endpoint.CHAT}))


def test_the_samples_are_all_that_the_sdks_know() -> None:
    """A new field of an SDK makes this fail until somebody says what becomes of it."""
    assert fields_of(chat_create_params.CompletionCreateParamsBase) <= CHAT.keys()
    assert fields_of(MessagesParams) <= MESSAGES.keys()


@pytest.mark.parametrize("name", sorted(CHAT))
def test_chat_for_anthropic(name: str) -> None:
    """Every parameter of chat."""
    found = outcome("anthropic", Endpoint.CHAT, name, CHAT, Traits())
    assert found in ANSWERED or name in HINTS


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_messages_for_openai(name: str) -> None:
    """Every parameter of Messages."""
    found = outcome("openai", Endpoint.MESSAGES, name, MESSAGES, NATIVE_CHAT)
    assert found in ANSWERED or name in HINTS


def _known_to_vllm(module: str, model: str) -> set[str]:
    protocol = installed(f"{module}.protocol")
    return set(getattr(protocol, model).model_fields)


@pytest.mark.parametrize("name", sorted(CHAT))
def test_chat_for_vllm(name: str) -> None:
    """What installed vLLM has no field for, it ignores: then it is refused or named."""
    found = outcome("vllm", Endpoint.CHAT, name, CHAT, Traits())
    known = _known_to_vllm("openai.chat_completion", "ChatCompletionRequest")
    assert found in ("refused", "named") or name in known | HINTS


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_messages_for_vllm(name: str) -> None:
    """The same of Messages."""
    found = outcome("vllm", Endpoint.MESSAGES, name, MESSAGES, Traits())
    known = _known_to_vllm("anthropic", "AnthropicMessagesRequest")
    assert found in ("refused", "named") or name in known | HINTS


@pytest.mark.parametrize("name", sorted(fields_of(response_create_params.ResponseCreateParamsBase)))
def test_responses_for_vllm(name: str) -> None:
    """The same of Responses; a field without a sample here must be one that vLLM knows."""
    known = _known_to_vllm("openai.responses", "ResponsesRequest") | HINTS
    if name not in RESPONSES:
        assert name in known
        return
    found = outcome("vllm", Endpoint.RESPONSES, name, RESPONSES, Traits())
    assert found in ("refused", "named") or name in known


@pytest.mark.parametrize(
    ("endpoint", "module", "model", "params"),
    [
        (
            Endpoint.COMPLETIONS,
            "openai.completion",
            "CompletionRequest",
            completion_create_params.CompletionCreateParamsBase,
        ),
        (
            Endpoint.EMBEDDINGS,
            "pooling.embed",
            "EmbeddingCompletionRequest",
            embedding_create_params.EmbeddingCreateParams,
        ),
    ],
)
def test_prompts_for_vllm(endpoint: Endpoint, module: str, model: str, params: Any) -> None:
    """The same of completions and embeddings."""
    unknown = fields_of(params) - _known_to_vllm(module, model) - HINTS
    for name in unknown:
        asked = ask("vllm", endpoint, {**BASES[endpoint], name: 3}, Traits())
        assert name in asked.warnings


PARTS: list[tuple[str, dict[str, Any], str]] = [
    ("anthropic", {**HI, "name": "ann"}, "messages.name"),
    (
        "anthropic",
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "high"}}
            ],
        },
        "messages.content.image_url.detail",
    ),
    (
        "openai",
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": ""}]},
        "messages.content.thinking",
    ),
    (
        "openai",
        {"role": "user", "content": [{"type": "text", "text": "a", "citations": [{"a": 1}]}]},
        "messages.content.citations",
    ),
    (
        "vllm",
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t", "content": "x", "is_error": True}
            ],
        },
        "messages.content.is_error",
    ),
]


@pytest.mark.parametrize(("dialect", "message", "name"), PARTS, ids=[row[2] for row in PARTS])
def test_what_messages_hold_is_named_too(dialect: str, message: dict[str, Any], name: str) -> None:
    """Deep inside, by its path."""
    endpoint = Endpoint.CHAT if dialect == "anthropic" else Endpoint.MESSAGES
    body = {**BASES[endpoint], "messages": [HI, message, HI]}
    assert name in ask(dialect, endpoint, body, NATIVE_CHAT).warnings


@pytest.mark.parametrize(
    ("dialect", "message", "param"),
    [
        (
            "openai",
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "audio"}]}
                ],
            },
            "messages.1.content.0.content.0",
        ),
        (
            "anthropic",
            {"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": ""}},
            "messages.1.function_call",
        ),
    ],
)
def test_what_would_make_another_answer_is_refused(
    dialect: str, message: dict[str, Any], param: str
) -> None:
    """It was dropped without a word."""
    endpoint = Endpoint.CHAT if dialect == "anthropic" else Endpoint.MESSAGES
    with pytest.raises(InvalidRequest) as refused:
        ask(dialect, endpoint, {**BASES[endpoint], "messages": [HI, message]}, NATIVE_CHAT)
    assert refused.value.param == param


def test_values_that_happen_anyway_are_not_named() -> None:
    """A client that sends every default is not warned of it."""
    defaults = {"frequency_penalty": 0, "logit_bias": {}, "store": False, "service_tier": "auto"}
    body = {**BASES[Endpoint.CHAT], **defaults, "n": 1, "temperature": 1}
    assert ask("anthropic", Endpoint.CHAT, body, Traits()).warnings == ()


def test_what_is_said_in_another_way_is_named() -> None:
    """A temperature above what Messages has, a system message in the middle, who begins."""
    turns = [{"role": "assistant", "content": "hello"}, HI, said, HI]
    body = {**BASES[Endpoint.CHAT], "messages": turns, "temperature": 1.5}
    asked = ask("anthropic", Endpoint.CHAT, body, Traits())
    assert asked.body["messages"][0]["role"] == "user"
    assert asked.body["temperature"] == 1.0
    assert [each.split(" ")[0] for each in asked.warnings] == [
        "temperature",
        "messages",
        "messages",
    ]


@pytest.mark.parametrize("endpoint", [Endpoint.CHAT, Endpoint.MESSAGES, Endpoint.RESPONSES])
@pytest.mark.parametrize("stream", [False, True])
def test_what_of_geminis_answer_the_client_does_not_get_is_told(
    endpoint: Endpoint, stream: bool
) -> None:
    """By the name of the client's own API."""
    said = {"input": "hi"} if endpoint is Endpoint.RESPONSES else {"messages": [HI]}
    told: list[str] = []
    call = Call(endpoint, {"model": "m", **said}, stream, "r", 5.0, warn=told.append)
    decoder = dialect_of("gemini").ask(call, Traits(native=frozenset({Endpoint.CHAT}))).decoder
    assert decoder is not None
    picture = {"inlineData": {"mimeType": "image/png", "data": "aGk="}}
    candidate = {"content": {"parts": [picture]}, "finishReason": "STOP"}
    raw = orjson.dumps({"candidates": [candidate]})
    decoder.feed(b"data: " + raw + b"\n\n" if stream else raw, last=True)
    head = "output" if endpoint is Endpoint.RESPONSES else "message"
    assert told == [f"{head}.inlineData"]


def test_tools_that_are_allowed_now() -> None:
    """Chat's list of allowed tools becomes the list of tools."""
    other = {"type": "function", "function": {"name": "g", "parameters": SCHEMA}}
    named = {"type": "function", "function": {"name": "g"}}
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [named]}}
    body = {**BASES[Endpoint.CHAT], "tools": [TOOL, other], "tool_choice": choice}
    asked = ask("anthropic", Endpoint.CHAT, body, Traits())
    assert [tool["name"] for tool in asked.body["tools"]] == ["g"]
    assert asked.body["tool_choice"] == {"type": "any"}


def test_files_of_plain_text_arrive_as_text() -> None:
    """Messages takes no plain text in base64."""
    file = {"filename": "a.txt", "file_data": "data:text/plain;base64,R3LDvMOfZQ=="}
    content = [{"type": "file", "file": file}]
    body = {**BASES[Endpoint.CHAT], "messages": [{"role": "user", "content": content}]}
    block = ask("anthropic", Endpoint.CHAT, body, Traits()).body["messages"][0]["content"][0]
    assert block["title"] == "a.txt"
    assert block["source"] == {"type": "text", "media_type": "text/plain", "data": "Grüße"}
