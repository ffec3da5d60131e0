"""A Responses request as a chat completion request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from router.errors import NotKept
from router.wire.formats.base import LOGPROBS
from router.wire.translate.items_to_messages import Talk
from router.wire.translate.leftovers import RESPONSES_TO_CHAT, left_out
from router.wire.translate.response_items import TEXT_OF_A_CUSTOM_CALL
from router.wire.translate.vocabulary import an_object, malformed, records, unsupported

Json = dict[str, Any]
_SAME: Final = (
    "model",
    "stream",
    "temperature",
    "top_p",
    "service_tier",
    "seed",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
)
"""The last five are no fields of OpenAI's Responses, but of vLLM's."""
_KEPT: Final = ("previous_response_id", "conversation")
_REFUSED: Final[Mapping[str, str]] = {
    "background": "is not offered by this model",
    "prompt": "names what another provider keeps: send it as `instructions` and `input`",
}
_OWN: Final = frozenset({"function", "custom"})
_MAX_KIND: Final = 64


@dataclass(frozen=True, slots=True)
class Chat:
    """A request that became one of chat.

    Attributes:
        body: of the chat.
        origins: where in the Responses request a message or a call comes from, by its path here.
        left_out: what of that the chat does not say, named.
    """

    body: Json
    origins: Mapping[str, str]
    left_out: tuple[str, ...]


def chat_of(
    body: Json, *, max_tokens_field: str, ask_for_usage: bool, own: Iterable[str] = ()
) -> Chat:
    """Translate a request; ``body`` is left as it is.

    A tool that takes a text becomes a function with that as its argument; tools of the provider's
    own are left out and named, as local models do.

    Args:
        body: the Responses request.
        max_tokens_field: what the upstream calls the bound on the answer.
        ask_for_usage: whether a stream is asked for its token counts.
        own: fields of the upstream's, which are handed on.

    Raises:
        InvalidRequest: something in it is malformed or cannot be said in chat.
    """
    if any(body.get(name) for name in _KEPT):
        raise NotKept("this model's provider keeps none")
    for name, why in _REFUSED.items():
        if body.get(name):
            raise unsupported(name, why)
    names = (*_SAME, *own)
    request = {name: body[name] for name in names if body.get(name) is not None}
    talk = Talk(body.get("instructions"))
    talk.read(body.get("input"))
    request["messages"] = talk.messages
    if body.get("max_output_tokens") is not None:
        request[max_tokens_field] = body["max_output_tokens"]
    if user := body.get("safety_identifier") or body.get("user"):
        request["user"] = user
    if body.get("stream") and ask_for_usage:
        request["stream_options"] = {"include_usage": True}
    request |= _tools(body) | _form(body.get("text")) | _effort(body.get("reasoning"))
    request |= _logprobs(body)
    unsaid = {name: value for name, value in body.items() if name not in own}
    lost = [*left_out(_plain(unsaid), RESPONSES_TO_CHAT), *_unsaid(body), *talk.left_out]
    return Chat(request, talk.origins, tuple(dict.fromkeys(lost)))


def _form(text: object) -> Json:
    """The form of the answer, and how long it is to be."""
    if text is None:
        return {}
    told = an_object(text, "text")
    found: Json = {}
    if told.get("verbosity") is not None:
        found["verbosity"] = told["verbosity"]
    form = told.get("format")
    if form is None:
        return found
    form = an_object(form, "text.format")
    kind = form.get("type")
    if kind == "json_object":
        return {**found, "response_format": {"type": "json_object"}}
    if kind == "json_schema":
        schema = {name: value for name, value in form.items() if name != "type"}
        return {**found, "response_format": {"type": "json_schema", "json_schema": schema}}
    if kind != "text":
        raise unsupported("text.format", "must be text, json_schema or json_object")
    return found


def _effort(reasoning: object) -> Json:
    if reasoning is None:
        return {}
    effort = an_object(reasoning, "reasoning").get("effort")
    return {} if effort is None else {"reasoning_effort": effort}


def _logprobs(body: Json) -> Json:
    included = body.get("include")
    if not isinstance(included, list) or LOGPROBS not in included:
        return {}
    top = body.get("top_logprobs")
    return {"logprobs": True} if top is None else {"logprobs": True, "top_logprobs": top}


def _tools(body: Json) -> Json:
    given = records(body.get("tools") or [], "tools")
    tools = [_tool(tool, f"tools.{number}") for number, tool in enumerate(given) if _is_own(tool)]
    choice = body.get("tool_choice")
    if not tools:
        if choice not in (None, "none", "auto"):
            raise malformed("tool_choice", "used with `tools` that are functions of your own")
        return {}
    found: Json = {"tools": tools}
    if choice is not None:
        found["tool_choice"] = _choice(choice)
    if body.get("parallel_tool_calls") is False:
        found["parallel_tool_calls"] = False
    return found


def _tool(tool: Json, param: str) -> Json:
    name = tool.get("name")
    if not isinstance(name, str):
        raise malformed(f"{param}.name", "a string")
    if tool["type"] == "custom":
        return {"type": "function", "function": _text_taker(tool)}
    fields = ("description", "parameters", "strict")
    more = {field: tool[field] for field in fields if tool.get(field) is not None}
    return {"type": "function", "function": {"name": name, **more}}


def _text_taker(tool: Json) -> Json:
    """A function whose one argument is the text that a custom tool takes."""
    about = [tool.get("description")]
    form = tool.get("format")
    if isinstance(form, dict) and form.get("type") == "grammar":
        rules = f"{form.get('syntax')} grammar:\n{form.get('definition')}"
        about.append(f"The text follows this {rules}")
    return {
        "name": tool["name"],
        "description": "\n\n".join(str(each) for each in about if each),
        "parameters": {
            "type": "object",
            "properties": {TEXT_OF_A_CUSTOM_CALL: {"type": "string"}},
            "required": [TEXT_OF_A_CUSTOM_CALL],
            "additionalProperties": False,
        },
    }


def _choice(choice: object) -> object:
    if isinstance(choice, str):
        return choice
    told = an_object(choice, "tool_choice")
    if told.get("type") == "allowed_tools":
        tools = records(told.get("tools"), "tool_choice.tools")
        named = [_named(tool) for tool in tools if _is_own(tool)]
        allowed = {"mode": told.get("mode"), "tools": named}
        return {"type": "allowed_tools", "allowed_tools": allowed}
    if not _is_own(told):
        raise unsupported("tool_choice", "names a tool that this model does not have")
    return _named(told)


def _named(tool: Json) -> Json:
    return {"type": "function", "function": {"name": tool.get("name")}}


def _is_own(tool: Json) -> bool:
    """Whether it is the client who does what it does."""
    return str(tool.get("type")) in _OWN


def _plain(body: Json) -> Json:
    """The body without those tools that are named by their kind."""
    tools = body.get("tools")
    return {**body, "tools": list(filter(_is_own, tools))} if tools else body


def _unsaid(body: Json) -> Iterator[str]:
    """What is left out by its value, not by its name."""
    included = body.get("include")
    for each in included if isinstance(included, list) else ():
        if each != LOGPROBS:
            yield f"include.{str(each)[:_MAX_KIND]}"
    for tool in body.get("tools") or ():
        if not _is_own(tool):
            yield f"tools.{str(tool.get('type'))[:_MAX_KIND]}"
