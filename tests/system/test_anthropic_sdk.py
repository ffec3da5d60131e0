"""The endpoint as Anthropic's own client sees it; each vendor's model through the other's API."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest

from tests.fakes.frontier import FakeFrontier
from tests.system.client import BASE, RETURNS_QUESTION, chat_body
from tests.system.config import ANTHROPIC_FRONTIER, FRONTIER_KEY, OPENAI_FRONTIER

pytestmark = pytest.mark.system

EVERYWHERE = [BASE, "returns", ANTHROPIC_FRONTIER, OPENAI_FRONTIER]
WEATHER: Any = {
    "name": "weather",
    "description": "Look out of the window.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def ask(model: str, prompt: str = RETURNS_QUESTION, **more: Any) -> Any:
    """Arguments of a messages call; the SDK itself knows no `temperature` any more."""
    message = {"role": "user", "content": prompt}
    extra = {"temperature": 0, **more.pop("extra_body", {})}
    return {"model": model, "messages": [message], "max_tokens": 16, "extra_body": extra, **more}


def test_an_answer_that_the_client_began(anthropic_client: anthropic.Anthropic) -> None:
    """vLLM goes on from the assistant's last turn: begun and continued it is the whole answer."""
    asked = ask(BASE, max_tokens=12)
    whole = anthropic_client.messages.create(**asked).content[0].text
    words = whole.split(" ")
    begun = " ".join(words[: len(words) // 2])
    turns = [*asked["messages"], {"role": "assistant", "content": begun}]
    rest = anthropic_client.messages.create(**{**asked, "messages": turns}).content[0].text
    assert not rest.startswith(begun[:8])
    assert (begun + rest).startswith(whole)


@pytest.mark.parametrize("model", EVERYWHERE)
def test_messages(
    anthropic_client: anthropic.Anthropic, frontier: FakeFrontier, model: str
) -> None:
    """A whole message from local vLLM, from Anthropic natively and from OpenAI translated."""
    message = anthropic_client.messages.create(**ask(model))
    assert message.role == "assistant"
    assert message.content[0].type == "text"
    assert message.content[0].text
    assert message.stop_reason in {"end_turn", "max_tokens"}
    assert message.usage.output_tokens > 0


@pytest.mark.parametrize("model", EVERYWHERE)
def test_streamed_messages(
    anthropic_client: anthropic.Anthropic, frontier: FakeFrontier, model: str
) -> None:
    """The SDK accumulates the stream of each kind of target to the same message."""
    whole = anthropic_client.messages.create(**ask(model))
    with anthropic_client.messages.stream(**ask(model)) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(pieces) > 2
    assert final.content[0].type == whole.content[0].type == "text"
    assert "".join(pieces) == final.content[0].text == whole.content[0].text
    assert final.stop_reason == whole.stop_reason
    assert final.usage.output_tokens > 0


def test_tools_of_a_native_model(
    anthropic_client: anthropic.Anthropic, frontier: FakeFrontier
) -> None:
    """A tool call comes back as Anthropic writes it, and the request arrived untouched."""
    body = ask(ANTHROPIC_FRONTIER, tools=[WEATHER], extra_body={"top_k": 5})
    message = anthropic_client.messages.create(**body)
    call = message.content[0]
    assert call.type == "tool_use"
    assert (call.name, call.input) == ("weather", {"city": "x"})
    received = frontier.requests[-1]
    assert received.path == "/v1/messages"
    extra = body.pop("extra_body")
    assert received.body == {**body, **extra, "model": "sage"}
    assert received.headers["x-api-key"] == FRONTIER_KEY


def test_tools_of_a_translated_model(
    anthropic_client: anthropic.Anthropic, frontier: FakeFrontier
) -> None:
    """A tool call of an OpenAI model comes back in Anthropic's words; it was asked in its own."""
    message = anthropic_client.messages.create(**ask(OPENAI_FRONTIER, tools=[WEATHER]))
    call = message.content[0]
    assert call.type == "tool_use"
    assert (call.name, call.input) == ("weather", {"city": "x"})
    received = frontier.requests[-1]
    assert received.path == "/v1/chat/completions"
    assert received.body["tools"][0]["function"]["name"] == "weather"
    assert received.headers["authorization"] == f"Bearer {FRONTIER_KEY}"


def test_anthropic_model_through_chat(openai_client: openai.OpenAI, frontier: FakeFrontier) -> None:
    """OpenAI's client gets an Anthropic model's answer, whole and streamed."""
    body: Any = chat_body(ANTHROPIC_FRONTIER, "say one two three")
    whole = openai_client.chat.completions.create(**body)
    chunks = list(openai_client.chat.completions.create(**body, stream=True))
    assert whole.choices[0].message.content == "one two three"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 3
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "one two three"
    assert {received.path for received in frontier.requests} == {"/v1/messages"}


def test_errors(anthropic_client: anthropic.Anthropic, frontier: FakeFrontier) -> None:
    """Errors are the SDK's own exceptions, in the shape that it looks for."""
    with pytest.raises(anthropic.NotFoundError) as unknown:
        anthropic_client.messages.create(**ask("nobody"))
    with pytest.raises(anthropic.BadRequestError) as wrong:
        anthropic_client.messages.create(**ask(BASE, extra_body={"temperature": "hot"}))
    with pytest.raises(anthropic.BadRequestError) as long:
        anthropic_client.messages.create(**ask(BASE, "lamp " * 5000))
    for caught in (unknown, wrong, long):
        body: Any = caught.value.body
        assert body["type"] == "error"
        assert body["error"]["type"]
        assert body["error"]["message"]


@pytest.mark.parametrize("model", [ANTHROPIC_FRONTIER, OPENAI_FRONTIER])
def test_a_failing_frontier(
    anthropic_client: anthropic.Anthropic, frontier: FakeFrontier, model: str
) -> None:
    """A provider's rate limit is passed on as one: a client that waits can come back."""
    with pytest.raises(anthropic.APIStatusError) as caught:
        anthropic_client.messages.create(**ask(model, "[[fault:status:429]]"))
    assert caught.value.status_code in {429, 502, 503}
    body: Any = caught.value.body
    assert body["type"] == "error"


def test_models_list(anthropic_client: anthropic.Anthropic) -> None:
    """Anthropic's client can page through the same list of models."""
    names = [model.id for model in anthropic_client.models.list()]
    assert {"auto", "returns", ANTHROPIC_FRONTIER} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("model", [BASE, "returns"])
def test_tokens_are_counted_as_the_engine_counts_them(
    anthropic_client: anthropic.Anthropic, model: str
) -> None:
    """`count_tokens` before is what `usage` says afterwards."""
    asked = ask(model)
    counted = anthropic_client.messages.count_tokens(model=model, messages=asked["messages"])
    used = anthropic_client.messages.create(**asked).usage
    cached = used.cache_read_input_tokens or 0
    assert counted.input_tokens == used.input_tokens + cached
