"""The blocks of a streamed Messages answer: numbered, one open at a time, told in their order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from router.wire.events import MAX_EVENT_BYTES

Json = dict[str, Any]
_TEXT: Final = "text"
_THINKING: Final = "thinking"
_TOOL: Final = "tool_use"
_HEADS: Final[dict[str, Json]] = {
    _TEXT: {"type": _TEXT, "text": ""},
    _THINKING: {"type": _THINKING, "thinking": "", "signature": ""},
}
_DELTAS: Final = {_TEXT: "text_delta", _THINKING: "thinking_delta", _TOOL: "input_json_delta"}
_FIELDS: Final = {_TEXT: "text", _THINKING: "thinking", _TOOL: "partial_json"}
_SIZE_OF_A_BLOCK: Final = 1024
"""About what a block is without its text, bytes."""


@dataclass(slots=True, eq=False)
class Block:
    """One block of the answer.

    Attributes:
        kind: its type.
        head: as it begins.
        said: what is kept of it: a call's arguments, and all of what waits.
        is_over: it was told to its end.
    """

    kind: str
    head: Json
    said: list[str] = field(default_factory=list)
    is_over: bool = False

    def delta(self, text: str) -> Json:
        """The delta that says so."""
        return {"type": _DELTAS[self.kind], _FIELDS[self.kind]: text}

    @property
    def is_whole(self) -> bool:
        """Whether it can end here: of a call, whether its arguments are JSON."""
        return self.kind != _TOOL or _is_object("".join(self.said))


class Blocks:
    """Puts what a chat stream says by turns into blocks one after the other.

    Chat may tell calls by turns, Messages may not. Who is first is told as it comes; what begins
    before the arguments of an open call are whole waits until the answer's end, for only that tells
    that nothing more of it comes.

    What is kept is bounded: an answer whose calls, with what waits for them, are longer than an
    event may be is given up.
    """

    def __init__(self) -> None:
        self._line: list[Block] = []
        self._calls: list[Block] = []
        self._number = -1
        self._kept = 0

    @property
    def calls_are_whole(self) -> bool:
        """Whether there are calls, and none of them was cut short so far."""
        return bool(self._calls) and all(call.is_over or call.is_whole for call in self._calls)

    def says(self, kind: str, text: str) -> list[Json]:
        """The events of one more piece of text or thought. Raises ``ValueError``: too long."""
        last = self._line[-1] if self._line else None
        if last is not None and last.kind == kind:
            return self.adds(last, text)
        block = Block(kind, _HEADS[kind])
        return [*self._begun(block), *self.adds(block, text)]

    def signs(self, block: Json) -> list[Json]:
        """The events of a thought without words. Raises ``ValueError``: too long."""
        return self._begun(Block("signed", block))

    def calls(self, head: Json) -> tuple[Block, list[Json]]:
        """A call begins; and the events of it. Raises ``ValueError``: too long."""
        block = Block(_TOOL, head)
        self._calls.append(block)
        self._keep(_SIZE_OF_A_BLOCK)
        return block, self._begun(block)

    def adds(self, block: Block, text: str) -> list[Json]:
        """The events of more of a block. Raises ``ValueError``: too long, or it was over."""
        if block.is_over:
            if text.strip():
                raise ValueError("a call goes on behind its end")
            return []
        is_told = block is self._line[0]
        if block.kind == _TOOL or not is_told:
            self._keep(len(text))
            block.said.append(text)
        return [self._delta(block.delta(text))] if is_told else []

    def ends(self) -> list[Json]:
        """The events that are left: all that waits, and the end of what is open."""
        line, self._line = self._line, []
        events: list[Json] = []
        for place, block in enumerate(line):
            if place:
                events += self._told(block)
            events.append(self._stop(block))
        return events

    def _begun(self, block: Block) -> list[Json]:
        events: list[Json] = []
        if len(self._line) == 1 and self._line[0].is_whole:
            events.append(self._stop(self._line.pop()))
        self._line.append(block)
        if len(self._line) == 1:
            events += self._told(block)
        else:
            self._keep(_SIZE_OF_A_BLOCK)
        return events

    def _told(self, block: Block) -> list[Json]:
        """Its beginning, and what was said of it so far."""
        self._number += 1
        if block.kind == "signed":
            head, text = {**block.head, "signature": ""}, ""
            said = [self._delta({"type": "signature_delta", "signature": block.head["signature"]})]
        else:
            head, text = block.head, "".join(block.said)
            said = [self._delta(block.delta(text))] if text else []
        start = {"type": "content_block_start", "index": self._number, "content_block": head}
        return [start, *said]

    def _delta(self, delta: Json) -> Json:
        return {"type": "content_block_delta", "index": self._number, "delta": delta}

    def _stop(self, block: Block) -> Json:
        block.is_over = True
        block.said.clear()
        return {"type": "content_block_stop", "index": self._number}

    def _keep(self, size: int) -> None:
        self._kept += size
        if self._kept > MAX_EVENT_BYTES:
            raise ValueError("the calls of an answer are longer than an event may be")


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False
