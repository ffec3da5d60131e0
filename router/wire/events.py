"""What an answer comes in: server-sent events or one body, each parsed at most once, when asked.

Events are split from any cut of the bytes. A stream is passed on as runs of whole events, as they
came in one read. Most runs are never split and most events never parsed; who does look shares what
it found with all others that hold the same object.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
"""The largest single event that is accepted."""
DONE: Final = b"data: [DONE]\n\n"
_EVENT: Final = re.compile(rb".*?(?:\r?\n){2}|.+", re.DOTALL)
_DATA: Final = re.compile(rb"^data: ?(.*?)\r?$", re.MULTILINE)
_FIELD: Final = b"data:"
_PING: Final = b"event: ping"
_UNREAD: Final = object()
_NOT_JSON: Final = object()


class Event:
    """One event: its bytes, and its JSON, which is read when somebody asks and only once.

    Attributes:
        raw: the bytes with the empty line at the end. Whoever changes ``json`` makes another event
            of it: see ``of``.
    """

    __slots__ = ("_json", "raw")

    def __init__(self, raw: bytes, found: Any = _UNREAD) -> None:
        """``found``: its JSON, for who has read it; None: it is no object."""
        self.raw = raw
        self._json = found

    @classmethod
    def of(cls, found: dict[str, Any], name: str | None = None) -> Event:
        """The event that says ``found``."""
        return cls(encode(found, name), found)

    @property
    def data(self) -> bytes:
        """What the lines of data say, joined; empty for a comment."""
        raw = self.raw
        if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2 and b"\r" not in raw:
            return raw[6:-2]  # as nearly all are
        return b"\n".join(_DATA.findall(raw))

    @property
    def json(self) -> dict[str, Any] | None:
        """The object that it says; None for a comment, for ``[DONE]`` and for what is no object."""
        if self._json is _UNREAD:
            self._json = _object(self.data)
        return self._json  # type: ignore[no-any-return]

    def object(self) -> dict[str, Any] | None:
        """The object that it says; None for a comment and for ``[DONE]``.

        Raises:
            ValueError: it says something that is no JSON object.
        """
        found = self.json
        if found is None and not self.is_done and self.data:
            raise ValueError("an event's data is not a JSON object")
        return found

    @property
    def is_whole(self) -> bool:
        """Whether it says a JSON object, or is a comment or ``[DONE]``; in UTF-8 all of them."""
        if self.json is None and self.data and not self.is_done:
            return False
        return self.raw.isascii() or _is_utf8(self.raw)  # clients decode what they skip, too

    @property
    def name(self) -> str | None:
        """What the line ``event`` says; None without one."""
        if not self.raw.startswith(b"event:"):
            return None
        line, _, _ = self.raw.partition(b"\n")
        return line[6:].strip().decode("utf-8", "replace")

    @property
    def is_done(self) -> bool:
        """Whether it is ``[DONE]``."""
        return len(self.raw) < 32 and self.data.strip() == b"[DONE]"

    def with_json(self, found: dict[str, Any]) -> Event:
        """The same event with other JSON."""
        return Event.of(found, self.name)


class Events:
    """A run of whole events.

    Attributes:
        raw: their bytes.
    """

    __slots__ = ("_events", "raw")

    def __init__(self, raw: bytes, events: tuple[Event, ...] | None = None) -> None:
        self.raw = raw
        self._events = events

    @classmethod
    def of(cls, events: Iterable[Event]) -> Events:
        """The run of these."""
        found = tuple(events)
        return cls(b"".join([event.raw for event in found]), found)

    def __iter__(self) -> Iterator[Event]:
        """Each event; split once."""
        if self._events is None:
            self._events = tuple(Event(raw) for raw in _split(self.raw))
        return iter(self._events)

    def __bool__(self) -> bool:
        return bool(self.raw)

    def are_whole(self) -> bool:
        """Whether each of them is: see ``Event.is_whole``."""
        if self._events is not None:
            return all(event.is_whole for event in self._events)
        raw, events, are_whole = self.raw, [], True
        is_one = raw.find(b"\n\n") == len(raw) - 2 and b"\r" not in raw
        for each in (raw,) if is_one else _split(raw):
            # As nearly all are: data of one line, alone or below its name.
            start = each.find(b"\n") + 1 if each.startswith(b"event: ") else 0
            if each.startswith(b"data: {", start) and each.find(b"\n", start) == len(each) - 2:
                found = _object(each[start + 6 : -2])
                event = Event(each, found)
                is_whole = found is not None and (not start or each.isascii() or _is_utf8(each))
            else:
                event = Event(each)
                is_whole = event.is_whole
            events.append(event)
            are_whole = are_whole and is_whole
        self._events = tuple(events)
        return are_whole

    def count(self) -> int:
        """About how many there are, without looking closely."""
        return self.raw.count(b"\n\n") or self.raw.count(b"\r\n\r\n")


class Body:
    """A whole answer, or a part of one: its bytes, and its JSON, read at most once.

    Attributes:
        raw: the bytes.
    """

    __slots__ = ("_found", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._found: Any = _UNREAD

    @classmethod
    def of(cls, found: dict[str, Any]) -> Body:
        """The body that says ``found``."""
        body = cls(orjson.dumps(found))
        body._found = found
        return body

    @property
    def json(self) -> dict[str, Any] | None:
        """The object that it is; None when it is something else."""
        found = self._read()
        return found if isinstance(found, dict) else None

    @property
    def is_json(self) -> bool:
        """Whether it is JSON at all."""
        return self._read() is not _NOT_JSON

    def _read(self) -> Any:
        if self._found is _UNREAD:
            try:
                self._found = orjson.loads(self.raw)
            except orjson.JSONDecodeError:
                self._found = _NOT_JSON
        return self._found

    def __bool__(self) -> bool:
        return bool(self.raw)


Piece = Events | Body
"""What an answer comes in: runs of events where it is streamed, else the body."""


class Splitter:
    """Cuts bytes, however they arrive, into runs of whole events."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Events:
        """The whole events that ``data`` completes.

        Raises:
            ValueError: what was begun is longer than ``MAX_EVENT_BYTES``.
        """
        if not self._rest and data.endswith(b"\n\n"):
            return Events(data)
        rest = self._rest
        seen = max(0, len(rest) - 3)
        rest += data
        end = max(_after(rest, b"\n\n", seen), _after(rest, b"\r\n\r\n", seen))
        if len(rest) - end > MAX_EVENT_BYTES:
            raise ValueError("an event is too large")
        whole = bytes(rest[:end])
        del rest[:end]
        return Events(whole)


def encode(data: dict[str, Any], event: str | None = None) -> bytes:
    """The bytes of one event."""
    head = b"" if event is None else b"event: " + event.encode() + b"\n"
    return head + b"data: " + orjson.dumps(data) + b"\n\n"


def _split(raw: bytes) -> Iterator[bytes]:
    if b"\r" in raw:
        yield from _EVENT.findall(raw)
        return
    *whole, rest = raw.split(b"\n\n")
    for event in whole:
        yield event + b"\n\n"
    if rest:
        yield rest


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _object(data: bytes) -> dict[str, Any] | None:
    if not data:
        return None
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _after(data: bytearray, mark: bytes, start: int) -> int:
    found = data.rfind(mark, start)
    return 0 if found < 0 else found + len(mark)


def is_progress(chunk: bytes) -> bool:
    """Whether events are more than comments and pings, which only say that somebody is there."""
    if chunk.startswith(_FIELD):
        return True
    if _FIELD not in chunk:
        return False
    return not (chunk.startswith(_PING) and chunk.count(_FIELD) == 1)
