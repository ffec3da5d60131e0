"""D30: whatever a typed SDK sends as null, the installed vLLM takes what is left of it."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessage
from openai.types.responses import ResponseOutputMessage

from router.wire.nulls import without_nulls
from tests.fakes.installed_vllm import installed

HELLO = [{"role": "user", "content": "hi"}]
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai.chat_completion": ("ChatCompletionRequest", {"messages": HELLO}),
    "openai.completion": ("CompletionRequest", {"prompt": "hi"}),
    "openai.responses": ("ResponsesRequest", {"input": "hi"}),
    "anthropic": ("AnthropicMessagesRequest", {"messages": HELLO, "max_tokens": 5}),
}


def request_of(module: str) -> tuple[Any, dict[str, Any]]:
    """vLLM's class of a request, and the least that it takes."""
    name, body = MODELS[module]
    return getattr(installed(f"{module}.protocol"), name), {"model": "m", **body}


@pytest.mark.parametrize("module", MODELS)
def test_every_optional_field_may_be_null(module: str) -> None:
    """All of vLLM's own fields at once, those included that it does not bear as null itself."""
    kind, body = request_of(module)
    nulls = dict.fromkeys(name for name in kind.model_fields if name not in body)
    assert len(nulls) > 8
    kind.model_validate(without_nulls({**nulls, **body}))


def test_an_answer_that_an_sdk_dumps_can_be_sent_back() -> None:
    """With all the nulls of its types."""
    kind, body = request_of("openai.chat_completion")
    said = ChatCompletionMessage(role="assistant", content="yes").model_dump()
    assert None in said.values()
    turn = {"role": "user", "content": "and?", "name": None}
    messages = [*HELLO, {**said, "name": None}, turn]
    kind.model_validate(without_nulls({**body, "messages": messages}))


def test_a_response_that_an_sdk_dumps_can_be_sent_back() -> None:
    """The same of items and their parts."""
    kind, body = request_of("openai.responses")
    said = ResponseOutputMessage.model_validate(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "yes", "annotations": []}],
        }
    ).model_dump()
    part = {"type": "input_text", "text": "and?", "annotations": None}
    turn = {"role": "user", "content": [part], "status": None, "id": None, "type": None}
    kind.model_validate(without_nulls({**body, "input": [said, turn]}))
