"""Gemini's generateContent behind our chat and Messages endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import anthropic
import openai
import orjson
import pytest

from router.config.providers import ProviderConfig
from router.errors import (
    Failure,
    InvalidRequest,
    TargetBroken,
    TargetRejected,
    TargetUnavailable,
)
from router.targets.base import Answer, Call
from router.targets.frontier import FrontierTarget, frontier_targets
from router.targets.http_client import HttpClient
from router.wire.endpoint import Endpoint, Usage
from tests.fakes.door import door
from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier_gemini import SIGNATURE, SKIPPED, FakeGemini
from tests.fakes.streams import objects

API_KEY = "AIzaSyExampleExampleExampleExampleExamp"
MODEL = "gemini-3-flash"
OLDER = "gemini-2.5-flash"
USER: Any = {"role": "user", "content": "say well done"}
BOTH: Any = {"role": "user", "content": "call stock and clock"}
SCHEMA: Any = {"type": "object", "properties": {"sku": {"type": "string"}}}
CHAT_TOOLS: Any = [
    {"type": "function", "function": {"name": "stock", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "clock"}},
]
MESSAGES_TOOLS: Any = [
    {"name": "stock", "input_schema": SCHEMA},
    {"name": "clock", "input_schema": {"type": "object", "properties": {}}},
]


@pytest.fixture(scope="module")
def server() -> Iterator[FakeGemini]:
    """One server for the module."""
    with FakeGemini(api_key=API_KEY, cached_tokens=2, obeys=False) as running:
        yield running


@pytest.fixture
def gemini(server: FakeGemini) -> FakeGemini:
    """The server, having forgotten the tests before."""
    server.forget()
    server.finish_reason = server.blocks = server.tokens = None
    server.thinks, server.counts = False, "always"
    return server


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    """A client that is closed after the test."""
    async with HttpClient() as client:
        yield client


def configured(url: str, name: str = MODEL, **more: Any) -> ProviderConfig:
    """One model of Google's."""
    price = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2, "max_output_tokens": 77}
    raw = {
        "name": "google",
        "dialect": "gemini",
        "base_url": url,
        "api_key_env": "GOOGLE_KEY",
        "models": [{"id": name, "capabilities": ["chat", "prefill"], **price}],
    }
    return ProviderConfig.model_validate({**raw, **more})


def target_of(
    client: HttpClient, server: FakeGemini, key: str = API_KEY, name: str = MODEL, **more: Any
) -> FrontierTarget:
    """The model as a target."""
    config = configured(server.url, name, **more)
    [found] = frontier_targets(client, [config], {"GOOGLE_KEY": key}).values()
    return found


@pytest.fixture
def model(client: HttpClient, gemini: FakeGemini) -> FrontierTarget:
    """A model of the server."""
    return target_of(client, gemini)


def call(endpoint: Endpoint = Endpoint.CHAT, **extra: Any) -> Call:
    """A question."""
    body = {"model": MODEL, "messages": [USER], **extra}
    if endpoint is Endpoint.MESSAGES:
        body = {"max_tokens": 50, **body}
    warned: list[str] = []
    return Call(endpoint, body, bool(extra.get("stream")), "req-1", 5.0, warn=warned.append)


async def read(target: FrontierTarget, asked: Call) -> tuple[bytes, Usage]:
    """A whole answer, as bytes, and its counts."""
    answer = await target.send(asked)
    try:
        return b"".join([chunk.raw async for chunk in answer.chunks()]), answer.usage
    finally:
        await answer.aclose()


async def collect(answer: Answer, said: bytearray) -> None:
    """Read an answer into ``said``, as far as it goes."""
    async for piece in answer.chunks():
        said += piece.raw


# With the vendors' own clients


def called(calls: Sequence[Any] | None) -> list[tuple[str, Any]]:
    """Which tools chat calls, with what."""
    return [(c.function.name, orjson.loads(c.function.arguments)) for c in calls or ()]


