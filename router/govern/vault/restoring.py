"""An answer with its values: whole, or as a stream that was cut anywhere.

Every place of a stream that says something (a choice's text, a tool call's arguments, …) is read as
one text. What may be the beginning of a placeholder waits with the event that it came in, and with
those after it, so that their order stays; it is never more than one placeholder's length.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, Protocol

from router.errors import RouterError, TargetBroken
from router.govern.vault.nesting import Nesting, escaped
from router.govern.vault.vault import Vault
from router.wire.endpoint import Usage
from router.wire.events import Body, Event, Events, Piece
from router.wire.kinds import Kind
from router.wire.texts import Inside, Path, Text, rewrite

MAX_HELD_EVENTS: Final = 256
"""When more wait, what looks like a beginning is taken for none."""
MAX_HELD_BYTES: Final = 1024 * 1024
MAX_PLACES: Final = 4096
"""Texts of one answer that are put together; the events of others are looked at one by one."""
_PIECES_OF_JSON: Final = (".function_call_arguments.delta", ".mcp_call_arguments.delta")
_NUMBERS: Final = ("index", "output_index", "content_index", "summary_index")

_Place = tuple[int, Path]


class Answer(Protocol):
    """What a target gives, as ``router.targets.base`` has it."""

    status: int
    content_type: str

    @property
    def usage(self) -> Usage:
        """Token counts."""
        ...

    def chunks(self) -> AsyncIterator[Piece]:
        """The answer as it arrives."""
        ...

    def interrupt(self, error: TargetBroken) -> None:
        """Let the read that is waiting fail."""
        ...

    async def aclose(self) -> None:
        """Give the connection back, or cut it."""
        ...


class _Piece:
    """A text of one event: what of it is settled, and what is not."""

    __slots__ = ("open", "path", "said")

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.said = ""
        self.open = text


class _Held:
    """An event, and its texts in the order in which they stand there."""

    __slots__ = ("event", "pieces", "whole")

    def __init__(self, event: Event) -> None:
        self.event = event
        self.pieces: dict[Path, _Piece] = {}
        self.whole: dict[Path, str] = {}
        """Texts that no other event goes on with, restored."""

    @property
    def is_settled(self) -> bool:
        return not any(piece.open for piece in self.pieces.values())

    def restored(self) -> Event:
        """The event with its values; itself when there is nothing to change."""
        found = self.event.json
        if found is None or not (self.pieces or self.whole):
            return self.event
        new = {**self.whole, **{path: piece.said for path, piece in self.pieces.items()}}
        changed = rewrite(found, lambda t: new.get(t.path, t.text), "assistant", opens_json=False)
        return self.event if changed is found else self.event.with_json(changed)


class _Line:
    """One place's text, of which the end may still wait."""

    __slots__ = ("_nesting", "_pieces", "_vault")

    def __init__(self, vault: Vault, *, is_json: bool) -> None:
        self._vault = vault
        self._pieces: list[_Piece] = []
        self._nesting = Nesting() if is_json else None

    def add(self, piece: _Piece) -> None:
        """One more piece of the text."""
        self._pieces.append(piece)

    def settle(self, *, ended: bool) -> None:
        """Put in every value that is told, and keep what may be the beginning of another."""
        text = "".join([piece.open for piece in self._pieces])
        if not text:
            self._pieces.clear()
            return
        safe = len(text) if ended else self._vault.settled(text)
        edits = [edit for edit in self._vault.edits(text) if edit[1] <= safe]
        values = list(self._values(text, edits, safe))
        start = 0
        for piece in self._pieces:
            end = start + len(piece.open)
            piece.said += "".join(_between(text, edits, values, start, min(end, safe)))
            piece.open = text[max(start, safe) : end]
            start = end
        self._pieces = [piece for piece in self._pieces if piece.open]

    def _values(self, text: str, edits: list[tuple[int, int, str]], safe: int) -> Iterator[str]:
        """The values as they have to stand there."""
        if self._nesting is None:
            yield from (value for _, _, value in edits)
            return
        place = 0
        for start, end, value in edits:
            self._nesting.read(text[place:start])
            yield escaped(value, self._nesting.depth)
            self._nesting.read("…")
            place = end
        self._nesting.read(text[place:safe])


