"""Amazon Bedrock's Converse behind our chat and Messages endpoints."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import anthropic
import openai
import orjson
import pytest
from pydantic import ValidationError

from router.config.providers import MissingKey, ProviderConfig, read_keys
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
from router.wire.aws import sigv4
from router.wire.endpoint import Endpoint, Usage
from router.wire.translate.converse_to_messages import StreamedAnswer, WholeAnswer
from router.wire.translate.messages_to_converse import converse_request
from tests.fakes.door import door
from tests.fakes.faults import Fault, Kind
from tests.fakes.frontier_bedrock import AccessKey, FakeBedrock, frame

API_KEY = "ABSKQmVkcm9ja0FQSUtleS1leGFtcGxl"
PAIR = AccessKey("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "dG9rZW4=")
SIGNED = ":".join(part or "" for part in PAIR)
ARN = "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/eu.anthropic.claude-x-v1:0"
NOVA = "eu.amazon.nova-pro-v1:0"
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
def server() -> Iterator[FakeBedrock]:
    """One server for the module, which takes API keys."""
    with FakeBedrock(api_key=API_KEY, cached_tokens=2) as running:
        yield running


@pytest.fixture
def bedrock(server: FakeBedrock) -> FakeBedrock:
    """The server, having forgotten the tests before."""
    server.forget()
    server.stop_reason, server.thinks = None, False
    return server


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    """A client that is closed after the test."""
    async with HttpClient() as client:
        yield client


def configured(url: str, model: str = NOVA, **more: Any) -> ProviderConfig:
    """One model of Bedrock."""
    price = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 2, "max_output_tokens": 77}
    raw = {
        "name": "aws",
        "dialect": "bedrock",
        "base_url": url,
        "region": "eu-west-1",
        "api_key_env": "AWS_KEY",
        "models": [{"id": model, "capabilities": ["chat", "prefill"], **price}],
    }
    return ProviderConfig.model_validate({**raw, **more})


def target_of(
    client: HttpClient, server: FakeBedrock, key: str = API_KEY, model: str = NOVA
) -> FrontierTarget:
    """The model as a target."""
    [found] = frontier_targets(client, [configured(server.url, model)], {"AWS_KEY": key}).values()
    return found


@pytest.fixture
def model(client: HttpClient, bedrock: FakeBedrock) -> FrontierTarget:
    """A model of the server."""
    return target_of(client, bedrock)


def call(endpoint: Endpoint = Endpoint.MESSAGES, **extra: Any) -> Call:
    """A question."""
    body = {"model": NOVA, "messages": [USER], **extra}
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
async def test_chat_through_openais_sdk(model: FrontierTarget, stream: bool) -> None:
    """Text and tool calls, streamed or whole."""
    async with door(model) as url:
        sdk = openai.AsyncOpenAI(base_url=url + "/v1", api_key="x", max_retries=0)
        if not stream:
            said = await sdk.chat.completions.create(model=NOVA, messages=[USER])
            assert said.choices[0].message.content == "well done"
            assert said.choices[0].finish_reason == "stop"
            assert said.usage is not None
            assert said.usage.prompt_tokens == 3
            used = await sdk.chat.completions.create(model=NOVA, messages=[BOTH], tools=CHAT_TOOLS)
            told = called(used.choices[0].message.tool_calls)
            assert told == [("stock", {"sku": "x"}), ("clock", {})]
            assert used.choices[0].finish_reason == "tool_calls"
        else:
            async with sdk.chat.completions.stream(
                model=NOVA, messages=[USER], stream_options={"include_usage": True}
            ) as events:
                last = await events.get_final_completion()
            assert last.choices[0].message.content == "well done"
            assert last.usage is not None
            assert last.usage.completion_tokens == 2
            async with sdk.chat.completions.stream(
                model=NOVA, messages=[BOTH], tools=CHAT_TOOLS
            ) as events:
                used_tools = await events.get_final_completion()
            told = called(used_tools.choices[0].message.tool_calls)
            assert told == [("stock", {"sku": "x"}), ("clock", {})]
        await sdk.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_messages_through_anthropics_sdk(
    model: FrontierTarget, bedrock: FakeBedrock, stream: bool
) -> None:
    """Thoughts, text and tool calls, streamed or whole; cached tokens are counted apart."""
    bedrock.thinks = True
    async with door(model) as url:
        sdk = anthropic.AsyncAnthropic(base_url=url, api_key="x", max_retries=0)
        for message, tools in ((USER, []), (BOTH, MESSAGES_TOOLS)):
            asked: Any = {"model": NOVA, "max_tokens": 50, "messages": [message], "tools": tools}
            if stream:
                async with sdk.messages.stream(**asked) as events:
                    said = await events.get_final_message()
            else:
                said = await sdk.messages.create(**asked)
            thought, *rest = [block.to_dict() for block in said.content]
            assert (thought["thinking"], thought["signature"]) == ("Hm.", "c2ln")
            if not tools:
                assert [block["text"] for block in rest] == ["well done"]
                assert said.stop_reason == "end_turn"
            else:
                calls = [(block["name"], block["input"]) for block in rest]
                assert calls == [("stock", {"sku": "x"}), ("clock", {})]
                assert said.stop_reason == "tool_use"
            assert said.usage.cache_read_input_tokens == 2
        await sdk.close()


# What is sent


async def test_everything_that_converse_has_words_for(
    model: FrontierTarget, bedrock: FakeBedrock
) -> None:
    """Checked by AWS's description of the service, and by what was meant."""
    asked = call(
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop_sequences=["END"],
        thinking={"type": "enabled", "budget_tokens": 1024},
        tools=[{**MESSAGES_TOOLS[0], "description": "how many", "strict": True}],
        tool_choice={"type": "tool", "name": "stock"},
        output_config={"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "low"},
        additionalModelRequestFields={"top_k": 7},
        guardrailConfig={"guardrailIdentifier": "g1", "guardrailVersion": "DRAFT"},
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look:"},
                    {"type": "text", "text": ""},
                    _media("image", "image/png"),
                    _media("document", "application/pdf", title="a_b.pdf"),
                    {
                        "type": "document",
                        "source": {"type": "text", "media_type": "text/plain", "data": "hi"},
                        "title": "a/b?pdf",
                        "cache_control": {"type": "ephemeral", "ttl": "1h"},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                    {"type": "redacted_thinking", "data": "aGlkZGVu"},
                    {"type": "tool_use", "id": "t1", "name": "stock", "input": {"sku": "a"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "is_error": True,
                        "content": [{"type": "text", "text": "none"}, _media("image", "image/gif")],
                    }
                ],
            },
        ],
    )
    await read(model, asked)
    [received] = bedrock.requests
    sent = received.body
    assert sent["system"] == [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}]
    assert sent["inferenceConfig"] == {
        "maxTokens": 50,
        "temperature": 0.5,
        "topP": 0.9,
        "stopSequences": ["END"],
    }
    assert sent["additionalModelRequestFields"] == {
        "top_k": 7,  # the client's own word counts
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    assert sent["guardrailConfig"] == {"guardrailIdentifier": "g1", "guardrailVersion": "DRAFT"}
    assert sent["toolConfig"] == {
        "tools": [
            {
                "toolSpec": {
                    "name": "stock",
                    "description": "how many",
                    "strict": True,
                    "inputSchema": {"json": SCHEMA},
                }
            }
        ],
        "toolChoice": {"tool": {"name": "stock"}},
    }
    told = sent["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert orjson.loads(told["schema"]) == SCHEMA
    assert sent["outputConfig"]["effort"] == "low"
    first, second, third = [turn["content"] for turn in sent["messages"]]
    assert first[0] == {"text": "Look:"}
    assert first[1] == {"image": {"format": "png", "source": {"bytes": "AAAA"}}}
    assert [each["document"]["name"] for each in first[2:4]] == ["a b pdf", "a b pdf (2)"]
    assert first[3]["document"]["source"] == {"bytes": "aGk="}
    assert first[4] == {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert second == [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "aGlkZGVu"}},
        {"toolUse": {"toolUseId": "t1", "name": "stock", "input": {"sku": "a"}}},
    ]
    assert third[0]["toolResult"]["status"] == "error"
    assert third[0]["toolResult"]["content"][0] == {"text": "none"}
    assert "model" not in sent
    assert "stream" not in sent


def _media(kind: str, media: str, **more: Any) -> dict[str, Any]:
    source = {"type": "base64", "media_type": media, "data": "AAAA"}
    return {"type": kind, "source": source, **more}


async def test_chat_says_the_same(model: FrontierTarget, bedrock: FakeBedrock) -> None:
    """System prompt, picture, tools and their results; the bound is the card's, without one."""
    url = "data:image/jpeg;base64,AAAA"
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "noon"},
    ]
    asked = call(
        Endpoint.CHAT, messages=messages, tools=CHAT_TOOLS, tool_choice="required", stop="END",
        performanceConfig={"latency": "optimized"}, user="u", stream=True,
    )  # fmt: skip
    await read(model, asked)
    [received] = bedrock.requests
    sent = received.body
    assert sent["system"] == [{"text": "Be brief."}]
    assert sent["inferenceConfig"] == {"maxTokens": 77, "stopSequences": ["END"]}
    assert sent["toolConfig"]["toolChoice"] == {"any": {}}
    assert sent["performanceConfig"] == {"latency": "optimized"}
    assert sent["messages"][0]["content"][0]["image"]["format"] == "jpeg"
    assert sent["messages"][2]["content"][0]["toolResult"]["content"] == [{"text": "noon"}]


