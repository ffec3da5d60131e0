"""Tools that a request offered, and calls of them as an answer makes them. Pure.

In an exchange's details stand ``tools`` (functions, as chat completions has them) or its elder form
``functions``, ``tool_calls`` of an answer that says something beside them, and ``tools_left_out``:
why not all of it is there. What is left out was in the prompt, so nothing can be trained on the
rest.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

TOOLS: Final = "tools"
FUNCTIONS: Final = "functions"
CALLS: Final = "tool_calls"
LEFT_OUT: Final = "tools_left_out"
MAX_BYTES: Final = 64 * 1024
"""Of the definitions that one request offers."""
TOO_LARGE: Final = "too large"
NO_FUNCTIONS: Final = "not functions"

Tool = Mapping[str, Any]
Call = Mapping[str, Any]
"""In chat's shape, its arguments as text."""


@dataclass(frozen=True, slots=True)
class Offered:
    """What a request offered. ``left_out`` says why it is not all of it; empty: it is."""

    tools: tuple[Tool, ...] = ()
    left_out: str = ""

    @property
    def names(self) -> frozenset[str]:
        """What may be called."""
        return frozenset(tool["function"]["name"] for tool in self.tools)


def offered(told: Mapping[str, Any]) -> Offered:
    """Read a request's ``tools`` and ``functions``, or what details keep of them."""
    given = [*_list(told.get(TOOLS)), *map(_of_function, _list(told.get(FUNCTIONS)))]
    found = [tool for each in given if (tool := _function(each)) is not None]
    left_out = str(told.get(LEFT_OUT) or "")
    return Offered(tuple(found), left_out or (NO_FUNCTIONS if len(found) < len(given) else ""))


def kept(told: Mapping[str, Any]) -> dict[str, Any]:
    """What details keep of a request's tools: all of them, or none and why."""
    found = offered(told)
    if _size(found.tools) > MAX_BYTES:
        return {LEFT_OUT: TOO_LARGE}
    tools = {TOOLS: [dict(tool) for tool in found.tools]} if found.tools else {}
    return tools | ({LEFT_OUT: found.left_out} if found.left_out else {})


def call_of(name: str, arguments: Any) -> dict[str, Any]:
    """One call in chat's shape; arguments that are JSON without the spaces that say nothing."""
    text = arguments if isinstance(arguments, str) else _json(arguments)
    call = {"type": "function", "function": {"name": name, "arguments": text}}
    if (known := arguments_of(call)) is not None:
        call["function"] = {"name": name, "arguments": _json(known)}
    return call


def calls_in(answer: str, names: Iterable[str]) -> list[dict[str, Any]]:
    """The calls that an answer consists of, written as JSON; none where it is anything else.

    Args:
        answer: whole, in the corpus's form or only ``{name, arguments}``, one or a list.
        names: of the tools that may be called.
    """
    known = frozenset(names)
    try:
        value = json.loads(answer) if known else None
    except (ValueError, RecursionError):  # 40 KB of brackets nest too deeply
        return []
    return calls_of(value if isinstance(value, list) else [value], known)


def calls_of(values: Any, names: Iterable[str]) -> list[dict[str, Any]]:
    """Calls without what is another each time; none when one of them calls no such tool."""
    known, found = frozenset(names), []
    for value in _list(values):
        inner = value.get("function", value) if isinstance(value, Mapping) else None
        told = inner if isinstance(inner, Mapping) else {}
        name = told.get("name")
        if not isinstance(name, str) or name not in known or "arguments" not in told:
            return []
        found.append(call_of(name, told["arguments"]))
    return found


def written(calls: Sequence[Call]) -> str:
    """Calls as an answer, the same for the same calls."""
    return _json(
        [call_of(each["function"]["name"], each["function"]["arguments"]) for each in calls]
    )


def in_one_spelling(answer: str, names: Iterable[str]) -> str:
    """An answer that consists of calls as all of them are written; any other as it is."""
    calls = calls_in(answer, names)
    return written(calls) if calls else answer


def arguments_of(call: Call) -> dict[str, Any] | None:
    """A call's arguments; None when they are no JSON object."""
    try:
        found = json.loads(call["function"]["arguments"] or "{}")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and _is_json(found) else None


def same_calls(ours: Sequence[Call], theirs: Sequence[Call]) -> bool:
    """Whether the same tools are called with the same arguments, in whatever order."""
    return bool(ours) and Counter(map(_canonical, ours)) == Counter(map(_canonical, theirs))


def _canonical(call: Call) -> str:
    arguments = arguments_of(call)
    told = call["function"]["arguments"] if arguments is None else _numbers(arguments)
    return json.dumps([call["function"]["name"], told], sort_keys=True)


def _numbers(value: Any) -> Any:
    """JSON in which 2 and 2.0 are one number, and none is a truth value."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return {"": float(value) if abs(value) < 2**53 else str(value)}
    if isinstance(value, Mapping):
        return {key: _numbers(each) for key, each in value.items()}
    return [_numbers(each) for each in value]


def _of_function(value: Any) -> Any:
    return {"type": "function", "function": value} if isinstance(value, Mapping) else value


def _function(value: Any) -> dict[str, Any] | None:
    """A function that engines can be told of; None of whatever else a tool is."""
    if not isinstance(value, Mapping) or value.get("type", "function") != "function":
        return None
    inner = value.get("function")
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        return None
    if not isinstance(inner.get("description"), str | None):
        return None
    if not isinstance(inner.get("parameters"), Mapping | None):
        return None
    return {"type": "function", "function": dict(inner)}


def _size(tools: Sequence[Tool]) -> int:
    try:
        return len(_json(tools).encode("utf-8", "replace"))
    except RecursionError:  # nested so that nobody could write it down
        return MAX_BYTES + 1


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _is_json(value: Any) -> bool:
    """Python also reads numbers that no JSON can hold."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=dict)
    return text.encode("utf-8", "replace").decode()
