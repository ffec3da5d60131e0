"""The vendors' own clients, with every dialect of providers behind the router.

Whatever API a provider speaks, OpenAI's SDK and Anthropic's see their own: answers, streams, calls
of tools and their results, JSON by a schema, and each error as their exception for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import anthropic
import openai
import orjson
import pytest
import pytest_asyncio
from pydantic import BaseModel

from tests.fakes.frontier import FakeFrontier
from tests.fakes.running_router import running_router, settings_with
from tests.fakes.standins import STANDINS, TEXT, environment, provider

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASK: Any = {"role": "user", "content": "Tell me."}
CALL: Any = {"role": "user", "content": "Call look_up."}
SCHEMA: Any = {"type": "object", "properties": {"sku": {"type": "string"}}, "required": ["sku"]}
CHAT_TOOL: Any = {"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}
MESSAGES_TOOL: Any = {"name": "look_up", "input_schema": SCHEMA}
RESPONSES_TOOL: Any = {"type": "function", "name": "look_up", "parameters": SCHEMA, "strict": False}
HASTE_S = 0.5


class Wanted(BaseModel):
    """What the answer should be."""

    wanted: Literal["x"]


@dataclass(frozen=True)
class System:
    """A router before all stand-ins, and the two SDKs, whose answers are unions of very many."""

    servers: Mapping[str, FakeFrontier]
    openai: Any
    anthropic: Any


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    """One for all tests."""
    haste: Any = {"whole_answer_timeout_s": HASTE_S}
    with ExitStack() as stack:
        servers = {
            dialect: stack.enter_context(standin.serve(True))
            for dialect, standin in STANDINS.items()
        }
        for server in servers.values():
            server.says = said
        providers = [provider(name, name, server, ["m"]) for name, server in servers.items()]
        hasty = [
            provider(f"{name}-hasty", name, server, ["m"], **haste)
            for name, server in servers.items()
        ]
        settings = settings_with(
            tmp_path_factory.mktemp("sdks"),
            providers=[*providers, *hasty],
            delivery={
                "retry": {"backoff_s": 0.01, "budget_per_s": 1000},
                "breaker": {"consecutive": 1000, "min_calls": 1000},
                "rescue": {"enabled": False},  # so that a stream that breaks is seen to
            },
            governance={"pii": {"default": {"frontier": "allow"}}},
        )
        async with running_router(settings, environ=environment()) as (url, _):
            ours = openai.AsyncOpenAI(base_url=url + "/v1", api_key="x", max_retries=0)
            theirs = anthropic.AsyncAnthropic(base_url=url, api_key="x", max_retries=0)
            async with ours, theirs:
                yield System(servers, ours, theirs)


def said(body: dict[str, Any]) -> str:
    """What every stand-in answers: JSON where a schema for it came with the request."""
    return '{"wanted": "x"}' if b"wanted" in orjson.dumps(body) else TEXT


def broken(kind: str) -> Any:
    """Words that make a stand-in misbehave: by kind, and status where it is one."""
    name, _, status = kind.partition(":")
    fault = {"kind": name, "after": 5, **({"status": int(status)} if status else {})}
    return {"role": "user", "content": f"Tell me [[{orjson.dumps(fault).decode()}]]"}


# Chat


@pytest.mark.parametrize("dialect", STANDINS)
async def test_chat(system: System, dialect: str) -> None:
    """A whole answer and a stream of it are the same, with the same counts."""
    create = system.openai.chat.completions
    whole = await create.create(model=f"{dialect}/m", messages=[ASK])
    async with create.stream(
        model=f"{dialect}/m", messages=[ASK], stream_options={"include_usage": True}
    ) as events:
        pieces = [event.delta async for event in events if event.type == "content.delta"]
        last = await events.get_final_completion()
    assert len(pieces) > 3
    for answer in (whole, last):
        assert answer.choices[0].message.content == TEXT == "".join(pieces)
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 7
        assert answer.usage.prompt_tokens > 0


@pytest.mark.parametrize("dialect", STANDINS)
async def test_chats_tools(system: System, dialect: str) -> None:
    """Called, whole and streamed; what the tool found goes back, and is answered."""
    create, model = system.openai.chat.completions, f"{dialect}/m"
    whole = await create.create(model=model, messages=[CALL], tools=[CHAT_TOOL])
    async with create.stream(model=model, messages=[CALL], tools=[CHAT_TOOL]) as events:
        streamed = await events.get_final_completion()
    for answer in (whole, streamed):
        assert answer.choices[0].finish_reason == "tool_calls"
        calls: Any = answer.choices[0].message.tool_calls
        assert [(each.function.name, orjson.loads(each.function.arguments)) for each in calls] == [
            ("look_up", {"sku": "x"})
        ]
    message: Any = whole.choices[0].message.to_dict()
    found: Any = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "7"}
    after = await create.create(model=model, messages=[CALL, message, found], tools=[CHAT_TOOL])
    assert after.choices[0].message.content == TEXT


@pytest.mark.parametrize("dialect", STANDINS)
async def test_chats_schema(system: System, dialect: str) -> None:
    """The schema reaches the provider, and the SDK parses the answer."""
    parse = system.openai.chat.completions.parse
    answer = await parse(model=f"{dialect}/m", messages=[ASK], response_format=Wanted)
    assert answer.choices[0].message.parsed == Wanted(wanted="x")


@pytest.mark.parametrize("dialect", STANDINS)
async def test_chats_errors(system: System, dialect: str) -> None:
    """Each as the SDK's own exception; a stream that breaks raises while it is read."""
    create = system.openai.chat.completions.create

    async def raised(kind: str, **more: Any) -> BaseException | None:
        name = f"{dialect}-hasty" if "hang" in kind else dialect
        try:
            answer: Any = await create(model=f"{name}/m", messages=[broken(kind)], **more)
            if more.get("stream"):
                async for _ in answer:
                    pass
        except openai.APIError as error:
            return error
        return None

    expected: dict[str, tuple[type[openai.APIError], int]] = {
        "status:400": (openai.BadRequestError, 400),
        "status:401": (openai.InternalServerError, 502),
        "status:404": (openai.InternalServerError, 502),
        "status:413": (openai.APIStatusError, 413),
        "status:422": (openai.UnprocessableEntityError, 422),
        "status:429": (openai.RateLimitError, 429),
        "status:500": (openai.InternalServerError, 502),
        "status:503": (openai.InternalServerError, 503),
        "hang_before_headers": (openai.InternalServerError, 504),
        "html": (openai.InternalServerError, 502),
    }
    found = await asyncio.gather(*map(raised, expected))
    for error, (kind, status) in zip(found, expected.values(), strict=True):
        assert type(error) is kind
        assert error.status_code == status  # type: ignore[attr-defined]
        assert error.code
    cut = await raised("error_midway", stream=True)
    assert type(cut) is openai.APIError
    assert cut.code