@pytest.mark.parametrize(
    ("extra", "param"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "container_upload"}]}]}, "messages.0"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages.0.role"),
        ({"messages": "hi"}, "messages"),
        ({"tools": [{"type": "web_search_20250305", "name": "w"}]}, "tools.0"),
        ({"tools": MESSAGES_TOOLS, "tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"output_config": {"format": {"type": "grammar"}}}, "output_config.format"),
        ({"additionalModelRequestFields": 3}, "additionalModelRequestFields"),
        ({"system": [{"type": "image"}]}, "system.0"),
    ],
)
async def test_what_converse_cannot_say_is_refused_by_name(
    model: FrontierTarget, bedrock: FakeBedrock, extra: dict[str, Any], param: str
) -> None:
    """Nobody is asked."""
    with pytest.raises(InvalidRequest) as raised:
        await model.send(call(**extra))
    assert str(raised.value.param).startswith(param)
    assert not bedrock.requests


async def test_a_picture_on_the_web_is_refused(model: FrontierTarget) -> None:
    """Converse takes bytes; the router fetches nothing."""
    picture = {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}}
    with pytest.raises(InvalidRequest, match="base64"):
        await model.send(call(messages=[{"role": "user", "content": [picture]}]))


async def test_no_tools_are_to_be_used(model: FrontierTarget, bedrock: FakeBedrock) -> None:
    """Converse has no word for it: without tools none is; once one was used, it is refused."""
    await read(model, call(tools=MESSAGES_TOOLS, tool_choice={"type": "none"}))
    assert "toolConfig" not in bedrock.requests[0].body
    used = {"type": "tool_use", "id": "t", "name": "clock", "input": {}}
    done = {"type": "tool_result", "tool_use_id": "t", "content": "noon"}
    messages = [USER, {"role": "assistant", "content": [used]}, {"role": "user", "content": [done]}]
    with pytest.raises(InvalidRequest, match="tool_choice"):
        await model.send(
            call(messages=messages, tools=MESSAGES_TOOLS, tool_choice={"type": "none"})
        )


