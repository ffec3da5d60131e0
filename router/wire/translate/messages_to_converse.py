"""A Messages request as one of Bedrock's Converse.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from router.wire.translate.vocabulary import (
    a_string,
    an_object,
    malformed,
    records,
    unsupported,
)

Json = dict[str, Any]
OWN: Final = ("additionalModelRequestFields", "guardrailConfig", "performanceConfig")
"""Converse's own fields, which a client may send by these names; they are handed on."""
_IMAGES: Final = frozenset({"png", "jpeg", "gif", "webp"})
_INFERENCE: Final[Mapping[str, str]] = {
    "max_tokens": "maxTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "stop_sequences": "stopSequences",
}
_ADDITIONAL: Final = ("top_k", "thinking")
"""What Converse has no words for and Claude takes by its own."""
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9()\[\]-]+")
_MAX_NAME: Final = 180


def converse_request(body: Json) -> Json:
    """Translate a request; ``body`` is left as it is.

    Raises:
        InvalidRequest: something in it is malformed or cannot be said in Converse.
    """
    request: Json = {"messages": _Conversation().turns(body.get("messages"))}
    if system := list(_system(body.get("system"))):
        request["system"] = system
    bounds = {
        theirs: body[ours] for ours, theirs in _INFERENCE.items() if body.get(ours) is not None
    }
    if bounds:
        request["inferenceConfig"] = bounds
    if tools := _tools(body, request["messages"]):
        request["toolConfig"] = tools
    if output := _output(body.get("output_config")):
        request["outputConfig"] = output
    for name in OWN:
        if body.get(name) is not None:
            request[name] = an_object(body[name], name)
    additional = {name: body[name] for name in _ADDITIONAL if body.get(name) is not None}
    if additional:
        request["additionalModelRequestFields"] = {
            **additional,
            **request.get("additionalModelRequestFields", {}),
        }
    return request


def _cached(found: Json) -> Iterator[Json]:
    """The mark that ends what is to be cached; Converse has it as an entry of its own."""
    control = found.get("cache_control")
    if isinstance(control, dict):
        ttl = {"ttl": control["ttl"]} if control.get("ttl") in ("5m", "1h") else {}
        yield {"cachePoint": {"type": "default", **ttl}}


def _system(system: object) -> Iterator[Json]:
    if system is None or system == "":
        return
    if isinstance(system, str):
        yield {"text": system}
        return
    for number, block in enumerate(records(system, "system")):
        if block.get("type") != "text":
            raise malformed(f"system.{number}", "a block of text")
        if block.get("text") != "":  # which Converse refuses
            yield {"text": a_string(block.get("text"), f"system.{number}.text")}
        yield from _cached(block)


class _Conversation:
    """The turns of one request; no two of its documents may have the same name."""

    def __init__(self) -> None:
        self._names: Counter[str] = Counter()

    def turns(self, messages: object) -> list[Json]:
        return [
            self._turn(message, f"messages.{number}")
            for number, message in enumerate(records(messages, "messages"))
        ]

    def _turn(self, message: Json, param: str) -> Json:
        role = message.get("role")
        if role not in ("user", "assistant"):
            raise malformed(f"{param}.role", "user or assistant")
        return {"role": role, "content": list(self._blocks(message.get("content"), param))}

    def _blocks(self, content: object, param: str) -> Iterator[Json]:
        if isinstance(content, str):
            yield {"text": content}
            return
        for number, block in enumerate(records(content, f"{param}.content")):
            if block.get("type") == "text" and block.get("text") == "":
                continue  # which Converse refuses
            yield self._block(block, f"{param}.content.{number}")
            yield from _cached(block)

    def _block(self, block: Json, param: str) -> Json:
        match block.get("type"):
            case "text":
                return {"text": a_string(block.get("text"), f"{param}.text")}
            case "image":
                return {"image": _image(block, param)}
            case "document":
                return {"document": self._document(block, param)}
            case "tool_use":
                return {"toolUse": _call(block, param)}
            case "tool_result":
                return {"toolResult": self._result(block, param)}
            case "thinking":
                return {"reasoningContent": {"reasoningText": _thought(block, param)}}
            case "redacted_thinking":
                hidden = a_string(block.get("data"), f"{param}.data")
                return {"reasoningContent": {"redactedContent": hidden}}
            case kind:
                raise unsupported(param, f"is of type {kind!r}, which this model does not take")

    def _document(self, block: Json, param: str) -> Json:
        source = an_object(block.get("source"), f"{param}.source")
        kind, data = source.get("type"), source.get("data")
        if kind == "text":
            raw = base64.b64encode(a_string(data, f"{param}.source.data").encode()).decode()
            form = "txt"
        elif kind == "base64" and source.get("media_type") == "application/pdf":
            raw, form = a_string(data, f"{param}.source.data"), "pdf"
        else:
            raise unsupported(f"{param}.source", "must be a PDF in base64, or text")
        found: Json = {"format": form, "name": self._name(block), "source": {"bytes": raw}}
        if isinstance(block.get("context"), str):
            found["context"] = block["context"]
        return found

    def _name(self, block: Json) -> str:
        said = _NOT_IN_A_NAME.sub(" ", str(block.get("title") or "")).strip()[:_MAX_NAME]
        name = said or "document"
        self._names[name] += 1
        count = self._names[name]
        return name if count == 1 else f"{name} ({count})"

    def _result(self, block: Json, param: str) -> Json:
        content = block.get("content")
        told = [] if content is None else list(self._blocks(content, param))
        told = [each for each in told if "cachePoint" not in each]
        for each in told:
            if not each.keys() & {"text", "image", "document"}:
                raise unsupported(f"{param}.content", "must be text, images or documents")
        found: Json = {
            "toolUseId": a_string(block.get("tool_use_id"), f"{param}.tool_use_id"),
            "content": [each for each in told if each.get("text") != ""],
        }
        return {**found, "status": "error"} if block.get("is_error") else found


