"""Whether what a model wrote has the form that was asked of it: tool calls, and JSON.

A sign, not a judgement: of JSON Schema what models get wrong is looked at, in bounded time, and
whatever else a schema says counts as kept. Patterns are not run: they are the client's, and may
take for ever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from router.wire.answered import Answered, ToolCall

_MAX_VALUES: Final = 5000
_MAX_DEPTH: Final = 40
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}


def broken_calls(body: Mapping[str, Any], answer: Answered) -> list[str]:
    """What is wrong with the calls of an answer, the first of each; empty: nothing.

    Args:
        body: the request, which names the tools.
        answer: what was said.
    """
    tools = dict(_tools(body))
    if answer.is_cut:
        return []
    found = [why for call in answer.calls if (why := _broken(call, tools)) is not None]
    if not answer.calls and _must_call(body) and not answer.is_refused:
        found.append("a call was required, and there is none")
    return found


def broken_json(body: Mapping[str, Any], answer: Answered) -> str | None:
    """What is wrong with the JSON that a request asks for; None: nothing, or it asks for none."""
    wanted = _form(body)
    if wanted is None or answer.calls or answer.is_cut or answer.is_refused:
        return None
    try:
        value = orjson.loads(answer.text)
    except orjson.JSONDecodeError:
        return "it is no JSON"
    return mismatch(value, wanted)


def mismatch(value: Any, schema: Any) -> str | None:
    """Where a value first breaks a schema, in words that repeat nothing of the value."""
    return _Check(schema).value(value, schema, "", 0)


def _broken(call: ToolCall, tools: Mapping[str | None, Any]) -> str | None:
    if call.name not in tools:
        # The API's own tools have no definition; then nothing can be said of any call.
        return "a tool that does not exist was called" if tools and None not in tools else None
    schema = tools[call.name]
    if schema is None:  # it takes free text
        return None
    try:
        value = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError:
        return "the arguments of a call are no JSON"
    if not isinstance(value, dict):
        return "the arguments of a call are no object"
    return mismatch(value, schema)


def _tools(body: Mapping[str, Any]) -> Iterator[tuple[str | None, Any]]:
    """Name and schema of each tool, in any API; of hosted ones the name is None."""
    for tool in [*_dicts(body.get("tools")), *_dicts(body.get("functions"))]:
        inner = tool.get("function") if isinstance(tool.get("function"), dict) else tool
        assert isinstance(inner, dict)
        if tool.get("type") == "custom" and "input_schema" not in tool:
            free = tool.get("custom") if isinstance(tool.get("custom"), dict) else tool
            assert isinstance(free, dict)
            yield free.get("name"), None
            continue
        schema = inner.get("parameters", inner.get("input_schema"))
        is_known = isinstance(inner.get("name"), str) and tool.get("type") in (
            None,
            "function",
            "custom",
        )
        yield (inner["name"], schema or {}) if is_known else (None, None)


def _must_call(body: Mapping[str, Any]) -> bool:
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        return choice.get("type") in ("any", "tool", "function")
    return choice == "required"


def _form(body: Mapping[str, Any]) -> Any:
    """The schema that the answer should have; ``{"type": "object"}`` for any JSON object."""
    form, text = body.get("response_format"), body.get("text")
    if form is None and isinstance(text, dict):
        form = text.get("format")
    if not isinstance(form, dict):
        return None
    if form.get("type") == "json_object":
        return {"type": "object"}
    if form.get("type") != "json_schema":
        return None
    inner = form.get("json_schema")
    return (inner if isinstance(inner, dict) else form).get("schema") or {}


@dataclass
class _Check:
    """One walk over a value beside its schema."""

    root: Any
    left: int = field(default=_MAX_VALUES)

    def value(self, value: Any, schema: Any, at: str, depth: int) -> str | None:
        self.left -= 1
        if self.left < 0 or depth > _MAX_DEPTH or not isinstance(schema, dict):
            return None if schema is not False else f"{at or 'the value'} may not be there"
        if "$ref" in schema:
            return self.value(value, self._named(schema["$ref"]), at, depth + 1)
        return (
            _of_type(value, schema, at)
            or self._choices(value, schema, at, depth)
            or self._inside(value, schema, at, depth)
        )

    def _named(self, ref: Any) -> Any:
        """What a reference inside the schema names; True, which allows all, for any other."""
        if not isinstance(ref, str) or not ref.startswith("#"):
            return True
        found = self.root
        for step in ref[1:].strip("/").split("/"):
            if step:
                found = found.get(step) if isinstance(found, dict) else None
        return True if found is None else found

    def _choices(self, value: Any, schema: dict[str, Any], at: str, depth: int) -> str | None:
        for name in ("anyOf", "oneOf"):
            options = schema.get(name)
            if not isinstance(options, list) or not options:
                continue
            if all(self.value(value, option, at, depth + 1) for option in options):
                return f"{at or 'the value'} is none of what it may be"
        for part in _list(schema.get("allOf")):
            if why := self.value(value, part, at, depth + 1):
                return why
        return None

    def _inside(self, value: Any, schema: dict[str, Any], at: str, depth: int) -> str | None:
        if isinstance(value, list):
            items = schema.get("items")
            whys = (self.value(each, items, f"{at}[]", depth + 1) for each in value)
            return next((why for why in whys if why), None)
        if not isinstance(value, dict):
            return None
        known = schema.get("properties")
        known = known if isinstance(known, dict) else {}
        for name in _list(schema.get("required")):
            if isinstance(name, str) and name not in value:
                return f"{at}.{name} is missing"
        for name, each in value.items():
            if name not in known and schema.get("additionalProperties") is False:
                if "patternProperties" not in schema:
                    return f"{at or 'the value'} has a field that nobody knows"
            elif why := self.value(each, known.get(name), f"{at}.{name}", depth + 1):
                return why
        return None


def _of_type(value: Any, schema: dict[str, Any], at: str) -> str | None:
    wanted = schema.get("type")
    names = wanted if isinstance(wanted, list) else [wanted]
    known = [name for name in names if isinstance(name, str) and name in _TYPES]
    if known and not any(_is(value, name) for name in known):
        return f"{at or 'the value'} is no {' or '.join(known)}"
    if isinstance(schema.get("enum"), list) and value not in schema["enum"]:
        return f"{at or 'the value'} is none of what it may be"
    if "const" in schema and value != schema["const"]:
        return f"{at or 'the value'} is not what it must be"
    return None


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[name])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in _list(value) if isinstance(each, dict)]