@pytest.mark.parametrize("endpoint", [Endpoint.CHAT, Endpoint.MESSAGES])
async def test_what_is_left_out_is_named(model: FrontierTarget, endpoint: Endpoint) -> None:
    """In the words of the client's API."""
    warned: list[str] = []
    if endpoint is Endpoint.CHAT:
        more: Any = {"seed": 1, "tools": CHAT_TOOLS, "parallel_tool_calls": False}
        expected = {"seed", "parallel_tool_calls"}
    else:
        choice = {"type": "auto", "disable_parallel_tool_use": True}
        more = {"mcp_servers": [1], "tools": MESSAGES_TOOLS, "tool_choice": choice}
        expected = {"mcp_servers", "tool_choice.disable_parallel_tool_use"}
    more["additionalModelRequestFields"] = {"a": 1}
    asked = call(endpoint, **more)
    answer = await model.send(Call(asked.endpoint, asked.body, False, "r", 5.0, warn=warned.append))
    await answer.aclose()
    assert set(warned) == expected


# Who calls


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", [ARN, NOVA])
async def test_calls_are_signed(client: HttpClient, stream: bool, name: str) -> None:
    """The path as it is sent, the payload and the session's token; the model is in the path."""
    with FakeBedrock(access_key=PAIR) as server:
        target = target_of(client, server, SIGNED, name)
        said, _ = await read(target, call(stream=stream))
        assert b"done" in said
        [received] = server.requests
        assert f"/model/{name}/converse" in received.path
        other = target_of(client, server, SIGNED.replace("wJal", "wJaX"), name)
        with pytest.raises(TargetUnavailable) as raised:
            await read(other, call(stream=stream))
    assert raised.value.failure is Failure.CREDENTIALS
    assert "wJaX" not in str(raised.value)