@pytest.mark.parametrize("stream", [False, True])
async def test_chat_through_openais_sdk(
    model: FrontierTarget, gemini: FakeGemini, stream: bool
) -> None:
    """Text, then tools, whose calls go back with what they were signed with."""
    async with door(model) as url:
        sdk = openai.AsyncOpenAI(base_url=url + "/v1", api_key="x", max_retries=0)

        async def ask(messages: list[Any], **more: Any) -> Any:
            if not stream:
                return await sdk.chat.completions.create(model=MODEL, messages=messages, **more)
            options: Any = {"include_usage": True}
            async with sdk.chat.completions.stream(
                model=MODEL, messages=messages, stream_options=options, **more
            ) as events:
                return await events.get_final_completion()

        said = await ask([USER])
        assert said.choices[0].message.content == "well done"
        assert said.choices[0].finish_reason == "stop"
        assert said.usage.prompt_tokens == 3
        assert said.usage.prompt_tokens_details.cached_tokens == 2
        used = await ask([BOTH], tools=CHAT_TOOLS)
        message = used.choices[0].message
        assert called(message.tool_calls) == [("stock", {"sku": "x"}), ("clock", {})]
        assert used.choices[0].finish_reason == "tool_calls"
        done = [
            {"role": "tool", "tool_call_id": c.id, "content": '{"left": 3}'}
            for c in message.tool_calls
        ]
        again = {"role": "assistant", "tool_calls": [c.to_dict() for c in message.tool_calls]}
        last = await ask([BOTH, again, *done], tools=CHAT_TOOLS)
        assert last.choices[0].message.content == "Hello from the frontier."
        await sdk.close()
    _, turn, results = gemini.requests[-1].body["contents"]
    assert [part.get("thoughtSignature") for part in turn["parts"]] == [SIGNATURE, None]
    first = results["parts"][0]["functionResponse"]
    assert (first["name"], first["response"]) == ("stock", {"output": {"left": 3}})


@pytest.mark.parametrize("stream", [False, True])
async def test_messages_through_anthropics_sdk(
    model: FrontierTarget, gemini: FakeGemini, stream: bool
) -> None:
    """Thoughts, text and tool calls; a signature is kept by a block that clients give back."""
    gemini.thinks = True
    async with door(model) as url:
        sdk = anthropic.AsyncAnthropic(base_url=url, api_key="x", max_retries=0)

        async def ask(messages: list[Any]) -> Any:
            asked: Any = {"model": MODEL, "max_tokens": 50, "messages": messages}
            asked |= {"tools": MESSAGES_TOOLS} if messages[0] is BOTH else {}
            if not stream:
                return await sdk.messages.create(**asked)
            async with sdk.messages.stream(**asked) as events:
                return await events.get_final_message()

        said = await ask([USER])
        assert [block.type for block in said.content] == ["thinking", "text"]
        assert (said.content[0].thinking, said.content[1].text) == ("Hm.", "well done")
        assert said.usage.cache_read_input_tokens == 2
        assert said.usage.output_tokens == 7  # thoughts are paid for
        used = await ask([BOTH])
        assert used.stop_reason == "tool_use"
        calls = [(b.name, b.input) for b in used.content if b.type == "tool_use"]
        assert calls == [("stock", {"sku": "x"}), ("clock", {})]
        results = [
            {"type": "tool_result", "tool_use_id": b.id, "content": "3"}
            for b in used.content
            if b.type == "tool_use"
        ]
        turn = {"role": "assistant", "content": [b.to_dict() for b in used.content]}
        await ask([BOTH, turn, {"role": "user", "content": results}])
        await sdk.close()
    _, turn, told = gemini.requests[-1].body["contents"]
    assert [part.get("thoughtSignature") for part in turn["parts"]] == [SIGNATURE, None]
    assert told["parts"][0]["functionResponse"]["response"] == {"output": "3"}


# What is sent