def _between(
    text: str, edits: list[tuple[int, int, str]], values: list[str], start: int, end: int
) -> Iterator[str]:
    """What stands from ``start`` to ``end``; a value belongs to where its placeholder began."""
    place = start
    for (begins, ends, _), value in zip(edits, values, strict=True):
        if ends <= start or begins >= end:
            continue
        if begins >= start:
            yield text[place:begins]
            yield value
        place = min(ends, end)
    if place < end:
        yield text[place:end]


class Restoring:
    """Puts the values of one answer back.

    Args:
        vault: what was sent, and what stood for it.
        is_json: the answer's text itself was asked for as JSON.
        hears: told the id of a response that its provider may keep.
    """

    def __init__(
        self, vault: Vault, *, is_json: bool, hears: Callable[[str], None] = lambda _: None
    ) -> None:
        self._vault = vault
        self._is_json = is_json
        self._hears = hears
        self._lines: dict[_Place, _Line] = {}
        self._held: deque[_Held] = deque()
        self._held_bytes = 0

    def whole(self, body: Body) -> Body:
        """A whole answer."""
        found = body.json
        if found is None:
            return body
        self._listen(found)
        changed = rewrite(found, self._whole, "assistant", opens_json=False)
        return body if changed is found else Body.of(changed)

    def _whole(self, text: Text) -> str:
        if text.kind is Kind.TOKEN:
            return text.text
        if not self._escapes(text, None):
            return self._vault.restored(text.text)
        line, piece = _Line(self._vault, is_json=True), _Piece(text.path, text.text)
        line.add(piece)
        line.settle(ended=True)
        return piece.said

    def _escapes(self, text: Text, found: dict[str, Any] | None) -> bool:
        """Whether a text is JSON, or a piece of it."""
        if text.is_json:
            return True
        if found is not None and str(found.get("type")).endswith(_PIECES_OF_JSON):
            return text.path == ("delta",)
        return self._is_json and text.kind is Kind.TEXT and text.role == "assistant"

    def feed(self, run: Events) -> Events:
        """What may go out now that these events are here."""
        count, nothing_waited = 0, not self._held
        for event in run:
            self._take(event)
            count += 1
        released = list(self._released())
        if nothing_waited and len(released) == count:
            events = [held.restored() for held in released]
            if all(new is held.event for new, held in zip(events, released, strict=True)):
                return run  # untouched, and not joined again
            return Events.of(events)
        return Events.of([held.restored() for held in released])

    def end(self) -> Events:
        """What is left, when nothing more comes."""
        self._settle(lambda _: True)
        return Events.of([held.restored() for held in self._released()])

    def _take(self, event: Event) -> None:
        held = _Held(event)
        self._held.append(held)
        self._held_bytes += len(event.raw)
        found = event.json
        if found is not None:
            self._listen(found.get("response"))
            self._read(held, found)
            ended = _ended(found)
            if ended:
                self._settle(lambda place: place[0] in ended)
        if len(self._held) > MAX_HELD_EVENTS or self._held_bytes > MAX_HELD_BYTES:
            self._settle(lambda _: True)

    def _listen(self, found: Any) -> None:
        if isinstance(found, dict) and found.get("object") == "response":
            told = found.get("id")
            if isinstance(told, str):
                self._hears(told)

    def _read(self, held: _Held, found: dict[str, Any]) -> None:
        touched: list[_Line] = []

        def read(text: Text) -> str:
            if text.kind is Kind.TOKEN or not text.text:
                return text.text
            place = _place(text, found)
            if place is None or (place not in self._lines and len(self._lines) >= MAX_PLACES):
                held.whole[text.path] = self._whole(text)
                return text.text
            line = self._lines.get(place)
            if line is None:
                line = _Line(self._vault, is_json=self._escapes(text, found))
                self._lines[place] = line
            piece = held.pieces[text.path] = _Piece(text.path, text.text)
            line.add(piece)
            touched.append(line)
            return text.text

        rewrite(found, read, "assistant", opens_json=False)
        for line in touched:
            line.settle(ended=False)

    def _settle(self, which: Callable[[_Place], bool]) -> None:
        for place, line in self._lines.items():
            if which(place):
                line.settle(ended=True)

    def _released(self) -> Iterator[_Held]:
        while self._held and self._held[0].is_settled:
            held = self._held.popleft()
            self._held_bytes -= len(held.event.raw)
            yield held