async def test_keys_of_both_kinds_take_turns(
    client: HttpClient, bedrock: FakeBedrock, tmp_path: Path
) -> None:
    """One a line; one that is refused rests and the next is tried, signed or not."""
    path = tmp_path / "keys"
    path.write_text(f"{SIGNED}\n{API_KEY}\n")
    config = configured(bedrock.url, api_key_env=None, api_key_file=path)
    [target] = frontier_targets(client, [config]).values()
    for _ in range(3):
        await read(target, call())
    sent = [each.headers["authorization"].split()[0] for each in bedrock.requests]
    assert sent.count("AWS4-HMAC-SHA256") == 1
    assert sent.count("Bearer") == 3


def test_the_region_is_known_before_anything_starts() -> None:
    """From the address, or the configuration; of other dialects it is refused."""
    url = "https://bedrock-runtime.us-gov-west-1.amazonaws.com"
    assert sigv4.region_in(url) == "us-gov-west-1"
    assert configured(url, region=None).url(Endpoint.CHAT, "a/b:c", stream=True) == (
        f"{url}/model/a%2Fb%3Ac/converse-stream"
    )
    with pytest.raises(ValidationError, match="names no region"):
        configured("https://proxy.example", region=None)
    with pytest.raises(ValidationError, match="has no region"):
        configured("https://llm.example/v1", dialect="openai")


def test_credentials_that_cannot_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """Are refused at the start, with the remedy and without a word of them."""
    config = configured("https://proxy.example")
    with pytest.raises(MissingKey, match="ACCESS_KEY_ID:SECRET") as raised:
        read_keys(config, {"AWS_KEY": "AKIASHORT:sssshhh"})
    assert "sssshhh" not in str(raised.value)
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    sigv4._signer.cache_clear()
    with pytest.raises(MissingKey, match=r"graftwork\[bedrock\]"):
        read_keys(config, {"AWS_KEY": SIGNED})
    assert read_keys(config, {"AWS_KEY": API_KEY}) == [API_KEY]