async def test_everything_that_gemini_has_words_for(
    model: FrontierTarget, gemini: FakeGemini
) -> None:
    """Checked by Google's reference, and by what was meant."""
    picture = "data:image/png;base64,AAAA"
    parts = [
        {"type": "text", "text": "Look:"},
        {"type": "text", "text": ""},
        {"type": "image_url", "image_url": {"url": picture}},
        {"type": "image_url", "image_url": {"url": "https://x.example/a.jpg?b=1"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}},
    ]
    asked = call(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
            {"role": "user", "content": parts},
        ],
        temperature=1.5, top_p=0.9, top_k=5, n=2, seed=7, stop="END", presence_penalty=0.1,
        frequency_penalty=0.2, max_completion_tokens=40, logprobs=True, top_logprobs=1,
        reasoning_effort="low", tools=[{**CHAT_TOOLS[0]}], tool_choice="auto", user="u",
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},
        safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        thinkingConfig={"includeThoughts": True},
    )  # fmt: skip
    await read(model, asked)
    [received] = gemini.requests
    sent = received.body
    assert received.path == f"/v1beta/models/{MODEL}:generateContent"
    assert sent["systemInstruction"]["parts"] == [{"text": "Be brief."}, {"text": "Be kind."}]
    assert sent["generationConfig"] == {
        "temperature": 1.5, "topP": 0.9, "topK": 5, "candidateCount": 2, "seed": 7,
        "stopSequences": ["END"], "presencePenalty": 0.1, "frequencyPenalty": 0.2,
        "maxOutputTokens": 40, "responseLogprobs": True, "logprobs": 1,
        "responseMimeType": "application/json", "responseJsonSchema": SCHEMA,
        "thinkingConfig": {"thinkingLevel": "low", "includeThoughts": True},
    }  # fmt: skip
    assert sent["tools"] == [
        {"functionDeclarations": [{"name": "stock", "parametersJsonSchema": SCHEMA}]}
    ]
    assert sent["toolConfig"] == {"functionCallingConfig": {"mode": "AUTO"}}
    assert sent["contents"] == [
        {
            "role": "user",
            "parts": [
                {"text": "Look:"},
                {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                {"fileData": {"fileUri": "https://x.example/a.jpg?b=1", "mimeType": "image/jpeg"}},
                {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
                {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}},
            ],
        }
    ]
    assert sent["safetySettings"][0]["threshold"] == "BLOCK_NONE"
    assert sent.keys().isdisjoint({"model", "stream", "messages", "user"})


@pytest.mark.parametrize(
    ("choice", "mode", "names"),
    [
        ("none", {"mode": "NONE"}, ["stock", "clock"]),
        ("required", {"mode": "ANY"}, ["stock", "clock"]),
        (
            {"type": "function", "function": {"name": "clock"}},
            {"mode": "ANY", "allowedFunctionNames": ["clock"]},
            ["stock", "clock"],
        ),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "auto",
                    "tools": [{"type": "function", "function": {"name": "clock"}}],
                },
            },
            {"mode": "AUTO"},
            ["clock"],
        ),
    ],
)
async def test_which_tools_may_be_used(
    model: FrontierTarget, gemini: FakeGemini, choice: Any, mode: Any, names: list[str]
) -> None:
    """What only Gemini's surest way allows is allowed by telling of nothing else."""
    said, _ = await read(model, call(messages=[BOTH], tools=CHAT_TOOLS, tool_choice=choice))
    sent = gemini.requests[0].body
    assert sent["toolConfig"]["functionCallingConfig"] == mode
    assert [each["name"] for each in sent["tools"][0]["functionDeclarations"]] == names
    assert (b"tool_calls" in said) is (choice != "none")