# Messages


@pytest.mark.parametrize("dialect", STANDINS)
async def test_messages(system: System, dialect: str) -> None:
    """A whole answer and a stream of it are the same, with the same counts."""
    messages = system.anthropic.messages
    whole = await messages.create(model=f"{dialect}/m", max_tokens=50, messages=[ASK])
    async with messages.stream(model=f"{dialect}/m", max_tokens=50, messages=[ASK]) as events:
        pieces = [piece async for piece in events.text_stream]
        last = await events.get_final_message()
    assert len(pieces) > 3
    for answer in (whole, last):
        assert [block.to_dict()["text"] for block in answer.content] == [TEXT]
        assert answer.stop_reason == "end_turn"
        assert answer.usage.output_tokens == 7
    assert "".join(pieces) == TEXT
    assert whole.usage.input_tokens > 0


@pytest.mark.parametrize("dialect", STANDINS)
async def test_messages_tools(system: System, dialect: str) -> None:
    """Called, whole and streamed; what the tool found goes back, and is answered."""
    asked: Any = {"model": f"{dialect}/m", "max_tokens": 50, "tools": [MESSAGES_TOOL]}
    messages = system.anthropic.messages
    whole = await messages.create(**asked, messages=[CALL])
    async with messages.stream(**asked, messages=[CALL]) as events:
        streamed = await events.get_final_message()
    for answer in (whole, streamed):
        assert answer.stop_reason == "tool_use"
        calls = [block for block in answer.content if block.type == "tool_use"]
        assert [(call.name, call.input) for call in calls] == [("look_up", {"sku": "x"})]
    turn: Any = {"role": "assistant", "content": [block.to_dict() for block in whole.content]}
    [call] = [block for block in turn["content"] if block["type"] == "tool_use"]
    found = {"type": "tool_result", "tool_use_id": call["id"], "content": "7"}
    talk = [CALL, turn, {"role": "user", "content": [found]}]
    after = await messages.create(**asked, messages=talk)
    assert [block.to_dict()["text"] for block in after.content] == [TEXT]


@pytest.mark.parametrize("dialect", STANDINS)
async def test_messages_schema(system: System, dialect: str) -> None:
    """The schema reaches the provider, and the SDK parses the answer."""
    answer = await system.anthropic.messages.parse(
        model=f"{dialect}/m", max_tokens=50, messages=[ASK], output_format=Wanted
    )
    assert answer.parsed_output == Wanted(wanted="x")


