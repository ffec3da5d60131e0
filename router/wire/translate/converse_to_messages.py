"""What Bedrock's Converse and ConverseStream answer, as the bytes of a Messages answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson

from router.wire.aws.event_stream import Frame, Frames
from router.wire.events import encode
from router.wire.upstream_error import word

Json = dict[str, Any]
MAX_BODY_BYTES: Final = 32 * 1024 * 1024
"""The longest whole answer that is translated."""
_SHAPE: Final = "The answer does not have the shape of its API."
_SLIPS: Final = (ValueError, LookupError, TypeError, AttributeError)
_STOPS: Final[Mapping[str, str]] = {
    "guardrail_intervened": "refusal",
    "content_filtered": "refusal",
}
_MALFORMED: Final = frozenset({"malformed_model_output", "malformed_tool_use"})
_ERRORS: Final[Mapping[str, str]] = {
    "throttlingException": "rate_limit_error",
    "serviceUnavailableException": "overloaded_error",
    "validationException": "invalid_request_error",
    "modelTimeoutException": "timeout_error",
    "modelStreamErrorException": "api_error",
    "internalServerException": "api_error",
}
Warn = Callable[[str], None]


class WholeAnswer:
    """Turns one body of JSON into another, when it is here.

    Args:
        model: that was asked, which Converse does not repeat.
        warn: told what of the answer Messages has no place for, by its name there.
    """

    def __init__(self, model: str, warn: Warn) -> None:
        self._model = model
        self._warn = warn
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """All of it with the last byte, nothing before."""
        self._size += len(data)
        if self._size > MAX_BODY_BYTES:
            self._parts.clear()
            return _error("The answer is too large to be translated.") if last else b""
        self._parts.append(data)
        if not last:
            return b""
        raw = b"".join(self._parts)
        try:
            found = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return raw  # whoever reads it says that it is no JSON
        try:
            return orjson.dumps(_message(found, self._model, self._warn))
        except _SLIPS:
            return _error(_SHAPE)


class StreamedAnswer:
    """Turns frames into server-sent events, as they come.

    What is damaged, has another shape or is an exception becomes an event that is an error.

    Args:
        model: that was asked.
        warn: told what of the answer Messages has no place for, by its name there.
    """

    def __init__(self, model: str, warn: Warn) -> None:
        self._model = model
        self._warn = warn
        self._frames = Frames()
        self._numbers: dict[int, int] = {}
        self._open: dict[int, int] = {}
        self._skipped: set[int] = set()
        self._stop: str | None = None
        self._over = False

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """The events that ``data`` completes."""
        if self._over:
            return b""
        events: list[bytes] = []
        try:
            for frame in self._frames.feed(data):
                events += self._read(frame)
        except _SLIPS:
            self._over = True
            events.append(_failed(_SHAPE))
        if last and self._stop is not None and not self._over:
            events += self._end({})  # the answer is whole, and nobody counted it
        return b"".join(events)

    def _read(self, frame: Frame) -> Iterator[bytes]:
        kind = frame.headers.get(":message-type", "event")
        if kind != "event":
            self._over = True
            yield _exception(kind, frame)
            return
        found = orjson.loads(frame.payload)
        match frame.headers[":event-type"]:
            case "messageStart":
                yield _event("message_start", message=_head(self._model))
            case "contentBlockStart":
                yield from self._begin(found["contentBlockIndex"], found["start"])
            case "contentBlockDelta":
                yield from self._delta(found["contentBlockIndex"], found["delta"])
            case "contentBlockStop":
                yield from self._close(found["contentBlockIndex"])
            case "messageStop":
                self._stop = str(found["stopReason"])
            case "metadata":
                yield from self._end(found)
            case _:  # what is still to be invented
                return

    def _begin(self, index: int, start: Json) -> Iterator[bytes]:
        call = start.get("toolUse")
        if call is None:
            self._skipped.add(index)
            self._lacks(start)
            return
        head = {"id": call["toolUseId"], "name": call["name"], "input": {}}
        yield self._started(index, {"type": "tool_use", **head})

    def _started(self, index: int, block: Json) -> bytes:
        number = self._open[index] = self._numbers.setdefault(index, len(self._numbers))
        return _event("content_block_start", index=number, content_block=block)

    def _delta(self, index: int, delta: Json) -> Iterator[bytes]:
        if index in self._skipped:
            return
        if "toolUse" in delta:
            yield self._said(index, type="input_json_delta", partial_json=delta["toolUse"]["input"])
        elif "text" in delta:
            if index not in self._open:  # texts begin without a word
                yield self._started(index, {"type": "text", "text": ""})
            yield self._said(index, type="text_delta", text=delta["text"])
        elif "reasoningContent" in delta:
            yield from self._thought(index, delta["reasoningContent"])
        elif "citation" in delta:
            self._warn("content.citations")
        else:
            self._lacks(delta)

    def _lacks(self, said: Json) -> None:
        for name in _unsaid(said):
            self._warn(name)

    def _thought(self, index: int, thought: Json) -> Iterator[bytes]:
        if hidden := thought.get("redactedContent"):
            yield self._started(index, {"type": "redacted_thinking", "data": hidden})
            return
        if index not in self._open:
            yield self._started(index, {"type": "thinking", "thinking": "", "signature": ""})
        if "text" in thought:
            yield self._said(index, type="thinking_delta", thinking=thought["text"])
        if "signature" in thought:
            yield self._said(index, type="signature_delta", signature=thought["signature"])

    def _said(self, index: int, **delta: Any) -> bytes:
        return _event("content_block_delta", index=self._open[index], delta=delta)

    def _close(self, index: int) -> Iterator[bytes]:
        number = self._open.pop(index, None)
        if number is not None:
            yield _event("content_block_stop", index=number)

    def _end(self, found: Json) -> Iterator[bytes]:
        stop = self._stop
        if stop is None:
            raise ValueError("a stream's counts come after its end")
        self._over = True
        if stop in _MALFORMED:
            yield _failed(_malformed(stop))
            return
        for index in list(self._open):
            yield from self._close(index)
        delta = {"stop_reason": _STOPS.get(stop, stop), "stop_sequence": None}
        yield _event("message_delta", delta=delta, usage=_usage(found.get("usage")))
        yield _event("message_stop")


def _message(found: Json, model: str, warn: Warn) -> Json:
    stop = str(found["stopReason"])
    if stop in _MALFORMED:
        return {"error": {"message": _malformed(stop)}}
    blocks = found["output"]["message"]["content"]
    return {
        **_head(model),
        "content": [block for each in blocks if (block := _block(each, warn)) is not None],
        "stop_reason": _STOPS.get(stop, stop),
        "usage": _usage(found.get("usage")),
    }


def _block(block: Json, warn: Warn) -> Json | None:
    if "text" in block:
        return {"type": "text", "text": block["text"]}
    if call := block.get("toolUse"):
        return {
            "type": "tool_use",
            "id": call["toolUseId"],
            "name": call["name"],
            "input": call["input"],
        }
    if thought := block.get("reasoningContent"):
        if "redactedContent" in thought:
            return {"type": "redacted_thinking", "data": thought["redactedContent"]}
        told = thought["reasoningText"]
        signature = told.get("signature", "")
        return {"type": "thinking", "thinking": told["text"], "signature": signature}
    if cited := block.get("citationsContent"):
        if cited.get("citations"):
            warn("content.citations")
        said = "".join(each.get("text", "") for each in cited.get("content", ()))
        return {"type": "text", "text": said}
    for name in _unsaid(block):
        warn(name)
    return None


def _unsaid(block: Json) -> Iterator[str]:
    """The names of what a block has; the model's words are none."""
    return (f"content.{name if word(name) else 'block'}" for name in block)