# What comes back


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("endpoint", [Endpoint.CHAT, Endpoint.MESSAGES])
async def test_tokens_are_counted(model: FrontierTarget, endpoint: Endpoint, stream: bool) -> None:
    """The whole prompt, cached part included."""
    assert (await read(model, call(endpoint, stream=stream)))[1] == Usage(3, 2, 2)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("stop", "theirs", "chats"),
    [
        ("guardrail_intervened", "refusal", "content_filter"),
        ("content_filtered", "refusal", "content_filter"),
        ("max_tokens", "max_tokens", "length"),
        ("stop_sequence", "stop_sequence", "stop"),
        ("model_context_window_exceeded", "model_context_window_exceeded", "length"),
    ],
)
async def test_why_it_ended(
    model: FrontierTarget, bedrock: FakeBedrock, stop: str, theirs: str, chats: str, stream: bool
) -> None:
    """A guardrail's stop is a refusal."""
    bedrock.stop_reason = stop
    told, _ = await read(model, call(stream=stream))
    assert f'"stop_reason":"{theirs}"'.encode() in told
    chat, _ = await read(model, call(Endpoint.CHAT, stream=stream))
    assert f'"finish_reason":"{chats}"'.encode() in chat


@pytest.mark.parametrize("stream", [False, True])
async def test_a_malformed_answer_is_no_success(
    model: FrontierTarget, bedrock: FakeBedrock, stream: bool
) -> None:
    """The model's own failure."""
    bedrock.stop_reason = "malformed_tool_use"
    with pytest.raises(TargetBroken, match="malformed_tool_use"):
        await read(model, call(stream=stream))


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("throttlingException", "rate_limit_error"),
        ("serviceUnavailableException", "overloaded_error"),
        ("modelStreamErrorException", "api_error"),
        ("internalServerException", "api_error"),
        ("validationException", "invalid_request_error"),
        ("tomorrowsException", "api_error"),
    ],
)
@pytest.mark.parametrize("endpoint", [Endpoint.CHAT, Endpoint.MESSAGES])
async def test_exceptions_in_a_stream(
    model: FrontierTarget, bedrock: FakeBedrock, endpoint: Endpoint, kind: str, code: str
) -> None:
    """End it with what Anthropic would call them, after what was said before."""
    bedrock.misbehave(Fault(Kind.ERROR_MIDWAY, code=kind, message="not today"))
    answer = await model.send(call(endpoint, stream=True))
    said = bytearray()
    with pytest.raises(TargetBroken, match="not today") as raised:
        await collect(answer, said)
    assert b"well" in said
    assert raised.value.code == code


@pytest.mark.parametrize(
    "kind", [Kind.CUT, Kind.CUT_IN_EVENT, Kind.BREAK_OFF, Kind.MALFORMED, Kind.GIANT, Kind.PINGS]
)
async def test_a_broken_stream_is_no_success(
    model: FrontierTarget, bedrock: FakeBedrock, kind: Kind
) -> None:
    """What came before the break is passed on, as whole events."""
    bedrock.misbehave(Fault(kind, after=2))
    answer = await model.send(call(stream=True))
    said = bytearray()
    with pytest.raises(TargetBroken):
        await collect(answer, said)
    await answer.aclose()
    assert b"well" in said
    assert said.endswith(b"\n\n")
    assert b"message_stop" not in said


async def test_an_answer_without_counts_is_whole(
    model: FrontierTarget, bedrock: FakeBedrock
) -> None:
    """A stream that ends after its stop reason was complete, and nobody counted it."""
    bedrock.misbehave(Kind.NO_END)
    said, usage = await read(model, call(stream=True))
    assert b"message_stop" in said
    assert said.count(b'"usage":{"input_tokens":0,"output_tokens":0}') == 2
    assert usage == Usage()


@pytest.mark.parametrize(
    "kind", [Kind.MALFORMED, Kind.CUT, Kind.EMPTY, Kind.ERROR_IN_200, Kind.HTML]
)
async def test_a_broken_whole_answer_is_no_success(
    model: FrontierTarget, bedrock: FakeBedrock, kind: Kind
) -> None:
    """Neither half of it, nor an error, nor a web page."""
    bedrock.misbehave(kind)
    with pytest.raises(TargetBroken):
        await read(model, call())