@pytest.mark.parametrize("dialect", STANDINS)
async def test_messages_errors(system: System, dialect: str) -> None:
    """Each as the SDK's own exception; a stream that breaks raises while it is read."""
    messages = system.anthropic.messages

    async def raised(kind: str) -> BaseException | None:
        name = f"{dialect}-hasty" if "hang" in kind else dialect
        asked: Any = {"model": f"{name}/m", "max_tokens": 50, "messages": [broken(kind)]}
        try:
            if "midway" not in kind:
                await messages.create(**asked)
                return None
            async with messages.stream(**asked) as events:
                await events.get_final_message()
        except anthropic.APIError as error:
            return error
        return None

    expected: dict[str, tuple[type[anthropic.APIError], int]] = {
        "status:400": (anthropic.BadRequestError, 400),
        "status:401": (anthropic.InternalServerError, 502),
        "status:404": (anthropic.InternalServerError, 502),
        "status:413": (anthropic.ContentTooLargeError, 413),
        "status:422": (anthropic.UnprocessableEntityError, 422),
        "status:429": (anthropic.RateLimitError, 429),
        "status:500": (anthropic.InternalServerError, 502),
        "status:503": (anthropic.ServiceUnavailableError, 503),
        "hang_before_headers": (anthropic.GatewayTimeoutError, 504),
        "html": (anthropic.InternalServerError, 502),
    }
    found = await asyncio.gather(*map(raised, expected))
    for error, (kind, status) in zip(found, expected.values(), strict=True):
        assert type(error) is kind
        assert error.status_code == status  # type: ignore[attr-defined]
    assert isinstance(await raised("error_midway"), anthropic.APIStatusError)


# Responses


@pytest.mark.parametrize("dialect", STANDINS)
async def test_responses(system: System, dialect: str) -> None:
    """A whole answer and a stream of it are the same, with the same counts."""
    responses, model = system.openai.responses, f"{dialect}/m"
    whole = await responses.create(model=model, input="Tell me.")
    async with responses.stream(model=model, input="Tell me.") as events:
        pieces = [event.delta async for event in events if event.type.endswith("text.delta")]
        last = await events.get_final_response()
    assert len(pieces) > 3
    for answer in (whole, last):
        assert answer.output_text == TEXT == "".join(pieces)
        assert answer.status == "completed"
        assert answer.usage is not None
        assert answer.usage.output_tokens == 7


@pytest.mark.parametrize("dialect", STANDINS)
async def test_responses_tools(system: System, dialect: str) -> None:
    """Called, whole and streamed; what the tool found goes back, and is answered."""
    responses, tools = system.openai.responses, [RESPONSES_TOOL]
    asked: Any = {"model": f"{dialect}/m", "tools": tools, "store": False}
    whole = await responses.create(**asked, input=[CALL])
    async with responses.stream(**asked, input=[CALL]) as events:
        streamed = await events.get_final_response()
    call: Any = {}
    for answer in (whole, streamed):
        [call] = [item.to_dict() for item in answer.output if item.type == "function_call"]
        assert (call["name"], orjson.loads(str(call["arguments"]))) == ("look_up", {"sku": "x"})
    items = [each.to_dict() for each in whole.output]  # Gemini's calls come with a signature
    found: Any = {"type": "function_call_output", "call_id": call["call_id"], "output": "7"}
    after = await responses.create(**asked, input=[CALL, *items, found])
    assert after.output_text == TEXT


@pytest.mark.parametrize("dialect", STANDINS)
async def test_responses_schema(system: System, dialect: str) -> None:
    """The schema reaches the provider, and the SDK parses the answer."""
    answer = await system.openai.responses.parse(
        model=f"{dialect}/m", input="Tell me.", text_format=Wanted
    )
    assert answer.output_parsed == Wanted(wanted="x")


@pytest.mark.parametrize("dialect", STANDINS)
async def test_responses_errors(system: System, dialect: str) -> None:
    """Each as the SDK's own exception; a stream that breaks has an event for it, and no end."""
    create, model = system.openai.responses.create, f"{dialect}/m"
    for status, kind in ((400, openai.BadRequestError), (429, openai.RateLimitError)):
        with pytest.raises(kind) as refused:
            await create(model=model, input=broken(f"status:{status}")["content"])
        assert refused.value.code
    prompt = broken("error_midway")["content"]
    events = await create(model=model, input=prompt, store=False, stream=True)
    kinds = [event.type async for event in events]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "error"
    assert "response.completed" not in kinds


async def test_an_unknown_model(system: System) -> None:
    """The router's own errors are the SDKs' too."""
    with pytest.raises(openai.NotFoundError):
        await system.openai.chat.completions.create(model="openai/none", messages=[ASK])
    with pytest.raises(anthropic.NotFoundError):
        await system.anthropic.messages.create(model="openai/none", max_tokens=9, messages=[ASK])
