"""A chat completion request as one of Gemini's ``generateContent``.

https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from router.wire.translate.signatures import signature_in
from router.wire.translate.vocabulary import (
    a_string,
    an_object,
    malformed,
    records,
    unsupported,
)

Json = dict[str, Any]
OWN: Final = ("safetySettings", "thinkingConfig", "mediaResolution", "labels")
"""Gemini's own fields, which a client may send by these names; they are handed on."""
_BESIDE: Final = ("safetySettings", "labels")
_INFERENCE: Final[Mapping[str, str]] = {
    "max_tokens": "maxOutputTokens",
    "max_completion_tokens": "maxOutputTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "n": "candidateCount",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_REFUSED: Final[Mapping[str, str]] = {
    "functions": "is replaced by `tools`",
    "function_call": "is replaced by `tool_choice`",
    "audio": "is not offered by this model",
    "web_search_options": "is not offered by this model",
}
_MODES: Final[Mapping[str, str]] = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_BUDGETS: Final[Mapping[str, int]] = {
    "none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576,
    "max": 24576,
}  # fmt: skip
"""What Google's OpenAI-compatible API makes of an effort for models that count thoughts."""
_LEVELS: Final[Mapping[str, str]] = {
    "none": "minimal", "minimal": "minimal", "low": "low", "medium": "medium", "high": "high",
    "xhigh": "high", "max": "high",
}  # fmt: skip
_SINCE_3: Final = re.compile(r"gemini-(?:[3-9]|\d\d)")
"""Models with levels of thinking, which refuse calls of tools that nobody signed."""
UNSIGNED: Final = "skip_thought_signature_validator"
"""What stands for the signature of a call that another model made.

https://ai.google.dev/gemini-api/docs/thought-signatures
"""
_DATA_URL: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+);base64,(.*)", re.DOTALL)
_SYSTEM: Final = frozenset({"system", "developer"})
_EXACT: Final = 1 << 53
"""Google reads numbers as doubles: longer whole numbers would become others."""


def gemini_request(body: Json) -> Json:
    """Translate a request; ``body`` is left as it is.

    Raises:
        InvalidRequest: something in it is malformed or cannot be said in ``generateContent``.
    """
    for name, why in _REFUSED.items():
        if body.get(name):
            raise unsupported(name, why)
    if body.get("modalities") not in (None, ["text"]):
        raise unsupported("modalities", "can only be text for this model")
    model = str(body.get("model", ""))
    system, contents = _Conversation(model).turns(body.get("messages"))
    request: Json = {"contents": contents}
    if system:
        request["systemInstruction"] = {"parts": system}
    request |= _tools(body)
    if config := _config(body, model):
        request["generationConfig"] = config
    return request | {name: body[name] for name in _BESIDE if body.get(name) is not None}


def _config(body: Json, model: str) -> Json:
    found = {
        theirs: body[ours] for ours, theirs in _INFERENCE.items() if body.get(ours) is not None
    }
    stop = body.get("stop")
    if stop:
        found["stopSequences"] = [stop] if isinstance(stop, str) else stop
    if body.get("logprobs"):
        found["responseLogprobs"] = True
        if body.get("top_logprobs"):
            found["logprobs"] = body["top_logprobs"]
    found |= _form(body.get("response_format"))
    own = body.get("thinkingConfig")
    thinking = _thinking(body.get("reasoning_effort"), model)
    if own is not None:
        thinking |= an_object(own, "thinkingConfig")
    if thinking:
        found["thinkingConfig"] = thinking
    if body.get("mediaResolution") is not None:
        found["mediaResolution"] = body["mediaResolution"]
    return found


def _form(form: object) -> Json:
    """The form of the answer."""
    if form is None:
        return {}
    wanted = an_object(form, "response_format")
    kind = wanted.get("type")
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"responseMimeType": "application/json"}
    if kind != "json_schema":
        raise unsupported("response_format", "must be text, json_object or json_schema")
    told = an_object(wanted.get("json_schema"), "response_format.json_schema")
    schema = told.get("schema")
    found: Json = {"responseMimeType": "application/json"}
    if schema is not None:
        found["responseJsonSchema"] = an_object(schema, "response_format.json_schema.schema")
    return found


