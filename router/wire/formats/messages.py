"""``/v1/messages``: Anthropic's blocks, each with a beginning and an end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from router.errors import RouterError, anthropic_type
from router.wire.endpoint import Endpoint
from router.wire.events import Event, Events
from router.wire.formats.base import (
    Body,
    Continued,
    Found,
    PrefillStyle,
    Reader,
    Reading,
    unfinished_talk,
)
from router.wire.formats.chat import is_begun, last_words
from router.wire.formats.fields import COMMON
from router.wire.formats.seam import Seam
from router.wire.kinds import Kind
from router.wire.spoken import Place, Said, as_json, unshaped
from router.wire.texts import texts

_ABSENT = object()
_FIELDS_OF_A_BLOCK = (
    ("text", Kind.TEXT),
    ("thinking", Kind.REASONING),
    ("partial_json", Kind.ARGUMENTS),
    ("input", Kind.ARGUMENTS),
)
_KNOWN_BLOCKS = frozenset(
    {
        "text",
        "thinking",
        "redacted_thinking",
        "tool_use",
        "server_tool_use",
        "text_delta",
        "thinking_delta",
        "input_json_delta",
        "signature_delta",
    }
)
_COUNTED = frozenset({"message", "message_delta"})
_EMPTY_START = frozenset({"message_start", "ping", "content_block_start"})


class MessagesReader:
    """Anthropic's events.

    Attributes:
        block: the newest content block's number; -1 before the first.
        is_open: whether that block has not ended.
    """

    def __init__(self) -> None:
        self.reading = Reading()
        self.block = -1
        self.is_open = False

    def read(self, found: Found) -> None:
        """One event."""
        match found.get("type"):
            case "content_block_start":
                self.block, self.is_open = found["index"], True
                block = found["content_block"]
                if block.get("type") != "text":
                    self.reading.blocked(f"it had sent a block of type {block.get('type')!r}")
                self.reading.say(block.get("text") or "")
            case "content_block_delta":
                delta = found["delta"]
                if delta.get("type") != "text_delta":
                    self.reading.blocked(f"it had sent {delta.get('type')!r}")
                self.reading.say(delta.get("text") or "")
            case "content_block_stop":
                self.is_open = False
            case "message_delta":
                self.reading.ended.add(0)


class MessagesSplice:
    """The open block goes on, later blocks are numbered after it."""

    def __init__(
        self, said: MessagesReader, seam: Seam, before: int, prompt_tokens: int | None
    ) -> None:
        self._open: int | None = said.block if said.is_open else None
        self._next = said.block + 1
        self._seam = seam
        self._before = before
        self._prompt_tokens = prompt_tokens
        self._numbers: dict[int, int] = {}

    def feed(self, run: Events) -> Events:
        """The events as the rest of the first message."""
        return Events.of(
            joined
            for event in run
            if (found := event.object()) is not None
            for joined in self._event(found)
        )

    def _event(self, found: Found) -> Iterator[Event]:
        match found.get("type"):
            case "message_start":
                return
            case "content_block_start":
                yield from self._start(found)
            case "content_block_delta":
                yield from self._delta(found)
            case "content_block_stop":
                yield _named({**found, "index": self._numbers[found["index"]]})
            case "message_delta":
                yield from self._close()
                yield _named({**found, "usage": self._usage(found.get("usage"))})
            case _:
                yield _named(found)

    def _start(self, found: Found) -> Iterator[Event]:
        index = found["index"]
        if self._open is not None and found["content_block"].get("type") == "text":
            self._numbers[index], self._open = self._open, None
            return
        yield from self._close()
        self._numbers[index] = self._next
        self._next += 1
        yield _named({**found, "index": self._numbers[index]})

    def _delta(self, found: Found) -> Iterator[Event]:
        delta = found["delta"]
        if delta.get("type") == "text_delta":
            delta = {**delta, "text": self._seam.join(delta["text"])}
            if not delta["text"]:
                return
        yield _named({**found, "index": self._numbers[found["index"]], "delta": delta})

    def _close(self) -> Iterator[Event]:
        number, self._open = self._open, None
        if number is not None:
            yield _named({"type": "content_block_stop", "index": number})

    def _usage(self, usage: Any) -> Found:
        counts = dict(usage) if isinstance(usage, dict) else {}
        counts["output_tokens"] = (counts.get("output_tokens") or 0) + self._before
        if "input_tokens" in counts:
            prompt = self._prompt_tokens
            if prompt is None:
                prompt = max(0, (counts["input_tokens"] or 0) - self._before)
            counts["input_tokens"] = prompt
        return counts


class Messages(Continued):
    """Anthropic's Messages."""

    endpoint = Endpoint.MESSAGES
    last_event = re.compile(rb'^(?:event: ?|data: ?\{"type": ?")message_stop\b', re.MULTILINE)
    mark = b"message_stop"
    continues = COMMON | {
        "messages",
        "system",
        "stop_sequences",
        "tools",
        "tool_choice",
        "anthropic_version",
    }

    def counts(self, found: Body) -> Any:
        """In the message of the first event, beside the delta of the last but one."""
        message = found.get("message")
        return (message if isinstance(message, dict) else found).get("usage")

    def is_answer(self, found: Body) -> bool:
        """It has blocks."""
        return isinstance(found.get("content"), list)

    def carries(self, event: Event) -> bool:
        """The message's and a block's beginning are empty."""
        found = event.json
        return bool(event.data) if found is None else str(found.get("type")) not in _EMPTY_START

    def said(self, found: Body) -> Iterator[Said]:
        """A block's beginning and its deltas; in a whole answer, all blocks."""
        match found.get("type"):
            case "content_block_delta":
                yield from _said_in(found.get("delta"), found.get("index"))
            case "content_block_start":
                yield from _said_in(found.get("content_block"), found.get("index"))
            case "message":
                content = found.get("content") or ()
                blocks = content if isinstance(content, list | tuple) else (content,)
                for place, block in enumerate(blocks):
                    yield from _said_in(block, place)
            case "message_start":
                message = found.get("message") or {}
                if isinstance(message, dict):
                    yield from self.said({**message, "type": "message"})
                else:
                    yield from unshaped(message)

    def logprobs(self, found: Body) -> Iterator[Body]:
        """It has no place for them: a call that was made as chat gets them as one more field."""
        if isinstance(found.get("logprobs"), dict):
            yield found["logprobs"]

    def strip_logprobs(self, found: Body) -> bool:
        """The field goes."""
        return found.pop("logprobs", _ABSENT) is not _ABSENT

    def error_events(self, error: RouterError, *, number: int = 0) -> bytes:
        """Anthropic's event, with one of its types."""
        del number
        kind = anthropic_type(error.status)
        detail = {"type": kind, "message": error.message, "code": error.code}
        return Event.of({"type": "error", "error": detail}, "error").raw

    def obstacle(self, body: Body) -> str | None:
        """Nobody can tell the client's beginning of the answer from what was said after it."""
        if is_begun(body.get("messages")):
            return "the client gave the beginning of the answer itself"
        return None

    def prefilled(self, body: Body, prefill: str, style: PrefillStyle) -> Body:
        """One more turn of the assistant."""
        return unfinished_talk(body, prefill, style)

    def reader(self) -> MessagesReader:
        """Reads blocks."""
        return MessagesReader()

    def splice(
        self, said: Reader, seam: Seam, before: int, prompt_tokens: int | None
    ) -> MessagesSplice:
        """Joins blocks."""
        assert isinstance(said, MessagesReader)
        return MessagesSplice(said, seam, before, prompt_tokens)

    def ending(self, said: Reader, before: int, *, full: bool) -> Events:
        """The end of the open block and of the message, as far as they were not told."""
        assert isinstance(said, MessagesReader)
        events: list[Event] = []
        if full:
            if said.is_open:
                events.append(_named({"type": "content_block_stop", "index": said.block}))
            delta = {"stop_reason": "max_tokens", "stop_sequence": None}
            usage = {"output_tokens": before}
            events.append(_named({"type": "message_delta", "delta": delta, "usage": usage}))
        return Events.of([*events, _named({"type": "message_stop"})])


