"""Lines of exchanges that somebody brings, in the shapes in which logs and examples are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from adapters.corpus import tools
from adapters.corpus.bringing import BadLine, Brought
from adapters.resources import BadField, moment
from router.capture.conversation import Unreadable, chat_messages, conversation
from router.capture.entries import calls_beside, response_of
from router.wire.answered import Answered, ToolCall, answered
from router.wire.endpoint import Endpoint

_ANSWERS: Final = ("response", "completion", "answer", "output")
_PERSONS: Final = ("subject", "user", "safety_identifier")
_TIMES: Final = ("time", "timestamp", "created_at", "created", "at")


def brought(form: str, line: Mapping[str, Any]) -> Brought:
    """Read a line. Raises ``BadLine``."""
    try:
        if form == "openai_logs":
            return _logged(line)
        return _messages(line) if form == "messages" else _completed(line)
    except Unreadable as error:
        raise BadLine(str(error)) from error
    except (AttributeError, LookupError, TypeError) as error:
        raise BadLine("it is not of that format") from error


def _messages(line: Mapping[str, Any]) -> Brought:
    """``{"messages": […]}``, of which the last is the assistant's, or with the answer beside."""
    messages = chat_messages(line.get("messages"))
    said = _answer(line)
    if said is None:
        last = messages.pop()
        if last["role"] != "assistant":
            raise BadLine("the last message is not the assistant's, and there is no answer")
        said = _of_message(last)
    form = _filled(line, ("response_format",))
    return _with(line, messages, said, form | tools.kept(line))


def _completed(line: Mapping[str, Any]) -> Brought:
    """``{"prompt", "completion"}``; either may be messages."""
    prompt = line.get("prompt")
    if isinstance(prompt, str):
        messages = [{"role": "user", "content": prompt}]
    elif isinstance(prompt, list) and prompt:
        messages = chat_messages(prompt)
    else:
        raise BadLine("it has no 'prompt'")
    said = _answer(line)
    if said is None:
        raise BadLine("it has no 'completion'")
    return _with(line, messages, said, tools.kept(line))


def _logged(line: Mapping[str, Any]) -> Brought:
    """A request and its answer as OpenAI's APIs have them; ``body`` may be around either."""
    request, response = _inner(line.get("request", line)), _inner(line.get("response", line))
    if isinstance(response, str):
        response = {"object": "response", "output_text": response}
    if not isinstance(request, dict) or not isinstance(response, dict):
        raise BadLine("it has no 'request' and 'response'")
    if isinstance(response.get("error"), dict):
        raise BadLine("the answer is an error")
    endpoint = _endpoint(request)
    asked = conversation(endpoint, request)
    said = answered(endpoint, orjson.dumps(response), streamed=False)
    if isinstance(response.get("output_text"), str) and not said.text:
        said = Answered(text=response["output_text"], calls=said.calls)
    if not response_of(said):
        raise BadLine("there is no answer in it")
    about = {**request, **line}
    model = response.get("model") or request.get("model")
    about["model"] = model
    about.setdefault("created", response.get("created", response.get("created_at")))
    return _with(about, asked.messages, said, asked.more)


def _inner(value: Any) -> Any:
    body = value.get("body", value) if isinstance(value, dict) else value
    if isinstance(body, str) and body[:1] == "{":
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise BadLine("a body in it is not valid JSON") from error
    return body


def _endpoint(request: Mapping[str, Any]) -> Endpoint:
    if "messages" in request:
        return Endpoint.CHAT
    return Endpoint.RESPONSES if "input" in request else Endpoint.COMPLETIONS


def _answer(line: Mapping[str, Any]) -> Answered | None:
    value = next((line[name] for name in _ANSWERS if line.get(name) is not None), None)
    if value is None or isinstance(value, str):
        return None if value is None else Answered(text=value)
    messages = chat_messages(value if isinstance(value, list) else [value])
    return _of_message(messages[-1])


def _of_message(message: Mapping[str, Any]) -> Answered:
    calls = tuple(
        ToolCall(call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls", ())
    )
    return Answered(text=message["content"], calls=calls)


def _with(
    line: Mapping[str, Any],
    messages: list[dict[str, Any]],
    said: Answered,
    more: Mapping[str, Any],
) -> Brought:
    answer, calls = response_of(said), calls_beside(said)
    if not answer.strip():
        raise BadLine("the answer is empty")
    if not any(each["content"] for each in messages):
        raise BadLine("nothing is asked in it")
    metadata = line.get("metadata")
    about = metadata if isinstance(metadata, dict) else {}
    persons = {*(line.get(name) for name in _PERSONS), about.get("user_id"), about.get("subject")}
    return Brought(
        messages=messages,
        response=answer,
        more={**more, **({tools.CALLS: calls} if calls else {})},
        intent=_text(line.get("intent") or about.get("intent")) or None,
        session=_text(line.get("session") or line.get("session_id") or about.get("session")),
        persons=frozenset(each for each in persons if isinstance(each, str) and each),
        model=_text(line.get("model")),
        at=_time(line),
    )


def _filled(line: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: line[name] for name in names if line.get(name)}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _time(line: Mapping[str, Any]) -> float | None:
    value = next((line[name] for name in _TIMES if line.get(name) is not None), None)
    if value is None or isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return moment(str(value))
    except BadField as error:
        raise BadLine("its time is none") from error
