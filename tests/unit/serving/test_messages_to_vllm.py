"""A judged Messages call is asked through chat: the model must read what vLLM's own route shows it.

Compared with the conversion of the vLLM that is installed, so that an update which changes it fails
here.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.wire.translate.messages_to_vllm import Unlike, difference, vllm_request
from tests.fakes.installed_vllm import installed

anthropic = installed("anthropic.protocol")
serving = installed("anthropic.serving")
chat = installed("openai.chat_completion.protocol")

Body = dict[str, Any]
WORDS = st.sampled_from(["", "a", "b c", "x-anthropic-billing-header: 1", "é\n"])
NAMES = st.sampled_from(["f", "g"])


def block(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Body]:
    """A content block."""
    return st.fixed_dictionaries({"type": st.just(kind), **fields})


TEXT = block("text", text=WORDS)
SOURCE = st.sampled_from(
    [
        {"type": "url", "url": "https://example.org/a.png"},
        {"type": "base64", "media_type": "image/png", "data": "AA=="},
    ]
)
IMAGE = block("image", source=SOURCE)
RESULT = block(
    "tool_result",
    tool_use_id=st.just("t1"),
    content=st.none() | WORDS | st.lists(TEXT | IMAGE, max_size=3),
    is_error=st.booleans(),
)
CALL = block(
    "tool_use", id=st.just("t1"), name=NAMES, input=st.dictionaries(NAMES, st.integers() | WORDS)
)
THOUGHT = block("thinking", thinking=WORDS, signature=st.just("s"))
HIDDEN = block("redacted_thinking", data=st.just("x"))
USER = st.fixed_dictionaries(
    {"role": st.just("user"), "content": WORDS | st.lists(TEXT | IMAGE | RESULT, max_size=3)}
)
ASSISTANT = st.fixed_dictionaries(
    {
        "role": st.just("assistant"),
        "content": WORDS | st.lists(TEXT | THOUGHT | HIDDEN | CALL, max_size=4),
    }
)
TOOL = st.fixed_dictionaries(
    {
        "name": NAMES,
        "input_schema": st.sampled_from([{}, {"type": "object", "properties": {}}, {"x": 1}]),
    },
    optional={"description": WORDS, "strict": st.booleans(), "type": st.just("custom")},
)
CHOICE = st.fixed_dictionaries(
    {"type": st.sampled_from(["auto", "any", "none", "tool"]), "name": NAMES},
    optional={"disable_parallel_tool_use": st.booleans()},
)
OUTPUT = st.fixed_dictionaries(
    {},
    optional={
        "effort": st.sampled_from(["low", "max"]),
        "format": st.just({"type": "json_schema", "schema": {"type": "object"}}),
    },
)
BODIES = st.fixed_dictionaries(
    {
        "model": st.just("m"),
        "max_tokens": st.integers(1, 9),
        "messages": st.lists(USER | ASSISTANT, max_size=4),
    },
    optional={
        "system": WORDS | st.lists(TEXT, max_size=3),
        "temperature": st.floats(0, 2),
        "top_p": st.just(0.5),
        "top_k": st.integers(1, 9),
        "stop_sequences": st.lists(st.just("END"), max_size=2),
        "stream": st.booleans(),
        "metadata": st.just({"user_id": "u"}),
        "cache_salt": st.just("salt"),
        "chat_template_kwargs": st.just({"enable_thinking": False}),
        "tools": st.lists(TOOL, max_size=2),
        "tool_choice": CHOICE,
        "output_config": OUTPUT,
        "logprobs": st.just(True),
        "n": st.just(2),
    },
)


def by_vllm(body: Body) -> Body:
    """What vLLM's own route would hand to its chat code."""
    request = anthropic.AnthropicMessagesRequest.model_validate(copy.deepcopy(body))
    found = serving.AnthropicServingMessages.to_chat_completion_request(request)
    return plain(found)


def plain(request: Any) -> Body:
    """A chat request as vLLM reads it, without what is new for each."""
    found: Body = request.model_dump(exclude={"request_id", "bootstrap_room"})
    found["messages"] = [_listed(message) for message in found["messages"]]
    return found


def _listed(value: Any) -> Any:
    """Pydantic keeps some lists as iterators that are read once."""
    if isinstance(value, dict):
        return {name: _listed(each) for name, each in value.items()}
    if isinstance(value, str | int | float | None):
        return value
    return [_listed(each) for each in value]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(BODIES)
def test_the_model_reads_what_vllms_own_route_shows_it(body: Body) -> None:
    """Either the request is the same in every field, or it is left to vLLM's own route."""
    before = copy.deepcopy(body)
    try:
        ours = vllm_request(body)
    except Unlike:
        return
    assert body == before
    assert plain(chat.ChatCompletionRequest.model_validate(ours)) == by_vllm(body)


HI = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "any"}},
        {"output_config": {"effort": "low"}},
    ],
)
def test_ordinary_requests_can_be_asked_through_chat(fields: Body) -> None:
    """The comparison above is not one of refusals only."""
    body = {"model": "m", "max_tokens": 3, "messages": HI, **fields}
    assert difference(body) is None
    assert plain(chat.ChatCompletionRequest.model_validate(vllm_request(body))) == by_vllm(body)


@pytest.mark.parametrize(
    "fields",
    [
        {"thinking": {"type": "disabled"}},
        {"max_tokens": None},
        {"messages": "hi"},
        {"messages": [*HI, {"role": "system", "content": "a reminder"}]},
        {"messages": [{"role": "user", "content": [{"type": "document"}]}]},
        {"messages": [{"role": "user", "content": [{"type": []}]}]},
        {"tools": []},
        {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        {"tool_choice": {"type": "auto"}},
        {"output_config": {"effort": []}},
        {"output_config": {"format": {"type": "json_schema"}}},
        {"system": [{"type": "image"}]},
    ],
)
def test_what_chat_cannot_say_is_left_to_vllms_own_route(fields: Body) -> None:
    """Its reason names no word of the client's."""
    assert difference({"model": "m", "max_tokens": 3, "messages": HI, **fields})