@pytest.mark.parametrize(
    ("name", "effort", "config"),
    [
        (MODEL, "high", {"thinkingLevel": "high"}),
        (MODEL, "none", {"thinkingLevel": "minimal"}),
        (OLDER, "medium", {"thinkingBudget": 8192}),
        (OLDER, "none", {"thinkingBudget": 0}),
    ],
)
async def test_how_long_it_thinks(
    model: FrontierTarget, gemini: FakeGemini, name: str, effort: str, config: Any
) -> None:
    """In the words of its generation."""
    await read(model, call(model=name, reasoning_effort=effort))
    assert gemini.requests[0].body["generationConfig"]["thinkingConfig"] == config


@pytest.mark.parametrize(
    ("more", "config"),
    [
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            {"thinkingBudget": 2048, "includeThoughts": True},
        ),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
            {"thinkingLevel": "high", "includeThoughts": True},
        ),
        ({"thinking": {"type": "disabled"}}, None),
        (
            {"thinking": {"type": "adaptive"}, "thinkingConfig": {"thinkingBudget": 3}},
            {"thinkingBudget": 3},
        ),
    ],
)
async def test_messages_wish_to_think(
    model: FrontierTarget, gemini: FakeGemini, more: Any, config: Any
) -> None:
    """Is heard, and not named as left out."""
    warned: list[str] = []
    asked = call(Endpoint.MESSAGES, **more)
    answer = await model.send(Call(asked.endpoint, asked.body, False, "r", 5.0, warn=warned.append))
    await answer.aclose()
    assert gemini.requests[0].body["generationConfig"].get("thinkingConfig") == config
    assert warned == []


@pytest.mark.parametrize("name", [MODEL, OLDER])
async def test_calls_of_another_model(client: HttpClient, gemini: FakeGemini, name: str) -> None:
    """Are told so to models that refuse unsigned ones; a result that is no object goes as text."""
    calls = [
        {"id": n, "type": "function", "function": {"name": "clock", "arguments": said}}
        for n, said in (("a", ""), ("b", '{"zone": "CET"}'))
    ]
    told = '{"id": 12345678901234567890}'  # which a double cannot hold
    messages = [
        USER,
        {"role": "assistant", "content": "Well.", "refusal": "No.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "a", "content": told},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "noon"}]},
        {"role": "user", "content": "And?"},
    ]
    target = target_of(client, gemini, name=name)
    await read(target, call(model=name, messages=messages, tools=CHAT_TOOLS))
    _, turn, results, _ = gemini.requests[0].body["contents"]
    assert turn["role"] == "model"
    assert turn["parts"][:2] == [{"text": "Well."}, {"text": "No."}]
    signature = {"thoughtSignature": SKIPPED} if name == MODEL else {}
    assert (
        turn["parts"][2] == {"functionCall": {"id": "a", "name": "clock", "args": {}}} | signature
    )
    assert turn["parts"][3]["functionCall"]["args"] == {"zone": "CET"}
    answers = [part["functionResponse"] for part in results["parts"]]
    assert answers == [
        {"id": "a", "name": "clock", "response": {"output": told}},
        {"id": "b", "name": "clock", "response": {"output": "noon"}},
    ]


async def test_a_signature_of_somebody_else_is_not_taken_for_googles(
    model: FrontierTarget, gemini: FakeGemini
) -> None:
    """A thought that Claude signed says nothing to Gemini, nor does one that is no signature."""
    block = {"type": "tool_use", "id": "t1", "name": "clock", "input": {}}
    for signature in ("c2lnbmVkLWJ5LWNsYXVkZQ==", "google.not a signature"):
        thought = {"type": "thinking", "thinking": "Hm.", "signature": signature}
        turns = [
            BOTH,
            {"role": "assistant", "content": [thought, block]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1"}]},
        ]
        await read(model, call(Endpoint.MESSAGES, messages=turns, tools=MESSAGES_TOOLS))
        parts = gemini.requests[-1].body["contents"][1]["parts"]
        assert [part["thoughtSignature"] for part in parts] == [SKIPPED]


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "cake"}]}]}, "messages.0.content.0"),
        (
            {"messages": [USER, {"role": "tool", "tool_call_id": "z", "content": "x"}]},
            "messages.1.tool_call_id",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
            "messages.0.content.0.image_url.url",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": 1}}]}]},
            "messages.0.content.0",
        ),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools.0"),
        ({"tools": CHAT_TOOLS, "tool_choice": "some"}, "tool_choice"),
        ({"tools": CHAT_TOOLS, "tool_choice": ["auto"]}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"response_format": 3}, "response_format"),
        ({"reasoning_effort": ["low"]}, "reasoning_effort"),
        ({"thinkingConfig": 3}, "thinkingConfig"),
    ],
)
async def test_what_gemini_cannot_say_is_refused_by_name(
    model: FrontierTarget, gemini: FakeGemini, extra: dict[str, Any], param: str
) -> None:
    """Nobody is asked."""
    with pytest.raises(InvalidRequest) as raised:
        await model.send(call(**extra))
    assert raised.value.param == param
    assert not gemini.requests


