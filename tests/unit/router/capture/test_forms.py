"""Tool calls and JSON are held against the schema that the request gave."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from router.capture.forms import broken_calls, broken_json, mismatch
from router.wire.answered import Answered, ToolCall

ORDER = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "amount": {"type": ["number", "null"]},
        "reason": {"enum": ["broken", "late"]},
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
    },
    "required": ["id"],
    "additionalProperties": False,
    "$defs": {"item": {"type": "object", "required": ["sku"]}},
}
TOOLS: dict[str, list[dict[str, Any]]] = {
    "chat": [{"type": "function", "function": {"name": "refund", "parameters": ORDER}}],
    "responses": [{"type": "function", "name": "refund", "parameters": ORDER}],
    "messages": [{"name": "refund", "input_schema": ORDER}],
}


def _call(arguments: Any, name: str = "refund") -> Answered:
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    return Answered(calls=(ToolCall(name, text),))


@pytest.mark.parametrize("api", TOOLS)
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"id": "7"}, None),
        ({"id": "7", "amount": None, "reason": "late", "items": [{"sku": 1}]}, None),
        ("", "id is missing"),
        ({}, "id is missing"),
        ({"id": 7}, "id is no string"),
        ({"id": "7", "amount": "9"}, "amount is no number or null"),
        ({"id": "7", "amount": True}, "amount is no number"),
        ({"id": "7", "reason": "bored"}, "reason is none of what"),
        ({"id": "7", "items": [{}]}, "sku is missing"),
        ({"id": "7", "ssn": "078-05-1120"}, "a field that nobody knows"),
        ('{"id": "7"', "no JSON"),
        ("[1]", "no object"),
    ],
)
def test_arguments_of_a_call(api: str, arguments: Any, why: str | None) -> None:
    """As each API defines tools; nothing of the values is repeated."""
    found = broken_calls({"tools": TOOLS[api]}, _call(arguments))
    assert bool(found) is (why is not None)
    if why is not None:
        assert why in found[0]
        assert "078" not in found[0]


def test_calls_that_are_not_there_or_name_no_tool() -> None:
    """A tool that nobody defined; a call that had to be made. A cut answer is nobody's mistake."""
    body: dict[str, Any] = {"tools": TOOLS["chat"], "tool_choice": "required"}
    assert broken_calls(body, _call({"id": "7"}, "refunds")) != []
    assert broken_calls(body, Answered(text="Gladly.")) != []
    assert broken_calls(body, Answered(text="Gladly.", end="length")) == []
    assert broken_calls(body, _call({"id": "7"})) == []
    hosted = {"tools": [{"type": "web_search"}, *TOOLS["responses"]]}
    assert broken_calls(hosted, _call({}, "search")) == []
    assert broken_calls({"tools": [{"type": "custom", "name": "sql"}]}, _call("SEL", "sql")) == []


@pytest.mark.parametrize(
    "form",
    [
        {"response_format": {"type": "json_schema", "json_schema": {"schema": ORDER}}},
        {"text": {"format": {"type": "json_schema", "name": "order", "schema": ORDER}}},
    ],
)
def test_json_that_was_asked_for(form: dict[str, Any]) -> None:
    """In both APIs that have it."""
    assert broken_json(form, Answered(text='{"id": "7"}')) is None
    assert broken_json(form, Answered(text="Here it is: {}")) == "it is no JSON"
    assert broken_json(form, Answered(text='{"id": 7}')) == ".id is no string"
    assert broken_json(form, Answered(text='{"id', end="length")) is None
    assert broken_json(form, Answered(refusal="No.")) is None
    assert broken_json({}, Answered(text="no JSON")) is None
    any_object = {"response_format": {"type": "json_object"}}
    assert broken_json(any_object, Answered(text="[]")) is not None


def test_choices_and_references() -> None:
    """What is one of several, what is all of several, and what refers to itself."""
    either = {"anyOf": [{"type": "string"}, {"type": "object", "required": ["a"]}]}
    assert mismatch("x", either) is None
    assert mismatch({}, either) is not None
    assert mismatch({"a": 1}, {"allOf": [either, {"properties": {"a": {"const": 2}}}]}) is not None
    tree = {"type": "object", "properties": {"left": {"$ref": "#"}}}
    assert mismatch({"left": {"left": {}}}, tree) is None
    assert mismatch({"left": {"left": 1}}, tree) is not None


def test_hostile_schemas_end() -> None:
    """One that names itself, one that doubles, one that is no schema."""
    began = time.thread_time()
    assert mismatch(1, {"$ref": "#"}) is None
    doubling: dict[str, Any] = {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}
    mismatch(1, doubling)
    assert mismatch({"a": 1}, {"properties": 7, "required": "a", "items": [], "anyOf": 3}) is None
    assert mismatch("x", {"$ref": "https://example.com/schema"}) is None
    assert time.thread_time() - began < 1