def _place(text: Text, found: dict[str, Any]) -> _Place | None:
    """Where a piece belongs; None: it is a text of its own, which no other event goes on with."""
    path = text.path
    if path[0] == "choices":
        choice = found["choices"][path[1]]
        if path[2:3] != ("delta",) and path[2:] != ("text",):
            return None
        return _number(choice), _by_index(choice, path[2:])
    kind = str(found.get("type"))
    if kind == "content_block_delta" or kind.endswith(".delta"):
        numbers = tuple(found[name] for name in _NUMBERS[1:] if isinstance(found.get(name), int))
        return _group(found), (kind, *numbers, *path)
    return None


def _by_index(value: Any, path: Path) -> Path:
    """A path in which the parts of lists go by the numbers that they give themselves."""
    steps: list[Any] = []
    for step in path:
        if step is Inside.JSON or step is Inside.KEY:
            steps.append(step)
            continue
        value = value[step]
        steps.append(_number(value, step) if isinstance(value, dict) else step)
    return tuple(steps)


def _number(value: dict[str, Any], otherwise: Any = 0) -> Any:
    number = value.get("index")
    return number if isinstance(number, int) else otherwise


def _group(found: dict[str, Any]) -> int:
    for name in _NUMBERS:
        if isinstance(found.get(name), int):
            return int(found[name])
    return 0


def _ended(found: dict[str, Any]) -> set[int]:
    """The choices, blocks or items that nothing more is said in."""
    kind = str(found.get("type"))
    if kind == "content_block_stop" or kind.endswith(".done"):
        return {_group(found)}
    choices = found.get("choices")
    return {
        _number(choice)
        for choice in (choices if isinstance(choices, list) else ())
        if isinstance(choice, dict) and choice.get("finish_reason")
    }


class RestoredAnswer:
    """Stands for ``answer``: the same, with values where placeholders stood.

    Args:
        answer: what the target gives.
        restoring: puts the values back.
        message: puts them back in the message of an error.
    """

    def __init__(self, answer: Answer, restoring: Restoring, message: Callable[[str], str]) -> None:
        self._answer = answer
        self._restoring = restoring
        self._message = message
        self.status = answer.status
        self.content_type = answer.content_type

    @property
    def usage(self) -> Usage:
        """Token counts as the target reported them."""
        return self._answer.usage

    async def chunks(self) -> AsyncIterator[Piece]:
        """The answer as it arrives. Raises ``TargetBroken`` as the answer does."""
        parts: list[Body] = []
        try:
            async for piece in self._answer.chunks():
                if isinstance(piece, Events):
                    if released := self._restoring.feed(piece):
                        yield released
                    continue
                if piece:
                    parts.append(piece)
                yield Body(b"")  # a sign of life
        except RouterError as error:
            error.message = self._message(error.message)
            raise
        if released := self._restoring.end():
            yield released
        if parts:
            whole = parts[0] if len(parts) == 1 else Body(b"".join([each.raw for each in parts]))
            yield self._restoring.whole(whole)

    def interrupt(self, error: TargetBroken) -> None:
        """Let the read of ``chunks`` that is waiting fail with ``error``."""
        self._answer.interrupt(error)

    async def aclose(self) -> None:
        """Give the connection back, or cut it."""
        await self._answer.aclose()