def _image(block: Json, param: str) -> Json:
    source = an_object(block.get("source"), f"{param}.source")
    media, _, form = str(source.get("media_type")).partition("/")
    if source.get("type") != "base64" or media != "image" or form not in _IMAGES:
        raise unsupported(f"{param}.source", "must be a PNG, JPEG, GIF or WebP image in base64")
    return {
        "format": form,
        "source": {"bytes": a_string(source.get("data"), f"{param}.source.data")},
    }


def _call(block: Json, param: str) -> Json:
    return {
        "toolUseId": a_string(block.get("id"), f"{param}.id"),
        "name": a_string(block.get("name"), f"{param}.name"),
        "input": an_object(block.get("input"), f"{param}.input"),
    }


def _thought(block: Json, param: str) -> Json:
    found = {"text": a_string(block.get("thinking"), f"{param}.thinking")}
    signature = block.get("signature")
    return {**found, "signature": signature} if isinstance(signature, str) and signature else found


def _tools(body: Json, turns: list[Json]) -> Json | None:
    if not body.get("tools"):
        return None
    choice = an_object(body.get("tool_choice") or {"type": "auto"}, "tool_choice")
    kind = choice.get("type")
    if kind == "none":
        if any(block.keys() & {"toolUse", "toolResult"} for t in turns for block in t["content"]):
            raise unsupported("tool_choice", "cannot be none for this model after a tool was used")
        return None
    found: Json = {"tools": []}
    for number, tool in enumerate(records(body["tools"], "tools")):
        found["tools"] += [_tool(tool, f"tools.{number}"), *_cached(tool)]
    if kind == "any":
        found["toolChoice"] = {"any": {}}
    elif kind == "tool":
        name = a_string(choice.get("name"), "tool_choice.name")
        found["toolChoice"] = {"tool": {"name": name}}
    elif kind != "auto":
        raise malformed("tool_choice.type", "auto, any, tool or none")
    return found


def _tool(tool: Json, param: str) -> Json:
    if tool.get("type", "custom") != "custom":
        raise unsupported(param, "must be a function for this model")
    spec: Json = {
        "name": a_string(tool.get("name"), f"{param}.name"),
        "inputSchema": {"json": an_object(tool.get("input_schema"), f"{param}.input_schema")},
    }
    if tool.get("description"):
        spec["description"] = a_string(tool["description"], f"{param}.description")
    if isinstance(tool.get("strict"), bool):
        spec["strict"] = tool["strict"]
    return {"toolSpec": spec}


def _output(wanted: object) -> Json:
    if wanted is None:
        return {}
    config = an_object(wanted, "output_config")
    found: Json = {}
    form = config.get("format")
    if form is not None:
        form = an_object(form, "output_config.format")
        if form.get("type") != "json_schema":
            raise unsupported("output_config.format", "must be json_schema for this model")
        schema = orjson.dumps(an_object(form.get("schema"), "output_config.format.schema")).decode()
        told = {"jsonSchema": {"schema": schema, "name": "answer"}}
        found["textFormat"] = {"type": "json_schema", "structure": told}
    if config.get("effort") is not None:
        found["effort"] = a_string(config["effort"], "output_config.effort")
    return found
