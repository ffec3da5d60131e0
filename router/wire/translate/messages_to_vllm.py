"""A Messages request as vLLM itself turns it into chat, to the letter, where it can be said so.

vLLM answers ``/v1/messages`` with its chat code, after a conversion of its own
(``AnthropicServingMessages.to_chat_completion_request``). Asked through chat with this body, the
model reads the same prompt; ``tests/unit/serving`` compares the two. ``messages_to_chat`` is for
other servers: it parts the system's blocks, marks results that are errors and forgets thoughts,
which vLLM does not.
"""

from __future__ import annotations

import json
from typing import Any, Final

Body = dict[str, Any]

_SAME: Final = (
    "temperature",
    "top_p",
    "top_k",
    "watermarking",
    "cache_salt",
    "kv_transfer_params",
    "ec_transfer_params",
    "vllm_xargs",
    "chat_template_kwargs",
)
_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
_EFFORTS: Final = (None, "low", "medium", "high", "xhigh", "max")
_BILLING: Final = "x-anthropic-billing-header"
"""Claude Code's first system block; its hash would spoil the prefix cache, so vLLM drops it."""


class Unlike(ValueError):
    """Chat cannot say this as vLLM's own route would; the text names what."""


def difference(body: Body) -> str | None:
    """What of a request chat cannot say to vLLM; None: ``vllm_request`` says all of it."""
    try:
        vllm_request(body)
    except Unlike as error:
        return str(error)
    return None


def vllm_request(body: Body) -> Body:
    """Translate a request; ``body`` is left as it is.

    Raises:
        Unlike: something in it chat cannot say, or vLLM would refuse it.
    """
    if body.get("thinking") is not None:
        raise Unlike("thinking")  # what ``disabled`` does depends on the model's chat template
    limit = body.get("max_tokens")
    if type(limit) is not int or limit <= 0:
        raise Unlike("max_tokens")
    request: Body = {
        "model": body.get("model"),
        "messages": [*_system(body.get("system")), *_conversation(body.get("messages"))],
        "max_tokens": limit,
        "max_completion_tokens": limit,
        "stop": body.get("stop_sequences"),
    }
    request |= {name: body[name] for name in _SAME if body.get(name) is not None}
    if body.get("stream"):
        usage = {"include_usage": True, "continuous_usage_stats": True}
        request |= {"stream": True, "stream_options": usage}
    return request | _output(body.get("output_config")) | _tools(body)


def _system(system: Any) -> list[Body]:
    if not system:
        return []
    if isinstance(system, str):
        return [{"role": "system", "content": system}]
    texts = [_string(block, "text") for block in _blocks(system, "system", {"text"})]
    said = "".join(text for text in texts if not text.startswith(_BILLING))
    return [{"role": "system", "content": said}] if said else []


def _conversation(messages: Any) -> list[Body]:
    found: list[Body] = []
    for message in _objects(messages, "messages"):
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant"):
            # Where vLLM puts a system message in the middle depends on the model's chat template.
            raise Unlike("a message of neither user nor assistant")
        if isinstance(content, str):
            found.append({"role": role, "content": content})
        elif role == "assistant":
            found.append(_assistant(content))
        else:
            found += _user(content)
    return found


_OF_THE_USER: Final = frozenset({"text", "image", "tool_result"})
_OF_THE_ASSISTANT: Final = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})


def _user(content: Any) -> list[Body]:
    found: list[Body] = []
    parts: list[Body] = []
    for block in _blocks(content, "messages", _OF_THE_USER):
        if block["type"] == "tool_result":
            found += _result(block)
        else:
            parts += _part(block)
    return [*found, {"role": "user", "content": _said(parts)}] if parts else found


def _assistant(content: Any) -> Body:
    parts: list[Body] = []
    thoughts: list[str] = []
    calls: list[Body] = []
    for block in _blocks(content, "messages", _OF_THE_ASSISTANT):
        match block["type"]:
            case "text":
                parts += _part(block)
            case "thinking":
                thoughts.append(_string(block, "thinking"))
            case "tool_use":
                calls.append(_call(block))
    message: Body = {"role": "assistant"}
    if thoughts:
        message["reasoning"] = "".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    if parts:
        message["content"] = _said(parts)
    return message


def _said(parts: list[Body]) -> Any:
    alone = len(parts) == 1 and parts[0]["type"] == "text"
    return parts[0]["text"] if alone else parts