def _thinking(effort: object, model: str) -> Json:
    if effort is None:
        return {}
    said = str(effort)
    if said not in _LEVELS:
        raise malformed("reasoning_effort", f"one of {', '.join(_LEVELS)}")
    if _SINCE_3.search(model):
        return {"thinkingLevel": _LEVELS[said]}
    return {"thinkingBudget": _BUDGETS[said]}


class _Conversation:
    """The turns of one request: a tool's result needs the name that only its call has."""

    def __init__(self, model: str) -> None:
        self._signs = _SINCE_3.search(model) is not None
        self._names: dict[str, str] = {}
        self._results: list[Json] | None = None

    def turns(self, messages: object) -> tuple[list[Json], list[Json]]:
        """The parts of the system's instruction, and the turns."""
        system: list[Json] = []
        contents: list[Json] = []
        for number, message in enumerate(records(messages, "messages")):
            param, role = f"messages.{number}", str(message.get("role"))
            if role in _SYSTEM:
                system += _texts(message.get("content"), param)
                continue
            if role == "tool":
                self._result(message, param, contents)
                continue
            self._results = None
            if role == "user":
                parts = list(_parts(message.get("content"), param))
            elif role == "assistant":
                parts = self._said(message, param)
            else:
                raise malformed(f"{param}.role", "system, developer, user, assistant or tool")
            if parts:
                contents.append({"role": "user" if role == "user" else "model", "parts": parts})
        if not contents:
            raise malformed("messages", "at least one that is not the system's, with content")
        return system, contents

    def _said(self, message: Json, param: str) -> list[Json]:
        if message.get("function_call"):
            raise unsupported(f"{param}.function_call", "is replaced by `tool_calls`")
        parts = list(_parts(message.get("content"), param, said=True))
        if refusal := message.get("refusal"):
            parts.append({"text": a_string(refusal, f"{param}.refusal")})
        signature = signature_in(message)
        if signature is not None and parts:
            parts[-1]["thoughtSignature"] = signature
        calls = records(message.get("tool_calls") or [], f"{param}.tool_calls")
        for number, call in enumerate(calls):
            parts.append(self._call(call, f"{param}.tool_calls.{number}", first=number == 0))
        return parts

    def _call(self, call: Json, param: str, *, first: bool) -> Json:
        if call.get("type", "function") != "function":
            raise unsupported(param, "must be a function for this model")
        function = an_object(call.get("function"), f"{param}.function")
        name = a_string(function.get("name"), f"{param}.function.name")
        found: Json = {"name": name, "args": _arguments(function, f"{param}.function.arguments")}
        if isinstance(call.get("id"), str):
            found["id"] = call["id"]
            self._names[call["id"]] = name
        part: Json = {"functionCall": found}
        signature = signature_in(call)
        if signature is None and first and self._signs:
            signature = UNSIGNED
        return part if signature is None else {**part, "thoughtSignature": signature}

    def _result(self, message: Json, param: str, contents: list[Json]) -> None:
        """The results of one turn's calls belong into one turn."""
        number = a_string(message.get("tool_call_id"), f"{param}.tool_call_id")
        if number not in self._names:
            raise malformed(f"{param}.tool_call_id", "that of a call before it")
        said = "".join(part["text"] for part in _texts(message.get("content"), param))
        told = {"id": number, "name": self._names[number], "response": _response(said)}
        if self._results is None:
            self._results = []
            contents.append({"role": "user", "parts": self._results})
        self._results.append({"functionResponse": told})


def _arguments(function: Json, param: str) -> Json:
    said = function.get("arguments")
    if said in (None, ""):
        return {}
    try:
        return an_object(orjson.loads(a_string(said, param)), param)
    except orjson.JSONDecodeError as error:
        raise malformed(param, "a JSON object") from error


def _response(said: str) -> Json:
    """A result that is a JSON object goes as one; anything else as it was said."""
    try:
        found = orjson.loads(said)
    except orjson.JSONDecodeError:
        return {"output": said}
    is_whole = isinstance(found, dict) and _is_exact(found)
    return {"output": found if is_whole else said}


def _is_exact(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_exact, value.values()))
    if isinstance(value, list):
        return all(map(_is_exact, value))
    return not isinstance(value, int) or abs(value) <= _EXACT