def _said_in(block: Any, number: Any) -> Iterator[Said]:
    """A block, or a delta of one."""
    if not isinstance(block, dict):
        yield from unshaped(block)
        return
    if str(block.get("type")) not in _KNOWN_BLOCKS:  # what a server's tool found, a citation
        for text in texts(block, "assistant"):
            yield Said(Place(0, Kind.OTHER, str(number)), text.text)
        return
    for name, kind in _FIELDS_OF_A_BLOCK:
        if said := block.get(name):
            yield Said(Place(0, kind, str(number)), as_json(said))


def counted(found: Body) -> Body | None:
    """An answer or event as SDKs need it: counts that nobody told are 0; None: it is so."""
    inner = found.get("message")
    said = inner if isinstance(inner, dict) else found
    if "usage" not in said or said.get("type") not in _COUNTED:
        return None
    usage = said["usage"]
    if isinstance(usage, dict):
        if None not in usage.values():
            return None
        told = {name: count or 0 for name, count in usage.items()}
    else:
        told = {"input_tokens": 0, "output_tokens": 0}
    said = {**said, "usage": told}
    return {**found, "message": said} if said["type"] == "message" and inner is not None else said


def unfinished_turn(body: Body) -> tuple[Body, str]:
    """A request without the beginning of the answer that the client gave, and that beginning.

    It is the last turn, when that is the assistant's and nothing but text; empty: there is none.
    """
    said = last_words(body.get("messages"))
    if not said:
        return body, ""
    return {**body, "messages": body["messages"][:-1]}, said


def _named(found: Found) -> Event:
    return Event.of(found, str(found["type"]))