def _part(block: Body) -> list[Body]:
    """A block as a part; vLLM leaves empty ones out."""
    if block["type"] == "image":
        url = _image(block.get("source"))
        return [{"type": "image_url", "image_url": {"url": url}}]
    text = _string(block, "text")
    return [{"type": "text", "text": text}] if text else []


def _image(source: Any) -> str:
    if not isinstance(source, dict) or source.get("type") not in ("url", "base64"):
        raise Unlike("an image without a source")
    if source["type"] == "url":
        return _string(source, "url")
    return f"data:{_string(source, 'media_type')};base64,{_string(source, 'data')}"


def _call(block: Body) -> Body:
    given = block.get("input")
    if not isinstance(given, dict):
        raise Unlike("a tool call without input")
    function = {"name": _string(block, "name"), "arguments": json.dumps(given)}
    return {"id": _string(block, "id"), "type": "function", "function": function}


def _result(block: Body) -> list[Body]:
    """A tool's message, and one of the user with its images."""
    content = block.get("content") or ""
    images: list[str] = []
    if not isinstance(content, str):
        texts: list[str] = []
        for item in _blocks(content, "tool_result", {"text", "image"}):
            if item["type"] == "text":
                texts.append(_string(item, "text"))
            else:
                images.append(_image(item.get("source")))
        content = "\n".join(texts)
    identity = _string(block, "tool_use_id")
    found: list[Body] = [{"role": "tool", "tool_call_id": identity, "content": content}]
    if images:
        shown = [{"type": "image_url", "image_url": {"url": url}} for url in images]
        found.append({"role": "user", "content": shown})
    return found


def _output(config: Any) -> Body:
    """The form of the answer, and how much is to be thought about it."""
    if config is None:
        return {}
    if not isinstance(config, dict) or config.get("effort") not in _EFFORTS:
        raise Unlike("output_config")
    effort, form = config.get("effort"), config.get("format")
    found: Body = {} if effort is None else {"reasoning_effort": effort}
    if form is None:
        return found
    schema = form.get("schema") if isinstance(form, dict) else None
    if not isinstance(schema, dict) or not schema or form.get("type") != "json_schema":
        raise Unlike("output_config.format")
    named = {"name": "json_schema", "schema": schema}
    return found | {"response_format": {"type": "json_schema", "json_schema": named}}


def _tools(body: Body) -> Body:
    given, choice = body.get("tools"), body.get("tool_choice")
    if given is None:
        if choice is not None:
            raise Unlike("tool_choice without tools")
        return {"tool_choice": None}
    tools = [_tool(tool) for tool in _objects(given, "tools")]
    if not tools:
        raise Unlike("an empty list of tools")  # chat refuses it; to a template it is not none
    found: Body = {"tools": tools, "tool_choice": "auto"}
    if choice is None:
        return found
    kind = choice.get("type") if isinstance(choice, dict) else None
    if kind == "tool" and choice.get("name") in [tool["function"]["name"] for tool in tools]:
        found["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}}
    elif isinstance(kind, str) and kind in _CHOICES:
        found["tool_choice"] = _CHOICES[kind]
    else:
        raise Unlike("tool_choice")
    return found | {"parallel_tool_calls": not choice.get("disable_parallel_tool_use")}


def _tool(tool: Body) -> Body:
    schema = tool.get("input_schema")
    if tool.get("type", "custom") != "custom" or not isinstance(schema, dict):
        raise Unlike("a server's tool")
    function = {
        "name": _string(tool, "name"),
        "description": tool.get("description"),
        "parameters": schema if "type" in schema else {**schema, "type": "object"},
        "strict": tool.get("strict"),
        "defer_loading": tool.get("defer_loading"),
    }
    return {"type": "function", "function": function}


def _blocks(content: Any, where: str, known: set[str] | frozenset[str]) -> list[Body]:
    blocks = _objects(content, where)
    for block in blocks:
        kind = block.get("type")
        if not isinstance(kind, str) or kind not in known:
            raise Unlike(f"a block in {where} that is none of {', '.join(sorted(known))}")
    return blocks


def _objects(value: Any, where: str) -> list[Body]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise Unlike(f"{where} that is no list of objects")
    return value


def _string(found: Body, name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str):
        raise Unlike(f"{name} that is no text")
    return value
