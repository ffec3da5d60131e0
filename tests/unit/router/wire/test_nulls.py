"""An explicit null for an optional field is the same as no field."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from router.prepare import parse
from router.wire.nulls import without_nulls
from tests.fakes.exchanges import exchange


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ({"a": None, "model": "m"}, {"model": "m"}),
        (
            {"messages": [{"role": "assistant", "content": None, "name": None, "audio": None}]},
            {"messages": [{"role": "assistant", "content": None}]},
        ),
        (
            {"input": [{"content": [{"type": "input_text", "text": "x", "id": None}], "id": None}]},
            {"input": [{"content": [{"type": "input_text", "text": "x"}]}]},
        ),
        (
            {"tools": [{"function": {"name": "f", "strict": None, "parameters": {"x": None}}}]},
            {"tools": [{"function": {"name": "f", "parameters": {"x": None}}}]},
        ),
        (
            {"messages": [{"content": [{"type": "tool_use", "input": {"a": None}, "id": None}]}]},
            {"messages": [{"content": [{"type": "tool_use", "input": {"a": None}}]}]},
        ),
        ({"metadata": {"k": None}}, {"metadata": {"k": None}}),
        (
            {"structured_outputs": {"json": {"const": None}, "regex": None}},
            {"structured_outputs": {"json": {"const": None}}},
        ),
        ({"stop": [None, "x"]}, {"stop": [None, "x"]}),
        ({"stream_options": {"include_usage": None}}, {"stream_options": {}}),
    ],
)
def test_nulls_of_the_api_go_and_nulls_of_others_stay(body: Any, left: Any) -> None:
    """Somebody's own JSON keeps its nulls, and a message its content."""
    before = orjson.dumps(body)
    assert without_nulls(body) == left
    assert orjson.dumps(body) == before


def test_every_field_of_the_router_may_be_null() -> None:
    """Also the model, the stream flag and the extension with all its fields."""
    hints = dict.fromkeys(["session", "intent", "timeout_ms", "max_cost_usd"])
    body: dict[str, Any] = {
        "model": None,
        "stream": None,
        "messages": [{"role": "user", "content": "hi"}],
        "graftwork": hints,
        "temperature": None,
    }
    found = parse(exchange().request, orjson.dumps(body))
    assert (found.model, found.stream) == ("auto", False)
    assert found.body == {"messages": body["messages"]}
