"""A chat completion request as a Messages request."""

from __future__ import annotations

import re
from typing import Any

import orjson

from router.wire.translate.content_to_messages import content_blocks, system_blocks
from router.wire.translate.vocabulary import malformed, records, unsupported

_SAME = ("model", "stream", "top_p", "top_k", "thinking")
_REFUSED = {
    "functions": "is replaced by `tools`",
    "function_call": "is replaced by `tool_choice`",
    "logprobs": "is not offered by this model",
    "top_logprobs": "is not offered by this model",
    "audio": "is not offered by this model",
    "web_search_options": "is not offered by this model",
}
HOTTEST = 1.0
"""Messages' temperatures end here, chat's at 2."""
_TIERS = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}
_BEGIN = "(The conversation begins with the assistant.)"
_NOT_IN_AN_ID = re.compile(r"[^a-zA-Z0-9_-]")
_CHOICES: dict[str, dict[str, Any]] = {
    "auto": {"type": "auto"},
    "none": {"type": "none"},
    "required": {"type": "any"},
}


def messages_request(body: dict[str, Any], *, default_max_tokens: int) -> dict[str, Any]:
    """Translate a request; ``body`` is left as it is.

    System and developer messages become the system prompt, wherever they stand: Messages has only
    one place for them. A conversation that the assistant begins gets a turn of the user before
    it. Neighbouring messages of one role become one, so that all results of
    parallel tool calls stand in the turn after the calls, as Messages demands.

    Args:
        body: the chat request.
        default_max_tokens: bound on the answer when the client gives none, tokens.

    Raises:
        InvalidRequest: something in it is malformed or cannot be said in Messages.
    """
    _refuse_what_changes_the_answer(body)
    system, turns = _conversation(records(body.get("messages"), "messages"))
    request = {name: body[name] for name in _SAME if body.get(name) is not None}
    request["messages"] = turns
    request["max_tokens"] = (
        body.get("max_completion_tokens") or body.get("max_tokens") or default_max_tokens
    )
    if system:
        request["system"] = system
    if isinstance(body.get("temperature"), int | float):
        request["temperature"] = min(body["temperature"], HOTTEST)
    stop = body.get("stop")
    if stop:
        request["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if user := body.get("safety_identifier") or body.get("user"):
        request["metadata"] = {"user_id": user}
    if tier := _TIERS.get(str(body.get("service_tier"))):
        request["service_tier"] = tier
    request.update(_tools(body))
    request.update(_format(body.get("response_format")))
    return request


def _refuse_what_changes_the_answer(body: dict[str, Any]) -> None:
    if body.get("n") not in (None, 1):
        raise unsupported("n", "must be 1 for this model")
    for name, why in _REFUSED.items():
        if body.get(name):
            raise unsupported(name, why)
    if body.get("modalities") not in (None, ["text"]):
        raise unsupported("modalities", "must be text for this model")


def _conversation(
    messages: list[dict[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for number, message in enumerate(messages):
        param = f"messages.{number}"
        role = str(message.get("role"))  # a set cannot be asked about a list
        if role in {"system", "developer"}:
            system += system_blocks(message.get("content"), param)
        elif role == "user":
            _say(turns, "user", content_blocks(message.get("content"), param))
        elif role == "assistant":
            _say(turns, "assistant", _assistant(message, param))
        elif role == "tool":
            _say(turns, "user", [_tool_result(message, param)])
        else:
            raise malformed(f"{param}.role", "system, developer, user, assistant or tool")
    if not turns:
        raise malformed("messages", "a list with at least one user message")
    if turns[0]["role"] == "assistant":  # which Messages does not take
        turns.insert(0, {"role": "user", "content": [{"type": "text", "text": _BEGIN}]})
    _end_without_space(turns)
    return system, turns


def _say(turns: list[dict[str, Any]], role: str, blocks: list[dict[str, Any]]) -> None:
    if not blocks:
        return  # Messages accepts no empty turn
    if turns and turns[-1]["role"] == role:
        turns[-1]["content"] += blocks
    else:
        turns.append({"role": role, "content": blocks})


def _assistant(message: dict[str, Any], param: str) -> list[dict[str, Any]]:
    blocks = content_blocks(message.get("content") or message.get("refusal"), param)
    if message.get("function_call"):
        raise unsupported(f"{param}.function_call", "is replaced by `tool_calls`")
    calls = message.get("tool_calls")
    for number, call in enumerate(records(calls, f"{param}.tool_calls") if calls else []):
        blocks.append(_tool_use(call, f"{param}.tool_calls.{number}"))
    return blocks


def _tool_use(call: dict[str, Any], param: str) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise unsupported(param, "must be a call of a function")
    try:
        arguments = orjson.loads(function.get("arguments") or "{}")
    except (orjson.JSONDecodeError, TypeError):
        arguments = None
    if not isinstance(arguments, dict):
        raise malformed(f"{param}.function.arguments", "a JSON object as text")
    return {
        "type": "tool_use",
        "id": _tool_id(call.get("id"), param),
        "name": function["name"],
        "input": arguments,
    }


def _tool_result(message: dict[str, Any], param: str) -> dict[str, Any]:
    return {
        "type": "tool_result",
        "tool_use_id": _tool_id(message.get("tool_call_id"), param),
        "content": content_blocks(message.get("content"), param),
    }


def _tool_id(value: object, param: str) -> str:
    if not isinstance(value, str) or not value:
        raise malformed(f"{param}.tool_call_id", "the id of a tool call")
    return _NOT_IN_AN_ID.sub("_", value)  # calls and results change alike, so they still match


def _end_without_space(turns: list[dict[str, Any]]) -> None:
    """A prefill must not end in white space, nor be nothing else."""
    blocks = turns[-1]["content"]
    if turns[-1]["role"] != "assistant" or blocks[-1]["type"] != "text":
        return
    blocks[-1]["text"] = blocks[-1]["text"].rstrip()
    if not blocks[-1]["text"]:
        blocks.pop()
    if not blocks:
        turns.pop()


def _tools(body: dict[str, Any]) -> dict[str, Any]:
    if not body.get("tools"):
        if body.get("tool_choice") not in (None, "none", "auto"):
            raise malformed("tool_choice", "used with `tools`")
        return {}
    tools, wanted = _allowed(records(body["tools"], "tools"), body.get("tool_choice"))
    found: dict[str, Any] = {
        "tools": [_tool(tool, f"tools.{number}") for number, tool in enumerate(tools)]
    }
    choice = _tool_choice(wanted)
    if body.get("parallel_tool_calls") is False:
        choice = choice or {"type": "auto"}
        if choice["type"] != "none":
            choice = {**choice, "disable_parallel_tool_use": True}
    if choice:
        found["tool_choice"] = choice
    return found


def _allowed(tools: list[dict[str, Any]], choice: object) -> tuple[list[dict[str, Any]], object]:
    """The tools that may be called now, and how; Messages has no list beside that of all."""
    if not isinstance(choice, dict) or choice.get("type") != "allowed_tools":
        return tools, choice
    given = choice.get("allowed_tools")
    if not isinstance(given, dict) or given.get("mode") not in ("auto", "required"):
        raise malformed("tool_choice.allowed_tools.mode", "auto or required")
    named = records(given.get("tools"), "tool_choice.allowed_tools.tools")
    names = [_name_of(tool) for tool in named]
    return [tool for tool in tools if _name_of(tool) in names], given["mode"]


def _name_of(tool: dict[str, Any]) -> object:
    function = tool.get("function")
    return function.get("name") if isinstance(function, dict) else None


def _tool(tool: dict[str, Any], param: str) -> dict[str, Any]:
    function = tool.get("function")
    if tool.get("type") != "function" or not isinstance(function, dict):
        raise unsupported(param, "must be a function for this model")
    found = {
        "name": function.get("name"),
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    for name in ("description", "strict"):
        if function.get(name) is not None:
            found[name] = function[name]
    if "cache_control" in tool:
        found["cache_control"] = tool["cache_control"]
    return found


def _tool_choice(choice: object) -> dict[str, Any] | None:
    if choice is None:
        return None
    if isinstance(choice, str) and choice in _CHOICES:
        return _CHOICES[choice]
    function = choice.get("function") if isinstance(choice, dict) else None
    if isinstance(function, dict) and isinstance(function.get("name"), str):
        return {"type": "tool", "name": function["name"]}
    raise unsupported("tool_choice", "must be auto, none, required or a function for this model")


def _format(wanted: object) -> dict[str, Any]:
    if wanted is None:
        return {}
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind == "text":
        return {}
    outer = wanted.get("json_schema") if isinstance(wanted, dict) else None
    if kind == "json_schema" and isinstance(outer, dict):
        form = {"type": "json_schema", "schema": outer.get("schema", {})}
        return {"output_config": {"format": form}}
    raise unsupported("response_format", "must be text or json_schema for this model")
