"""What a broken stream had said, read from its events only when it broke.

While all is well, bytes are only put aside. Every 64 KiB they are read into text, so that what is
kept stays about as long as the answer (law 9).
"""

from __future__ import annotations

from typing import Any, Protocol

from router.wire.endpoint import Endpoint
from router.wire.sse import EventReader

_FOLD_BYTES = 64 * 1024
Event = dict[str, Any]


class Reading:
    """What is known about the stream so far.

    Attributes:
        deltas: events with text; each is one token or more.
        finished: the reason for its end was told.
        obstacle: why it cannot be continued, if so.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self.deltas = 0
        self.finished = False
        self.obstacle: str | None = None

    @property
    def text(self) -> str:
        """The answer's text."""
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def say(self, text: str) -> None:
        """One more piece."""
        if text:
            self._pieces.append(text)
            self.deltas += 1

    def forget(self, why: str) -> None:
        """Keep no text: it cannot be continued."""
        self._pieces.clear()
        self.blocked(why)

    def blocked(self, why: str) -> None:
        """Remember the first obstacle."""
        self.obstacle = self.obstacle or why


class Reader(Protocol):
    """Reads one dialect's events."""

    reading: Reading

    def read(self, event: Event) -> None:
        """One event."""
        ...


class ChatReader:
    """Chat completion chunks, and completions: these have ``text`` where those have ``delta``.

    Attributes:
        head: what every chunk of one answer has in common.
    """

    _HEAD = ("id", "object", "created", "model", "system_fingerprint")

    def __init__(self) -> None:
        self.reading = Reading()
        self.head: Event = {}

    def read(self, event: Event) -> None:
        """One chunk."""
        if not self.head:
            self.head = {name: event[name] for name in self._HEAD if name in event}
        for choice in event.get("choices") or []:
            if choice.get("index", 0) != 0:
                self.reading.blocked("it has several answers")
            if "delta" in choice:
                self._delta(choice["delta"] or {})
            else:
                self.reading.say(choice.get("text") or "")
            if choice.get("finish_reason"):
                self.reading.finished = True

    def _delta(self, delta: Event) -> None:
        for name, value in delta.items():
            if name == "content" and isinstance(value, str):
                self.reading.say(value)
            elif value and name != "role":
                self.reading.blocked(f"it had sent {name!r}")


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

    def read(self, event: Event) -> None:
        """One event."""
        match event.get("type"):
            case "content_block_start":
                self.block, self.is_open = event["index"], True
                block = event["content_block"]
                if block.get("type") != "text":
                    self.reading.blocked(f"it had sent a block of type {block.get('type')!r}")
                self.reading.say(block.get("text") or "")
            case "content_block_delta":
                delta = event["delta"]
                if delta.get("type") != "text_delta":
                    self.reading.blocked(f"it had sent {delta.get('type')!r}")
                self.reading.say(delta.get("text") or "")
            case "content_block_stop":
                self.is_open = False
            case "message_delta":
                self.reading.finished = True


class ResponsesReader:
    """OpenAI's Responses: one message of one part of text, or it cannot be continued.

    Attributes:
        response: the answer as its first event has it.
        number: of the newest event.
        item: the message, when it was announced.
        part: its text, when it was announced.
        place: what the events about the text have in common; empty before it.
    """

    _PLACE = ("item_id", "output_index", "content_index")
    _HEADS = frozenset({"response.created", "response.in_progress", "response.queued"})

    def __init__(self) -> None:
        self.reading = Reading()
        self.response: Event = {}
        self.number = 0
        self.item: Event = {}
        self.part: Event = {}
        self.place: Event = {}

    def read(self, event: Event) -> None:
        """One event."""
        self.number = event["sequence_number"]
        kind = event["type"]
        if kind in self._HEADS:
            self.response = self.response or event["response"]
        elif kind == "response.output_item.added" and not self.item:
            self.item = event["item"]
            if self.item.get("type") != "message":
                self.reading.blocked(f"it had sent an item of type {self.item.get('type')!r}")
        elif kind == "response.content_part.added" and not self.part:
            self.part = event["part"]
            self.place = {name: event[name] for name in self._PLACE}
            if self.part.get("type") != "output_text":
                self.reading.blocked(f"it had sent a part of type {self.part.get('type')!r}")
        elif kind == "response.output_text.delta" and self._is_here(event):
            self.reading.say(event["delta"])
        else:
            # Its text had ended, but not whether at its bound on tokens: that is told at the end.
            self.reading.blocked(f"it had sent {kind!r}")

    def _is_here(self, event: Event) -> bool:
        return bool(self.place) and all(event[name] == self.place[name] for name in self._PLACE)


AnyReader = ChatReader | MessagesReader | ResponsesReader


class Transcript:
    """Everything that the client got of one stream.

    Args:
        endpoint: the dialect; one that ``eligible.obstacle`` lets pass.
        max_chars: longer texts are not kept.
    """

    __slots__ = ("_events", "_held", "_max_chars", "_size", "reader")

    def __init__(self, endpoint: Endpoint, max_chars: int) -> None:
        self.reader = _reader(endpoint)
        self._events = EventReader()
        self._held: list[bytes] = []
        self._size = 0
        self._max_chars = max_chars

    def add(self, chunk: bytes) -> None:
        """These whole events go out."""
        self._held.append(chunk)
        self._size += len(chunk)
        if self._size > _FOLD_BYTES:
            self.read()

    def obstacle(self) -> str | None:
        """Why it cannot be continued from here; None: it can."""
        found = self.read().obstacle
        if found is None and isinstance(self.reader, ResponsesReader) and not self.reader.place:
            return "its text had not begun"
        return found

    def read(self) -> Reading:
        """What was said up to here."""
        reading = self.reader.reading
        held, self._held, self._size = self._held, [], 0
        if reading.obstacle is not None:
            return reading
        try:
            for event in self._events.feed(b"".join(held)):
                if event is not None:
                    self.reader.read(event)
        except (ValueError, LookupError, TypeError, AttributeError):
            reading.blocked("it had sent something that is not its API")
        if len(reading.text) > self._max_chars:
            reading.forget(f"it was longer than {self._max_chars} characters")
        return reading


def _reader(endpoint: Endpoint) -> AnyReader:
    if endpoint is Endpoint.MESSAGES:
        return MessagesReader()
    return ResponsesReader() if endpoint is Endpoint.RESPONSES else ChatReader()
