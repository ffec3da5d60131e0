"""Watching an answer go by: only whole events, a proper end, errors inside a 200, token counts.

A provider may cut a stream between two bytes, end it without its last event, or put an error object
into a successful answer. Clients must see none of these as success, so every answer is watched.
It is cheap: most events are searched for three short byte strings and passed on as they came.
"""

from __future__ import annotations

import re
from typing import Any, Protocol

import orjson

from router.errors import Failure, TargetBroken
from router.wire import usage as token_counts
from router.wire.endpoint import Endpoint, Usage

MAX_EVENT_BYTES = 16 * 1024 * 1024
"""The largest single server-sent event that is accepted."""
MAX_PARSED_BODY_BYTES = 8 * 1024 * 1024
"""Whole bodies larger than this pass through without a check of their JSON."""

_DONE = re.compile(rb"^data: ?\[DONE\]\s*?$", re.MULTILINE)
_RESPONSE_END = re.compile(
    rb'^(?:event: ?|data: ?\{"type": ?")response\.(?:completed|failed|incomplete)\b', re.MULTILINE
)
_MESSAGE_STOP = re.compile(rb'^(?:event: ?|data: ?\{"type": ?")message_stop\b', re.MULTILINE)
_LAST_EVENT = {
    Endpoint.CHAT: _DONE,
    Endpoint.COMPLETIONS: _DONE,
    Endpoint.RESPONSES: _RESPONSE_END,
    Endpoint.MESSAGES: _MESSAGE_STOP,
}
_EVENT = re.compile(rb".*?(?:\r?\n){2}", re.DOTALL)
_DATA = re.compile(rb"^data: ?(.*?)\r?$", re.MULTILINE)


class Watch(Protocol):
    """Sees every chunk of an answer before the client does."""

    done: bool
    """The answer is complete: nothing more has to be read."""
    failure: TargetBroken | None
    """What the target said went wrong; to be raised after what ``feed`` returned was passed on."""

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """The bytes that may be passed on now; ``last`` says that the body is at its end."""
        ...


class StreamWatch:
    """Watches server-sent events in one dialect.

    Bytes are passed on when their event is whole: a client can do nothing with half an event, and
    so a stream that is cut ends between two events, where an error or a continuation can follow.
    """

    __slots__ = ("_endpoint", "_hide_usage", "_last_event", "_rest", "_target", "_usage", "done",
                 "failure")  # fmt: skip

    def __init__(
        self, target: str, endpoint: Endpoint, usage: Usage, *, hide_usage: bool = False
    ) -> None:
        self._target = target
        self._endpoint = endpoint
        self._last_event = _LAST_EVENT.get(endpoint, _DONE)
        self._usage = usage
        self._hide_usage = hide_usage
        self._rest = bytearray()
        self.done = False
        self.failure: TargetBroken | None = None

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """The whole events that ``data`` completes."""
        if self._rest or not data.endswith(b"\n\n"):
            data = self._whole_events(data)
        if self._last_event.search(data):
            self.done = True
        elif last:
            self.failure = TargetBroken(
                f"{self._target} ended its stream before it was complete.", failure=Failure.CUT
            )
        # JSON that breaks off, or anything else that is not a plain event, is looked at closely.
        if b'"usage"' in data or b'"error"' in data or not data.endswith(b"}\n\n"):
            return self._inspect(data)
        return data

    def _whole_events(self, data: bytes) -> bytes:
        rest = self._rest
        seen = max(0, len(rest) - 3)
        rest += data
        end = max(_after(rest, b"\n\n", seen), _after(rest, b"\r\n\r\n", seen))
        if len(rest) - end > MAX_EVENT_BYTES:
            self.failure = TargetBroken(f"{self._target} sent an event that is too large.")
        whole = bytes(rest[:end])
        del rest[:end]
        return whole

    def _inspect(self, data: bytes) -> bytes:
        kept = []
        for event in _EVENT.findall(data):
            content = b"\n".join(_DATA.findall(event))
            if content and content.strip() != b"[DONE]":
                found = _json_object(content)
                failure = (
                    TargetBroken(f"{self._target} sent an event that is not JSON.")
                    if found is None
                    else error_in(self._endpoint, found)
                )
                if failure is not None:
                    self.failure = failure
                    break
                if found is not None and self._count(found) and self._hide_usage:
                    continue
            kept.append(event)
        return b"".join(kept)

    def _count(self, found: dict[str, Any]) -> bool:
        """Take the counts; whether the event carries nothing else."""
        inner = found.get("message") or found.get("response")
        holder = inner if isinstance(inner, dict) else found
        counts = holder.get("usage")
        token_counts.record(self._usage, counts)
        return isinstance(counts, dict) and found.get("choices") == []


class BodyWatch:
    """Watches one JSON body: its counts, and whether it is JSON and not an error at all."""

    __slots__ = ("_endpoint", "_parts", "_size", "_target", "_usage", "done", "failure")

    def __init__(self, target: str, endpoint: Endpoint, usage: Usage) -> None:
        self._target = target
        self._endpoint = endpoint
        self._usage = usage
        self._parts: list[bytes] = []
        self._size = 0
        self.done = False
        self.failure: TargetBroken | None = None

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """All of ``data``, unless it is the last and the whole is no answer."""
        self._size += len(data)
        if self._size > MAX_PARSED_BODY_BYTES:
            self._parts.clear()
            return data
        self._parts.append(data)
        if last:
            self.failure = self._judge(b"".join(self._parts))
        return b"" if self.failure else data

    def _judge(self, raw: bytes) -> TargetBroken | None:
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            return TargetBroken(f"{self._target} answered with something that is not JSON.")
        if not isinstance(body, dict):
            return TargetBroken(f"{self._target} answered with JSON that is not an object.")
        token_counts.record(self._usage, body.get("usage"))
        return error_in(self._endpoint, body)


def error_in(endpoint: Endpoint, found: dict[str, Any]) -> TargetBroken | None:
    """The error that an event or body of a successful answer carries instead of content."""
    if endpoint is Endpoint.RESPONSES and found.get("type") == "error":
        return _broken(found)  # flat in this dialect; a failed response is an answer, not an error
    if endpoint is Endpoint.RESPONSES and found.get("object") == "response":
        return None
    error = found.get("error")
    if isinstance(error, dict):
        return _broken(error)
    return TargetBroken(error) if isinstance(error, str) and error else None


def _broken(error: dict[str, Any]) -> TargetBroken:
    message = error.get("message")
    code = error.get("code")
    if not isinstance(code, str):
        code = error.get("type")
    return TargetBroken(
        message if isinstance(message, str) and message else "The target reported an error.",
        code=code if isinstance(code, str) and code != "error" else None,
    )


def _after(data: bytearray, mark: bytes, start: int) -> int:
    found = data.rfind(mark, start)
    return 0 if found < 0 else found + len(mark)


def _json_object(data: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
