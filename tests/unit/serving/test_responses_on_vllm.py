"""How the router asks vLLM to go on with a response: the installed vLLM understands it so."""

from __future__ import annotations

from typing import Any

import pytest

from router.targets.base import Call
from router.wire.dialects.base import Traits
from router.wire.dialects.vllm import DIALECT
from router.wire.endpoint import Endpoint
from tests.fakes.installed_vllm import installed

protocol = installed("openai.responses.protocol")
utils = installed("openai.responses.utils")


def read_by_vllm(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The conversation that the model is shown."""
    request = protocol.ResponsesRequest.model_validate(body)
    messages = utils.construct_input_messages(
        request_instructions=request.instructions, request_input=request.input
    )
    return [dict(message) for message in messages]


@pytest.mark.parametrize(
    "said",
    [
        "hi",
        [{"role": "user", "content": "hi"}],
        [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
        ],
    ],
)
def test_vllm_goes_on_from_an_item_in_progress(said: Any) -> None:
    """The same conversation, and after it the assistant's unfinished message."""
    body = {"model": "m", "input": said, "instructions": "x", "stream": True}
    call = Call(Endpoint.RESPONSES, body, True, "r", 1.0, prefill="One two")
    asked = DIALECT.ask(call, Traits()).body
    request = protocol.ResponsesRequest.model_validate(asked)
    assert utils.should_continue_final_message(request.input)
    last = {"role": "assistant", "content": "One two"}
    assert read_by_vllm(asked) == [*read_by_vllm(body), last]
