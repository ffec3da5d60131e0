"""Explicit nulls: typed SDKs send every optional field that was not set as null, and mean absent.

Servers differ in which nulls they bear. So they are left out, of the request itself and of what its
API is made of (messages, parts, tools, options), never of what is somebody's own JSON: a tool's
arguments, a schema, metadata. There a null says something.
"""

from __future__ import annotations

from typing import Any, Final

_OWN_JSON: Final = frozenset(
    {
        "arguments",
        "chat_template_kwargs",
        "definition",
        "facts",
        "guided_json",
        "input_examples",
        "input_schema",
        "json",
        "kv_transfer_params",
        "logit_bias",
        "metadata",
        "parameters",
        "schema",
        "vllm_xargs",
    }
)
"""Fields whose value belongs to the client or to a tool."""
_CALLS: Final = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
_KEPT: Final = frozenset({"content"})
"""A message must have its content: null there is content."""
_MAX_DEPTH: Final = 16


def without_nulls(body: dict[str, Any]) -> dict[str, Any]:
    """The same request without the optional fields that are null; ``body`` stays as it is."""
    return _object(body, 0)


def _object(value: dict[str, Any], depth: int) -> dict[str, Any]:
    is_call = value.get("type") in _CALLS if isinstance(value.get("type"), str) else False
    found: dict[str, Any] = {}
    for name, each in value.items():
        if each is None:
            if name in _KEPT and depth:
                found[name] = None
        elif name in _OWN_JSON or (is_call and name == "input"):
            found[name] = each
        else:
            found[name] = _any(each, depth + 1)
    return found


def _any(value: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        return value
    if type(value) is dict:
        return _object(value, depth)
    if type(value) is list:
        return [_any(each, depth + 1) for each in value]
    return value