def _texts(content: object, param: str) -> list[Json]:
    parts = list(_parts(content, param))
    if any("text" not in part for part in parts):
        raise malformed(f"{param}.content", "text")
    return parts


def _parts(content: object, param: str, *, said: bool = False) -> Iterator[Json]:
    """Empty texts are left out: Gemini refuses parts without anything in them."""
    if content is None or content == "":
        return
    if isinstance(content, str):
        yield {"text": content}
        return
    for number, part in enumerate(records(content, f"{param}.content")):
        where = f"{param}.content.{number}"
        kind = part.get("type")
        if kind == "text" or (said and kind == "refusal"):
            if text := a_string(part.get(str(kind)), f"{where}.{kind}"):
                yield {"text": text}
        else:
            yield _media(str(kind), part, where)


def _media(kind: str, part: Json, param: str) -> Json:
    if kind == "image_url":
        found = part.get("image_url")
        url = found.get("url") if isinstance(found, dict) else found
        return _at(a_string(url, f"{param}.image_url.url"), f"{param}.image_url.url")
    if kind == "input_audio":
        told = an_object(part.get("input_audio"), f"{param}.input_audio")
        form = a_string(told.get("format"), f"{param}.input_audio.format")
        data = a_string(told.get("data"), f"{param}.input_audio.data")
        return {"inlineData": {"mimeType": f"audio/{form}", "data": data}}
    if kind == "file":
        file = an_object(part.get("file"), f"{param}.file").get("file_data")
        if not isinstance(file, str):
            raise unsupported(param, "must carry `file_data`: this model knows no uploaded files")
        return _at(file, f"{param}.file.file_data")
    raise unsupported(param, f"is of type {kind!r}, which this model does not take")


def _at(url: str, param: str) -> Json:
    if match := _DATA_URL.fullmatch(url):
        return {"inlineData": {"mimeType": match[1], "data": match[2]}}
    if not url.startswith(("http://", "https://", "gs://")):
        raise malformed(param, "a URL, or a base64 data URL")
    media, _ = mimetypes.guess_type(urlsplit(url).path)
    return {"fileData": {"fileUri": url} | ({"mimeType": media} if media else {})}


def _tools(body: Json) -> Json:
    choice = body.get("tool_choice")
    if not body.get("tools"):
        if choice not in (None, "auto", "none"):
            raise malformed("tool_choice", "used with `tools`")
        return {}
    declared = [_tool(t, f"tools.{n}") for n, t in enumerate(records(body["tools"], "tools"))]
    allowed: list[str] | None = None
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        told = an_object(choice.get("allowed_tools"), "tool_choice.allowed_tools")
        choice = told.get("mode")
        wanted = records(told.get("tools"), "tool_choice.allowed_tools.tools")
        allowed = [_named(each, "tool_choice.allowed_tools.tools") for each in wanted]
        declared = [tool for tool in declared if tool["name"] in allowed]
    elif isinstance(choice, dict):
        allowed, choice = [_named(choice, "tool_choice")], "required"
    found: Json = {"tools": [{"functionDeclarations": declared}]} if declared else {}
    if choice is None or not declared:
        return found
    if not isinstance(choice, str) or choice not in _MODES:
        raise malformed("tool_choice", "none, auto, required, allowed_tools or a function")
    mode: Json = {"mode": _MODES[choice]}
    if allowed is not None and choice == "required":
        mode["allowedFunctionNames"] = allowed
    return found | {"toolConfig": {"functionCallingConfig": mode}}


def _tool(tool: Json, param: str) -> Json:
    if tool.get("type") != "function":
        raise unsupported(param, "must be a function for this model")
    function = an_object(tool.get("function"), f"{param}.function")
    found: Json = {"name": a_string(function.get("name"), f"{param}.function.name")}
    if function.get("description"):
        found["description"] = a_string(function["description"], f"{param}.function.description")
    if parameters := function.get("parameters"):
        found["parametersJsonSchema"] = an_object(parameters, f"{param}.function.parameters")
    return found


def _named(choice: Json, param: str) -> str:
    if choice.get("type") != "function":
        raise unsupported(param, "must name a function for this model")
    function = an_object(choice.get("function"), f"{param}.function")
    return a_string(function.get("name"), f"{param}.function.name")
