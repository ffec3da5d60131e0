"""A Messages request as a chat completion request."""

from __future__ import annotations

from typing import Any

import orjson

from router.wire.translate.signatures import signature_of, signed
from router.wire.translate.vocabulary import malformed, records, unsupported

_SAME = ("model", "stream", "temperature", "top_p")
_CHOICES = {"auto": "auto", "none": "none", "any": "required"}
_TIERS = {"auto": "auto", "standard_only": "default"}
_REFUSED = {
    "container": "is not offered by this model",
    "mcp_servers": "is not offered by this model",
    "inference_geo": "is not a promise that this model can give",
}
_IN_RESULTS = frozenset({"text", "image", "document"})
_FORGOTTEN = frozenset({"thinking", "redacted_thinking"})


def chat_request(
    body: dict[str, Any], *, max_tokens_field: str, ask_for_usage: bool
) -> dict[str, Any]:
    """Translate a request; ``body`` is left as it is.

    Thinking of earlier turns is forgotten: its signature means nothing to another model. Google's
    signatures are given back with the calls that they came with.

    Args:
        body: the Messages request.
        max_tokens_field: what the upstream calls the bound on the answer.
        ask_for_usage: whether a stream is asked for its token counts.

    Raises:
        InvalidRequest: something in it is malformed or cannot be said in chat.
    """
    _refuse_what_changes_the_answer(body)
    request = {name: body[name] for name in _SAME if body.get(name) is not None}
    request["messages"] = _system(body.get("system"))
    for number, message in enumerate(records(body.get("messages"), "messages")):
        request["messages"] += _turn(message, f"messages.{number}")
    if body.get("max_tokens") is not None:
        request[max_tokens_field] = body["max_tokens"]
    if body.get("stop_sequences"):
        request["stop"] = body["stop_sequences"]
    if body.get("stream") and ask_for_usage:
        request["stream_options"] = {"include_usage": True}
    metadata = body.get("metadata")
    if isinstance(metadata, dict) and metadata.get("user_id"):
        request["user"] = metadata["user_id"]
    if tier := _TIERS.get(str(body.get("service_tier"))):
        request["service_tier"] = tier
    request.update(_tools(body))
    request.update(_format(body.get("output_config")))
    return request


def _refuse_what_changes_the_answer(body: dict[str, Any]) -> None:
    for name, why in _REFUSED.items():
        if body.get(name):
            raise unsupported(name, why)


def _system(system: object) -> list[dict[str, Any]]:
    if not system:
        return []
    if isinstance(system, str):
        return [{"role": "system", "content": system}]
    texts = []
    for number, block in enumerate(records(system, "system")):
        if block.get("type", "text") != "text":
            raise _unknown(block, f"system.{number}")
        texts.append(str(block.get("text", "")))
    return [{"role": "system", "content": "\n\n".join(texts)}]


def _turn(message: dict[str, Any], param: str) -> list[dict[str, Any]]:
    role, content = str(message.get("role")), message.get("content")
    if role not in {"user", "assistant", "system"}:
        raise malformed(f"{param}.role", "user or assistant")
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    blocks = records(content, f"{param}.content")
    if role == "assistant":
        return [_assistant(blocks, param)]
    return _user(role, blocks, param)


def _assistant(blocks: list[dict[str, Any]], param: str) -> dict[str, Any]:
    texts: list[str] = []
    calls: list[dict[str, Any]] = []
    signature: str | None = None
    for number, block in enumerate(blocks):
        kind = str(block.get("type"))
        if kind == "text":
            texts.append(str(block.get("text", "")))
        elif kind == "tool_use":
            calls.append(_tool_call(block) | signed(signature))
        elif kind not in _FORGOTTEN:
            raise _unknown(block, f"{param}.content.{number}")
        signature = signature_of(block)
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None}
    if calls:
        message["tool_calls"] = calls
    elif message["content"] is None:
        message["content"] = ""
    return message


def _tool_call(block: dict[str, Any]) -> dict[str, Any]:
    arguments = orjson.dumps(block.get("input") or {}).decode()
    return {
        "id": block.get("id"),
        "type": "function",
        "function": {"name": block.get("name"), "arguments": arguments},
    }


