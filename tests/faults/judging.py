"""Whether what a client got is what its API allows: an answer, a refusal, or a stream that broke.

Written against the APIs' documents, not with the router's own readers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.fakes.asgi_client import Reply
from tests.fakes.frontier_answers import CHAT, MESSAGES, RESPONSES

Json = dict[str, Any]
ANSWERED, REFUSED, BROKEN = "answered", "refused", "broken"
TOOL: Final = "look_up"
ARGUMENTS: Final = {"sku": "x"}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class Wrong(AssertionError):
    """What no client can make sense of."""


@dataclass(frozen=True)
class Said:
    """What an answer says.

    Attributes:
        text: its words.
        calls: names and arguments (JSON) of tools.
        end: why it ended, in its API's words.
        output_tokens: as it counts them.
    """

    text: str
    calls: tuple[tuple[str, str], ...]
    end: str | None
    output_tokens: int | None


@dataclass(frozen=True)
class Outcome:
    """What a client got.

    Attributes:
        kind: ``answered``, ``refused`` (before anything was said) or ``broken`` (after).
        status: of HTTP.
        said: the answer, or what of it came.
        facts: what the router tells of it: in headers, or in the last comment of a stream.
    """

    kind: str
    status: int
    said: Said
    facts: Mapping[str, Any]


_NOTHING: Final = Said("", (), None, None)


def judge(path: str, reply: Reply, *, stream: bool) -> Outcome:
    """What came. Raises ``Wrong``."""
    try:
        text = reply.body.decode()
    except UnicodeDecodeError as error:
        raise Wrong(f"no UTF-8: {error}") from error
    if "Traceback" in text:
        raise Wrong(f"a traceback: {text}")
    kind = reply.headers.get("content-type", "")
    if kind.startswith("text/event-stream"):
        if not stream or reply.status != 200:
            raise Wrong(f"a stream with status {reply.status} that nobody asked for")
        return _judge_stream(path, text)
    if not kind.startswith("application/json"):
        raise Wrong(f"of type {kind!r}")
    found = _object(text)
    facts = {
        "cost_usd": float(reply.headers["x-graftwork-cost-usd"]),
        "attempts": int(reply.headers["x-graftwork-attempts"]),
        "retry_after": reply.headers.get("retry-after"),
    }
    if reply.status != 200:
        _check_error(path, reply.status, found)
        return Outcome(REFUSED, reply.status, _NOTHING, facts)
    if stream:
        raise Wrong("a whole answer where a stream was asked for")
    return Outcome(ANSWERED, 200, _shaped(_WHOLE[path], found), facts)


def _object(text: str) -> Json:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Wrong(f"no JSON: {text[:200]!r}") from error
    if not isinstance(found, dict):
        raise Wrong(f"no object: {text[:200]!r}")
    return found


def _shaped(read: Callable[..., Said], *found: Any) -> Said:
    try:
        return read(*found)
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise Wrong(f"not of its API: {error!r} in {str(found)[-1500:]}") from error


def _check_error(path: str, status: int, found: Json) -> None:
    error = found.get("error")
    if status < 400 or not isinstance(error, dict) or not error.get("message"):
        raise Wrong(f"status {status} without an error: {found}")
    if path != MESSAGES:
        if not {"message", "type", "param", "code"} <= error.keys() or not error["code"]:
            raise Wrong(f"no error of OpenAI's: {found}")
    elif found.get("type") != "error" or error.get("type") != _ANTHROPIC_TYPES[status]:
        raise Wrong(f"no error of Anthropic's for {status}: {found}")


# Whole answers


def _whole_chat(found: Json) -> Said:
    assert found["object"] == "chat.completion"
    [choice] = found["choices"]
    message = choice["message"]
    assert message["role"] == "assistant"
    calls = [each["function"] for each in message.get("tool_calls") or ()]
    return Said(
        message["content"] or "",
        tuple((each["name"], each["arguments"]) for each in calls),
        choice["finish_reason"],
        (found.get("usage") or {}).get("completion_tokens"),
    )


def _whole_message(found: Json) -> Said:
    assert found["type"] == "message"
    assert found["role"] == "assistant"
    blocks = found["content"]
    return Said(
        "".join(block["text"] for block in blocks if block["type"] == "text"),
        tuple(
            (each["name"], json.dumps(each["input"]))
            for each in blocks
            if each["type"] == "tool_use"
        ),
        found["stop_reason"],
        (found.get("usage") or {}).get("output_tokens"),
    )


def _whole_response(found: Json) -> Said:
    assert found["object"] == "response"
    items = found["output"]
    parts = [part for item in items if item["type"] == "message" for part in item["content"]]
    return Said(
        "".join(part["text"] for part in parts),
        tuple((i["name"], i["arguments"]) for i in items if i["type"] == "function_call"),
        found["status"],
        (found.get("usage") or {}).get("output_tokens"),
    )


_WHOLE: Mapping[str, Callable[[Json], Said]] = {
    CHAT: _whole_chat,
    MESSAGES: _whole_message,
    RESPONSES: _whole_response,
}


# Streams


@dataclass(frozen=True)
class _Event:
    name: str | None
    data: str


def _judge_stream(path: str, text: str) -> Outcome:
    events, facts = _events(text)
    if path == CHAT:
        if [event.data for event in events].count("[DONE]") != 1 or events[-1].data != "[DONE]":
            raise Wrong("not one [DONE] at the end")
        events.pop()
    found = [_object(event.data) for event in events]
    if path != CHAT:
        odd = [each for each, one in zip(events, found, strict=True) if each.name != one["type"]]
        if odd:
            raise Wrong(f"names that are not the type: {odd}")
    errors = [number for number, one in enumerate(found) if _is_error(path, one)]
    if errors:
        if errors != [len(found) - 1]:
            raise Wrong("an error, and something after it")
        _check_error_event(path, found.pop(), number=len(found))
    said = _shaped(_STREAM[path], found, bool(errors))
    return Outcome(BROKEN if errors else ANSWERED, 200, said, facts)


def _events(text: str) -> tuple[list[_Event], Json]:
    """The events, and what the router's last comment says."""
    if not text.endswith("\n\n"):
        raise Wrong(f"half an event at the end: {text[-200:]!r}")
    events: list[_Event] = []
    facts: Json = {}
    for block in text[:-2].split("\n\n"):
        lines = block.split("\n")
        if all(line.startswith(":") for line in lines):
            if lines[0].startswith(": graftwork "):
                facts = _object(lines[0].removeprefix(": graftwork "))
            continue
        events.append(_event(lines))
    if not facts:
        raise Wrong("without the router's last comment")
    return events, facts