@pytest.mark.parametrize("endpoint", [Endpoint.CHAT, Endpoint.MESSAGES])
async def test_what_is_left_out_is_named(model: FrontierTarget, endpoint: Endpoint) -> None:
    """In the words of the client's API."""
    warned: list[str] = []
    if endpoint is Endpoint.CHAT:
        more: Any = {
            "logit_bias": {"1": 2},
            "tools": CHAT_TOOLS,
            "parallel_tool_calls": False,
            "messages": [USER, {"role": "system", "content": "x"}, {**USER, "name": "Ann"}],
        }
        expected = {
            "logit_bias",
            "parallel_tool_calls",
            "messages.name",
            "messages (system messages come first)",
        }
    else:
        choice = {"type": "auto", "disable_parallel_tool_use": True}
        more = {"top_k": 3, "tools": MESSAGES_TOOLS, "tool_choice": choice}
        expected = {"top_k", "tool_choice.disable_parallel_tool_use"}
    asked = call(endpoint, **more)
    answer = await model.send(Call(asked.endpoint, asked.body, False, "r", 5.0, warn=warned.append))
    await answer.aclose()
    assert set(warned) == expected


async def test_a_beginning_is_gone_on_from(model: FrontierTarget, gemini: FakeGemini) -> None:
    """By models whose card says so."""
    assert model.can_continue(Endpoint.CHAT)
    assert model.can_continue(Endpoint.RESPONSES)
    assert not model.can_continue(Endpoint.COMPLETIONS)
    asked = call()
    await read(model, Call(asked.endpoint, asked.body, False, "r", 5.0, prefill="well"))
    last = gemini.requests[0].body["contents"][-1]
    assert last == {"role": "model", "parts": [{"text": "well"}]}


async def test_the_endpoints_that_it_has(model: FrontierTarget) -> None:
    """Others are refused with the remedy, whatever the card claims."""
    with pytest.raises(InvalidRequest, match="/v1/chat/completions, /v1/messages, /v1/responses"):
        await model.send(Call(Endpoint.COMPLETIONS, {"prompt": "x"}, False, "r", 5.0))


# What comes back


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("endpoint", [Endpoint.CHAT, Endpoint.MESSAGES])
async def test_tokens_are_counted(
    model: FrontierTarget, gemini: FakeGemini, endpoint: Endpoint, stream: bool
) -> None:
    """The whole prompt, cached part included; thoughts are answer."""
    gemini.thinks = True
    assert (await read(model, call(endpoint, stream=stream)))[1] == Usage(3, 7, 2)