def _user(role: str, blocks: list[dict[str, Any]], param: str) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for number, block in enumerate(blocks):
        where = f"{param}.content.{number}"
        if block.get("type") == "tool_result":
            results.append(_tool_message(block, where))
            parts += _images_of(block, where)
        else:
            parts.append(_part(block, where))
    if not parts:
        return results
    if len(parts) == 1 and parts[0]["type"] == "text":
        return [*results, {"role": role, "content": parts[0]["text"]}]
    return [*results, {"role": role, "content": parts}]


def _tool_message(block: dict[str, Any], param: str) -> dict[str, Any]:
    content = block.get("content") or ""
    if not isinstance(content, str):
        found = records(content, f"{param}.content")
        for number, part in enumerate(found):
            if str(part.get("type")) not in _IN_RESULTS:
                raise _unknown(part, f"{param}.content.{number}")
        content = "\n".join(str(part.get("text", "")) for part in found if "text" in part)
    if block.get("is_error"):
        content = f"Error: {content}"
    return {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": content}


def _images_of(block: dict[str, Any], param: str) -> list[dict[str, Any]]:
    """A tool message holds only text in chat, so its images follow in the user's message."""
    content = block.get("content")
    if not isinstance(content, list):
        return []
    return [
        _part(part, param)
        for part in content
        if isinstance(part, dict) and part.get("type") in ("image", "document")
    ]


def _part(block: dict[str, Any], param: str) -> dict[str, Any]:
    source = block.get("source")
    match block.get("type"), source:
        case "text", _:
            return {"type": "text", "text": block.get("text", "")}
        case "image", {"type": "base64", "media_type": media_type, "data": data}:
            return {"type": "image_url", "image_url": {"url": f"data:{media_type};base64,{data}"}}
        case "image", {"type": "url", "url": url}:
            return {"type": "image_url", "image_url": {"url": url}}
        case "document", {"type": "text", "data": text}:
            about = [block.get(name) for name in ("title", "context")]
            return {"type": "text", "text": "\n\n".join([*filter(None, about), text])}
        case "document", {"type": "base64", "media_type": media_type, "data": data}:
            file = {
                "filename": block.get("title") or "document",
                "file_data": f"data:{media_type};base64,{data}",
            }
            return {"type": "file", "file": file}
        case _:
            raise _unknown(block, param)


def _unknown(block: dict[str, Any], param: str) -> Exception:
    return unsupported(param, f"is of type {block.get('type')!r}, which this model does not take")


def _tools(body: dict[str, Any]) -> dict[str, Any]:
    if not body.get("tools"):
        wanted = body.get("tool_choice")
        if isinstance(wanted, dict) and wanted.get("type") not in ("none", "auto"):
            raise malformed("tool_choice", "used with `tools`")
        return {}
    tools = records(body["tools"], "tools")
    found: dict[str, Any] = {"tools": [_tool(t, f"tools.{n}") for n, t in enumerate(tools)]}
    choice = body.get("tool_choice")
    if not isinstance(choice, dict):
        return found
    if choice.get("type") == "tool":
        found["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif str(choice.get("type")) in _CHOICES:
        found["tool_choice"] = _CHOICES[choice["type"]]
    else:
        raise malformed("tool_choice.type", "auto, any, tool or none")
    if choice.get("disable_parallel_tool_use"):
        found["parallel_tool_calls"] = False
    return found


def _tool(tool: dict[str, Any], param: str) -> dict[str, Any]:
    if tool.get("type", "custom") != "custom" or "input_schema" not in tool:
        raise unsupported(param, "must be a tool of your own: this model has no server tools")
    function = {"name": tool.get("name"), "parameters": tool["input_schema"]}
    for name in ("description", "strict"):
        if tool.get(name) is not None:
            function[name] = tool[name]
    return {"type": "function", "function": function}


def _format(config: object) -> dict[str, Any]:
    form = config.get("format") if isinstance(config, dict) else None
    if not isinstance(form, dict):
        return {}
    schema = {"name": "answer", "schema": form.get("schema", {}), "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}