async def test_another_form_than_was_asked_for(model: FrontierTarget, bedrock: FakeBedrock) -> None:
    """JSON in place of a stream."""
    bedrock.misbehave(Kind.ERROR_IN_200)
    with pytest.raises(TargetUnavailable):
        await read(model, call(stream=True))


@pytest.mark.parametrize("stream", [False, True])
async def test_errors_are_sorted(model: FrontierTarget, bedrock: FakeBedrock, stream: bool) -> None:
    """By whose fault they are; what AWS says is heard, in the client's words."""
    said = "The value of inferenceConfig.maxTokens is too high"
    bedrock.misbehave(Fault(Kind.STATUS, status=400, code="ValidationException", message=said))
    with pytest.raises(TargetRejected, match="max_tokens is too high"):
        await read(model, call(stream=stream))
    said = "Input is too long for requested model."
    bedrock.misbehave(Fault(Kind.STATUS, status=400, code="ValidationException", message=said))
    with pytest.raises(TargetRejected) as overflow:
        await read(model, call(stream=stream))
    assert overflow.value.code == "context_length_exceeded"
    for status, failure in (
        (429, Failure.LIMITED),
        (403, Failure.CREDENTIALS),
        (404, Failure.MISSING),
        (408, Failure.TIMEOUT),
        (424, Failure.BROKEN),
        (500, Failure.SERVER),
        (503, Failure.SERVER),
    ):
        bedrock.misbehave(Fault(Kind.STATUS, status=status, message="no"))
        with pytest.raises(TargetUnavailable) as raised:
            await read(model, call(stream=stream))
        assert raised.value.failure is failure


async def test_a_beginning_is_gone_on_from(model: FrontierTarget, bedrock: FakeBedrock) -> None:
    """As Claude does; only models whose card says so."""
    assert model.can_continue(Endpoint.CHAT)
    asked = call(Endpoint.CHAT)
    asked = Call(asked.endpoint, asked.body, False, "r", 5.0, prefill="well")
    await read(model, asked)
    last = bedrock.requests[0].body["messages"][-1]
    assert last == {"role": "assistant", "content": [{"text": "well"}]}


def test_an_empty_instruction_is_none() -> None:
    """Converse refuses blocks without a letter."""
    said = [{"type": "text", "text": ""}, {"type": "text", "text": "Be brief."}]
    body = {"messages": [{"role": "user", "content": "Hi"}], "system": said}
    assert converse_request(body)["system"] == [{"text": "Be brief."}]
    assert "system" not in converse_request({**body, "system": said[:1]})


@pytest.mark.parametrize("stream", [False, True])
def test_what_messages_have_no_place_for_is_named(stream: bool) -> None:
    """Pictures, sources, and what is to be invented; the text beside them stays."""
    sources = {"citations": [{"title": "t"}], "content": [{"text": "said"}]}
    named: list[str] = []
    if stream:
        events: list[tuple[str, dict[str, Any]]] = [
            ("messageStart", {"role": "assistant"}),
            ("contentBlockStart", {"contentBlockIndex": 0, "start": {"image": {"format": "png"}}}),
            ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"image": {"source": {}}}}),
            ("contentBlockStop", {"contentBlockIndex": 0}),
            ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "said"}}),
            ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"citation": {"title": "t"}}}),
            ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"tomorrows": {}}}),
            ("contentBlockStop", {"contentBlockIndex": 1}),
            ("messageStop", {"stopReason": "end_turn"}),
            ("metadata", {}),
        ]
        raw = b"".join(frame(kind, orjson.dumps(event)) for kind, event in events)
        told = StreamedAnswer("m", named.append).feed(raw, last=True)
        assert b"message_stop" in told
    else:
        content = [{"image": {"format": "png"}}, {"citationsContent": sources}, {"tomorrows": {}}]
        answer = {"output": {"message": {"content": content}}, "stopReason": "end_turn"}
        told = WholeAnswer("m", named.append).feed(orjson.dumps(answer), last=True)
    assert b"said" in told
    assert sorted(named) == ["content.citations", "content.image", "content.tomorrows"]