async def test_only_who_asks_sees_the_counts_of_a_stream(model: FrontierTarget) -> None:
    """As chat has it."""
    silent, _ = await read(model, call(stream=True))
    assert b'"usage"' not in silent
    told, _ = await read(model, call(stream=True, stream_options={"include_usage": True}))
    assert told.count(b'"usage"') == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_several_answers_with_probabilities(model: FrontierTarget, stream: bool) -> None:
    """Each has its number, its end and its tokens."""
    said, _ = await read(model, call(n=2, logprobs=True, top_logprobs=1, stream=stream))
    found = [each for each in objects(said) if each] if stream else [orjson.loads(said)]
    choices = [choice for each in found for choice in each["choices"]]
    for number in (0, 1):
        own = [choice for choice in choices if choice["index"] == number]
        tokens = [t for c in own for t in ((c["logprobs"] or {}).get("content") or ())]
        assert [each["token"] for each in tokens] == ["well", " done"]
        assert tokens[0]["bytes"] == list(b"well")
        assert [each["logprob"] for each in tokens[0]["top_logprobs"]] == [-0.5, -1.5]
        assert [c["finish_reason"] for c in own if c["finish_reason"]] == ["stop"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reason", "chats", "theirs"),
    [
        ("STOP", "stop", "end_turn"),
        ("MAX_TOKENS", "length", "max_tokens"),
        ("SAFETY", "content_filter", "refusal"),
        ("PROHIBITED_CONTENT", "content_filter", "refusal"),
        ("RECITATION", "content_filter", "refusal"),
    ],
)
async def test_why_it_ended(
    model: FrontierTarget, gemini: FakeGemini, reason: str, chats: str, theirs: str, stream: bool
) -> None:
    """A filter's stop is a refusal."""
    gemini.finish_reason = reason
    chat, _ = await read(model, call(stream=stream))
    assert f'"finish_reason":"{chats}"'.encode() in chat
    told, _ = await read(model, call(Endpoint.MESSAGES, stream=stream))
    assert f'"stop_reason":"{theirs}"'.encode() in told


@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_that_it_does_not_read(
    model: FrontierTarget, gemini: FakeGemini, stream: bool
) -> None:
    """Is a refusal, which says why."""
    gemini.blocks = "PROHIBITED_CONTENT"
    chat, _ = await read(model, call(stream=stream))
    assert b'"finish_reason":"content_filter"' in chat
    assert b"The prompt was blocked: PROHIBITED_CONTENT." in chat
    told, _ = await read(model, call(Endpoint.MESSAGES, stream=stream))
    assert b'"stop_reason":"refusal"' in told


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "OTHER", "OF_TOMORROW"])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_broke_off_is_no_success(
    model: FrontierTarget, gemini: FakeGemini, reason: str, stream: bool
) -> None:
    """The model's own failure."""
    gemini.finish_reason = reason
    with pytest.raises(TargetBroken, match=reason):
        await read(model, call(stream=stream))


@pytest.mark.parametrize("endpoint", [Endpoint.CHAT, Endpoint.MESSAGES])
async def test_an_error_in_a_stream(
    model: FrontierTarget, gemini: FakeGemini, endpoint: Endpoint
) -> None:
    """Ends it, after what was said before."""
    gemini.misbehave(Fault(Kind.ERROR_MIDWAY, message="not today"))
    answer = await model.send(call(endpoint, stream=True, messages=[{**USER, "content": "hi"}]))
    said = bytearray()
    with pytest.raises(TargetBroken, match="not today") as raised:
        await collect(answer, said)
    assert b"Hello" in said
    assert raised.value.code == "overloaded_error"


@pytest.mark.parametrize(
    "kind",
    [
        Kind.CUT, Kind.CUT_IN_EVENT, Kind.BREAK_OFF, Kind.MALFORMED, Kind.GIANT, Kind.NO_END,
    ],
)  # fmt: skip
async def test_a_broken_stream_is_no_success(
    model: FrontierTarget, gemini: FakeGemini, kind: Kind
) -> None:
    """What came before the break is passed on, as whole events."""
    gemini.misbehave(Fault(kind, after=1))
    answer = await model.send(call(stream=True))
    said = bytearray()
    with pytest.raises(TargetBroken):
        await collect(answer, said)
    await answer.aclose()
    assert b"well" in said
    assert said.endswith(b"\n\n")
    assert b"[DONE]" not in said