def _event(lines: list[str]) -> _Event:
    fields = [line.partition(":") for line in lines if not line.startswith(":")]
    named = [value.strip() for name, _, value in fields if name == "event"]
    data = "\n".join(value.strip() for name, _, value in fields if name == "data")
    if not data or any(name not in {"event", "data"} for name, _, _ in fields):
        raise Wrong(f"no event: {lines}")
    return _Event(named[0] if named else None, data)


def _is_error(path: str, found: Json) -> bool:
    return bool(found.get("error")) if path == CHAT else found["type"] == "error"


def _check_error_event(path: str, found: Json, *, number: int) -> None:
    if path == RESPONSES and found.get("sequence_number") != number:
        raise Wrong(f"not numbered {number}: {found}")
    error = found if path == RESPONSES else found["error"]
    kind = error.get("type" if path == MESSAGES else "code")
    if not error.get("message") or not isinstance(kind, str):
        raise Wrong(f"no error event: {found}")


def _chat_stream(chunks: list[Json], is_broken: bool) -> Said:
    heads = {(each["id"], each["model"], each["created"], each["object"]) for each in chunks}
    assert len(heads) == 1, "several heads"
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert {choice["index"] for choice in choices} == {0}
    assert sum("role" in choice["delta"] for choice in choices) == 1, "several roles"
    names: dict[int, str] = {}
    arguments: dict[int, str] = {}
    for delta in (choice["delta"] for choice in choices):
        for call in delta.get("tool_calls") or ():
            index, function = call["index"], call["function"]
            if "name" in function:
                assert call["id"]
                names[index] = function["name"]
            arguments[index] = arguments.get(index, "") + function.get("arguments", "")
    ends = [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
    assert len(ends) <= 1, "several ends"
    assert not (is_broken and ends), "an end, and an error"
    counts = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    return Said(
        "".join(choice["delta"].get("content") or "" for choice in choices),
        tuple((names[index], arguments[index]) for index in names),
        ends[0] if ends else None,
        counts[-1]["completion_tokens"] if counts else None,
    )


def _message_stream(events: list[Json], is_broken: bool) -> Said:
    kinds = [each["type"] for each in events if each["type"] != "ping"]
    assert kinds[0] == "message_start"
    assert kinds.count("message_start") == 1
    blocks: list[Json] = []
    is_open, end, tokens = False, None, None
    for each in events:
        match each["type"]:
            case "content_block_start":
                assert not is_open
                assert each["index"] == len(blocks)
                blocks.append({**each["content_block"], "said": ""})
                is_open = True
            case "content_block_delta":
                assert is_open
                assert each["index"] == len(blocks) - 1
                delta = each["delta"]
                blocks[-1]["said"] += delta.get("text") or delta.get("partial_json") or ""
            case "content_block_stop":
                assert is_open
                assert each["index"] == len(blocks) - 1
                is_open = False
            case "message_delta":
                assert not is_open
                end, tokens = each["delta"]["stop_reason"], each["usage"]["output_tokens"]
    if not is_broken:
        assert kinds[-2:] == ["message_delta", "message_stop"], kinds
        assert kinds.count("message_delta") == kinds.count("message_stop") == 1
    else:
        assert "message_stop" not in kinds
    return Said(
        "".join(block["said"] for block in blocks if block["type"] == "text"),
        tuple((b["name"], b["said"] or "{}") for b in blocks if b["type"] == "tool_use"),
        end,
        tokens,
    )


def _response_stream(events: list[Json], is_broken: bool) -> Said:
    numbers = [each["sequence_number"] for each in events]
    assert numbers == list(range(len(events))), "numbers with a gap"
    assert events[0]["type"] == "response.created"
    ends = [e for e in events if e["type"] in {"response.completed", "response.incomplete"}]
    text = "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")
    if is_broken:
        assert not ends
        return Said(text, (), None, None)
    assert ends == events[-1:], "not one end"
    whole = ends[0]["response"]
    assert whole["id"] == events[0]["response"]["id"], "several heads"
    said = _whole_response(whole)
    told = [e["text"] for e in events if e["type"] == "response.output_text.done"]
    assert {text, *told} == {said.text}, "told differently"
    return said


_STREAM: Mapping[str, Callable[[list[Json], bool], Said]] = {
    CHAT: _chat_stream,
    MESSAGES: _message_stream,
    RESPONSES: _response_stream,
}
