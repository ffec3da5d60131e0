"""A request of any API as the messages of a chat, for what outlives it.

Pictures and files are left out: nobody can look for personal data in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from adapters.corpus import tools
from router.errors import RouterError
from router.wire.endpoint import Endpoint
from router.wire.translate.messages_to_chat import chat_request

Message = dict[str, Any]
_ROLES: Final = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_TEXTS: Final = frozenset({"text", "input_text", "output_text", "refusal"})
_FORM: Final = "response_format"
_MAX_FORM_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was asked."""

    messages: list[Message]
    more: Mapping[str, Any] = field(default_factory=dict)
    """What an answer that calls tools, or is JSON, has to fit."""
    media: int = 0
    """Parts that were left out."""


class Unreadable(ValueError):
    """It is no conversation that could be learned from; the message says why."""


def conversation(endpoint: Endpoint, body: Mapping[str, Any]) -> Conversation:
    """Read a request. Raises ``Unreadable``."""
    try:
        if endpoint is Endpoint.CHAT:
            return _chat(body.get("messages"), body)
        if endpoint is Endpoint.MESSAGES:
            chat = chat_request({**body}, max_tokens_field="max_tokens", ask_for_usage=False)
            return _chat(chat.get("messages"), chat)
        if endpoint is Endpoint.RESPONSES:
            return _responses(body)
        if endpoint is Endpoint.COMPLETIONS:
            return _prompt(body.get("prompt"))
    except (RouterError, KeyError, TypeError, AttributeError) as error:
        raise Unreadable("it is not of its API's form") from error
    raise Unreadable("nothing is generated")


def chat_messages(value: Any) -> list[Message]:
    """Messages in chat's shape, with what this room keeps of them. Raises ``Unreadable``."""
    return _chat(value, {}).messages


def _chat(value: Any, body: Mapping[str, Any]) -> Conversation:
    if not isinstance(value, list) or not value:
        raise Unreadable("it has no messages")
    media = [0]
    messages = [_message(each, media) for each in value]
    return Conversation(messages, _more(body), media[0])


def _more(body: Mapping[str, Any]) -> dict[str, Any]:
    """The tools, or why they are not kept, and the form as far as there is room for it."""
    form = body.get(_FORM)
    fits = form and len(orjson.dumps(form)) <= _MAX_FORM_BYTES
    return tools.kept(body) | ({_FORM: form} if fits else {})


def _message(value: Any, media: list[int]) -> Message:
    if not isinstance(value, dict) or value.get("role") not in _ROLES:
        raise Unreadable("a message has no role")
    message: Message = {"role": value["role"], "content": _content(value.get("content"), media)}
    calls = [*_calls(value.get("tool_calls")), *_old_call(value.get("function_call"))]
    if calls:
        message["tool_calls"] = calls
    if isinstance(value.get("tool_call_id"), str):
        message["tool_call_id"] = value["tool_call_id"]
    if value["role"] == "function" and isinstance(value.get("name"), str):
        message["name"] = value["name"]
    return message


def _content(value: Any, media: list[int]) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if not isinstance(value, list):
        raise Unreadable("a message's content is neither text nor parts")
    said = []
    for part in value:
        if isinstance(part, str):
            said.append(part)
        elif isinstance(part, dict) and part.get("type") in _TEXTS:
            said.append(str(part.get("text") or part.get("refusal") or ""))
        else:
            media[0] += 1
            said.append(f"[{part.get('type', 'part') if isinstance(part, dict) else 'part'}]")
    return "\n".join(said)


def _calls(value: Any) -> Iterator[Message]:
    for call in value if isinstance(value, list) else ():
        kind = "custom" if "custom" in call else "function"
        function = call.get(kind) or {}
        arguments = function.get("arguments", function.get("input", ""))
        yield call_of(call.get("id"), function.get("name"), arguments)


def _old_call(value: Any) -> Iterator[Message]:
    if isinstance(value, dict):
        yield call_of(None, value.get("name"), value.get("arguments", ""))


def call_of(identity: Any, name: Any, arguments: Any) -> Message:
    """A call in chat's shape."""
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    known = {"id": identity} if isinstance(identity, str) and identity else {}
    return {**known, "type": "function", "function": {"name": str(name or ""), "arguments": text}}


def _prompt(value: Any) -> Conversation:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is None:
        raise Unreadable("it has no prompt")
    if not isinstance(value, str):
        raise Unreadable("it has several prompts, or one that is no text")
    return Conversation([{"role": "user", "content": value}])


# Responses


def _responses(body: Mapping[str, Any]) -> Conversation:
    if body.get("previous_response_id") or body.get("conversation") or body.get("prompt"):
        raise Unreadable("a part of the conversation is kept elsewhere")
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list):
        raise Unreadable("it has no input")
    media = [0]
    told = body.get("instructions")
    messages: list[Message] = [{"role": "system", "content": told}] if told else []
    for item in items:
        _add(messages, item, media)
    if not messages:
        raise Unreadable("it has no input")
    form = (body.get("text") or {}).get("format")
    if isinstance(form, dict) and form.get("type") == "json_schema":
        kept = {name: each for name, each in form.items() if name != "type"}
        form = {"type": "json_schema", "json_schema": kept}
    more = _more({"tools": [*_tools(body.get("tools") or ())], _FORM: form})
    return Conversation(messages, more, media[0])


def _add(messages: list[Message], item: Any, media: list[int]) -> None:
    kind = item.get("type", "message")
    if kind == "message":
        messages.append(_message(item, media))
    elif kind in ("function_call", "custom_tool_call"):
        call = call_of(item.get("call_id"), item.get("name"), item.get("arguments", ""))
        if not messages or messages[-1]["role"] != "assistant":
            messages.append({"role": "assistant", "content": ""})
        messages[-1].setdefault("tool_calls", []).append(call)
    elif kind in ("function_call_output", "custom_tool_call_output"):
        output = item.get("output")
        said = output if isinstance(output, str) else _content(output, media)
        messages.append(
            {"role": "tool", "tool_call_id": str(item.get("call_id", "")), "content": said}
        )
    elif kind != "reasoning":
        raise Unreadable("a part of the conversation is kept elsewhere")


def _tools(values: Iterable[Any]) -> Iterator[Message]:
    for tool in values:
        if tool.get("type") == "function":
            known = {name: each for name, each in tool.items() if name not in ("type", "strict")}
            yield {"type": "function", "function": known}
        else:
            yield tool