async def test_a_stream_that_counts_nothing_at_its_end_is_whole(
    model: FrontierTarget, gemini: FakeGemini
) -> None:
    """Each candidate said why it ended, and nothing came after it; what was counted is kept."""
    gemini.counts = "early"
    said, usage = await read(model, call(stream=True))
    assert said.endswith(b"data: [DONE]\n\n")
    assert usage == Usage(3, 2, 2)
    gemini.counts = "never"
    said, usage = await read(model, call(stream=True))
    assert said.endswith(b"data: [DONE]\n\n")
    assert usage == Usage()


@pytest.mark.parametrize(
    "kind", [Kind.MALFORMED, Kind.CUT, Kind.EMPTY, Kind.ERROR_IN_200, Kind.HTML]
)
async def test_a_broken_whole_answer_is_no_success(
    model: FrontierTarget, gemini: FakeGemini, kind: Kind
) -> None:
    """Neither half of it, nor an error, nor a web page."""
    gemini.misbehave(kind)
    with pytest.raises(TargetBroken):
        await read(model, call())


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_does_not_say_why_it_ended(
    model: FrontierTarget, gemini: FakeGemini, stream: bool
) -> None:
    """Is not whole."""
    gemini.finish_reason = ""
    with pytest.raises(TargetBroken):
        await read(model, call(stream=stream))


# Errors


def faulty(status: int, message: str = "no", code: str | None = None) -> Fault:
    """An error of Google's."""
    return Fault(Kind.STATUS, status=status, message=message, code=code)


@pytest.mark.parametrize("stream", [False, True])
async def test_errors_are_sorted(model: FrontierTarget, gemini: FakeGemini, stream: bool) -> None:
    """By whose fault they are; what Google says is heard, in the client's words."""
    gemini.misbehave(faulty(400, "Invalid value at 'generation_config.temperature' (float)"))
    with pytest.raises(TargetRejected, match="Invalid value at 'temperature'"):
        await read(model, call(stream=stream))
    over = "The input token count (1048580) exceeds the maximum number of tokens allowed (1048576)."
    gemini.misbehave(faulty(400, over))
    with pytest.raises(TargetRejected) as overflow:
        await read(model, call(stream=stream))
    assert overflow.value.code == "context_length_exceeded"
    for status, failure in (
        (429, Failure.LIMITED),
        (401, Failure.CREDENTIALS),
        (403, Failure.CREDENTIALS),
        (404, Failure.MISSING),
        (504, Failure.TIMEOUT),
        (500, Failure.SERVER),
        (503, Failure.SERVER),
    ):
        gemini.misbehave(faulty(status))
        with pytest.raises(TargetUnavailable) as raised:
            await read(model, call(stream=stream))
        assert raised.value.failure is failure


@pytest.mark.parametrize("code", ["reason:API_KEY_INVALID", "FAILED_PRECONDITION"])
async def test_a_400_about_our_account_is_not_the_clients_fault(
    model: FrontierTarget, gemini: FakeGemini, code: str
) -> None:
    """Another target may answer; what is said about the key stays here."""
    gemini.misbehave(faulty(400, f"API key {API_KEY} not valid", code))
    with pytest.raises(TargetUnavailable) as raised:
        await read(model, call())
    assert raised.value.failure is Failure.CREDENTIALS
    assert API_KEY not in str(raised.value)


async def test_a_wrong_key_is_set_aside(
    client: HttpClient, gemini: FakeGemini, tmp_path: Any
) -> None:
    """Google says 400 of it; the next one is tried."""
    path = tmp_path / "keys"
    path.write_text(f"AIzaWrong\n{API_KEY}\n")
    target = target_of(client, gemini, api_key_env=None, api_key_file=path)
    for _ in range(3):
        await read(target, call())
    keys = [each.headers["x-goog-api-key"] for each in gemini.requests]
    assert keys.count("AIzaWrong") == 1
    assert keys.count(API_KEY) == 3