def _head(model: str) -> Json:
    return {
        "id": f"msg_{time.time_ns():x}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(None),
    }


def _usage(found: object) -> Json:
    """Converse's counts as Messages': cached tokens are counted apart in both."""
    if not isinstance(found, dict):
        return {"input_tokens": None, "output_tokens": None}
    return {
        "input_tokens": found.get("inputTokens"),
        "cache_read_input_tokens": found.get("cacheReadInputTokens") or 0,
        "cache_creation_input_tokens": found.get("cacheWriteInputTokens") or 0,
        "output_tokens": found.get("outputTokens"),
    }


def _event(kind: str, **more: Any) -> bytes:
    return encode({"type": kind, **more}, kind)


def _exception(kind: str, frame: Frame) -> bytes:
    if kind == "error":
        said = frame.headers.get(":error-message", "")
        return _failed(said or frame.headers.get(":error-code", ""), "api_error")
    name = frame.headers.get(":exception-type", "")
    try:
        said = str(orjson.loads(frame.payload)["message"])
    except _SLIPS:
        said = name
    return _failed(said, _ERRORS.get(name, "api_error"))


def _failed(message: str, kind: str | None = None) -> bytes:
    error = {"message": message} if kind is None else {"type": kind, "message": message}
    return encode({"type": "error", "error": error}, "error")


def _error(message: str) -> bytes:
    return orjson.dumps({"error": {"message": message}})


def _malformed(stop: str) -> str:
    return f"The model's answer broke off: {stop}."
