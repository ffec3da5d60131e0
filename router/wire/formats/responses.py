"""``/v1/responses``: numbered events about items, and the whole response in the last one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from router.errors import RouterError, TargetBroken
from router.wire.endpoint import Endpoint
from router.wire.events import Event, Events
from router.wire.formats.base import Body, Continued, Found, PrefillStyle, Reader, Reading, broken
from router.wire.formats.fields import COMMON
from router.wire.formats.responses_splice import ResponsesSplice, ending
from router.wire.formats.seam import Seam
from router.wire.kinds import Kind
from router.wire.spoken import Place, Said, as_json, unshaped
from router.wire.texts import texts

_KIND_OF_AN_EVENT = {
    "response.output_text": Kind.TEXT,
    "response.refusal": Kind.REFUSAL,
    "response.reasoning_text": Kind.REASONING,
    "response.reasoning_summary_text": Kind.REASONING,
    "response.function_call_arguments": Kind.ARGUMENTS,
    "response.mcp_call_arguments": Kind.ARGUMENTS,
    "response.custom_tool_call_input": Kind.ARGUMENTS,
}
"""What the events about a text, ``….delta`` and ``….done``, are about."""
_FIELDS_OF_A_PART = (
    ("text", Kind.TEXT),
    ("refusal", Kind.REFUSAL),
)
_FIELDS_OF_AN_EVENT = ("text", "refusal", "arguments", "input")
_KNOWN_ITEMS = frozenset({"message", "reasoning", "function_call", "custom_tool_call", "mcp_call"})

_PREAMBLE = frozenset({"response.created", "response.in_progress", "response.queued"})
_PREAMBLE_ITEMS = frozenset({"message", "reasoning"})
_SEQUENCE = re.compile(rb'"sequence_number": ?(\d{1,15})')
_GOOD_END = re.compile(
    rb'^(?:event: ?|data: ?\{"type": ?")response\.(?:completed|incomplete)\b', re.MULTILINE
)


class ResponsesReader:
    """One message of one part of text, or it cannot be continued.

    Attributes:
        response: the answer as its first event has it.
        number: of the newest event.
        item: the message, when it was announced.
        part: its text, when it was announced.
        place: what the events about the text have in common; empty before it.
    """

    _PLACE = ("item_id", "output_index", "content_index")

    def __init__(self) -> None:
        self.reading = Reading()
        self.reading.missing = "its text had not begun"
        self.response: Found = {}
        self.number = 0
        self.item: Found = {}
        self.part: Found = {}
        self.place: Found = {}

    def read(self, found: Found) -> None:
        """One event."""
        self.number = found["sequence_number"]
        kind = found["type"]
        if kind in _PREAMBLE:
            self.response = self.response or found["response"]
        elif kind == "response.output_item.added" and not self.item:
            self.item = found["item"]
            if self.item.get("type") != "message":
                self.reading.blocked(f"it had sent an item of type {self.item.get('type')!r}")
        elif kind == "response.content_part.added" and not self.part:
            self.part, self.reading.missing = found["part"], None
            self.place = {name: found[name] for name in self._PLACE}
            if self.part.get("type") != "output_text":
                self.reading.blocked(f"it had sent a part of type {self.part.get('type')!r}")
        elif kind == "response.output_text.delta" and self._is_here(found):
            self.reading.say(found["delta"])
        else:
            # Its text had ended, but not whether at its bound on tokens: that is told at the end.
            self.reading.blocked(f"it had sent {kind!r}")

    def _is_here(self, found: Found) -> bool:
        return bool(self.place) and all(found[name] == self.place[name] for name in self._PLACE)


class Responses(Continued):
    """OpenAI's Responses."""

    endpoint = Endpoint.RESPONSES
    last_event = re.compile(
        rb'^(?:event: ?|data: ?\{"type": ?")response\.(?:completed|failed|incomplete)\b',
        re.MULTILINE,
    )
    mark = b"response."
    keeps = True
    continues = COMMON - {"max_tokens", "min_tokens", "stream_options"} | {
        "input",
        "instructions",
        "max_output_tokens",
        "tool_choice",
        "parallel_tool_calls",
    }

    def ends_well(self, raw: bytes) -> bool:
        """A failed response is not worth keeping."""
        return _GOOD_END.search(raw) is not None

    def is_answer(self, found: Body) -> bool:
        """It says so; one that failed may have no output."""
        return found.get("object") == "response" or isinstance(found.get("output"), list)

    def counts(self, found: Body) -> Any:
        """In the response that the last event has."""
        response = found.get("response")
        return (response if isinstance(response, dict) else found).get("usage")

    def error_in(self, found: Body) -> TargetBroken | None:
        """An event of its own; a failed response is an answer, not an error."""
        if found.get("type") == "error":
            return broken(found)
        return None if found.get("object") == "response" else super().error_in(found)

    def carries(self, event: Event) -> bool:
        """What only announces what is to come carries nothing."""
        found = event.json
        if found is None:
            return bool(event.data)
        kind = str(found.get("type"))
        if kind == "response.output_item.added":
            item = found.get("item")
            return not (isinstance(item, dict) and str(item.get("type")) in _PREAMBLE_ITEMS)
        return kind not in _PREAMBLE and kind != "response.content_part.added"

    def said(self, found: Body) -> Iterator[Said]:
        """Deltas, and what says all of a text once more: its end, its part, its item, the whole."""
        name, _, event = str(found.get("type") or "").rpartition(".")
        kind = _KIND_OF_AN_EVENT.get(name)
        if kind is not None:
            yield from _said_by(found, kind, event)
            return
        if found.get("part"):
            yield from _said_in_part(found["part"], _place_of(found))
        if found.get("item"):
            yield from _said_in_item(found["item"], found.get("output_index", 0))
        whole = found.get("response") or found
        if not isinstance(whole, dict):
            yield from unshaped(whole)
            return
        output = whole.get("output") or ()
        for place, item in enumerate(output if isinstance(output, list | tuple) else (output,)):
            yield from _said_in_item(item, place)

    def logprobs(self, found: Body) -> Iterator[Body]:
        """Each piece of text tells them; a whole answer in its parts."""
        if found.get("object") == "response":
            for part in _parts(found.get("output")):
                yield {"content": part.get("logprobs")}
        elif found.get("type") == "response.output_text.delta":
            yield {"content": found.get("logprobs")}

    def strip_logprobs(self, found: Body) -> bool:
        """Also from everything that repeats the text."""
        response = found.get("response", found)
        if isinstance(response, dict) and (response is not found or "output" in found):
            return _strip_response(response)
        if found.get("type") == "response.output_text.delta":
            changed = bool(found.get("logprobs"))
            if changed:
                found["logprobs"] = []  # vLLM says so where it was not asked
            return changed
        return _strip_parts([found.get("part"), *_parts([found.get("item")])])

    def next_number(self, raw: bytes) -> int:
        """One more than the newest event's."""
        numbers = _SEQUENCE.findall(raw)
        return int(numbers[-1]) + 1 if numbers else 0

    def error_events(self, error: RouterError, *, number: int = 0) -> bytes:
        """A flat event."""
        flat = {"type": "error", "code": error.code, "message": error.message, "param": None}
        return Event.of({**flat, "sequence_number": number}, "error").raw

    def obstacle(self, body: Body) -> str | None:
        """Only a talk of texts goes on."""
        said = body.get("input")
        if not _is_talk(said):
            return "a stream about more than text is not continued"
        last = said[-1] if isinstance(said, list) else None
        if isinstance(last, dict) and last.get("role") == "assistant":
            return "the client gave the beginning of the answer itself"
        return None

    def prefilled(self, body: Body, prefill: str, style: PrefillStyle) -> Body:
        """One more item of the assistant, in progress: vLLM goes on from it."""
        del style
        said = body["input"]
        part = {"type": "output_text", "text": prefill, "annotations": []}
        last: Body = {
            "type": "message",
            "id": "msg_unfinished",
            "role": "assistant",
            "status": "in_progress",
            "content": [part],
        }
        before = [{"role": "user", "content": said}] if isinstance(said, str) else said
        return {**body, "input": [*before, last]}

    def reader(self) -> ResponsesReader:
        """Reads items."""
        return ResponsesReader()

    def splice(
        self, said: Reader, seam: Seam, before: int, prompt_tokens: int | None
    ) -> ResponsesSplice:
        """Joins items."""
        assert isinstance(said, ResponsesReader)
        return ResponsesSplice(said, seam, before, prompt_tokens)

    def ending(self, said: Reader, before: int, *, full: bool) -> Events:
        """The ends of a text that reached the client's bound; nobody counted its tokens."""
        del before
        assert isinstance(said, ResponsesReader)
        assert full  # what ended by itself says so in its last event
        return ending(said)


def _place_of(found: Body) -> str:
    """Of an event: its item, and the part of that."""
    item = found.get("output_index", 0)
    for name, index in (("content", "content_index"), ("summary", "summary_index")):
        if index in found:
            return f"{item}.{name}.{found[index]}"
    return f"{item}"


def _said_by(found: Body, kind: Kind, event: str) -> Iterator[Said]:
    """An event about a text."""
    place = Place(0, kind, _place_of(found))
    if event == "delta":
        if text := found.get("delta"):
            yield Said(place, as_json(text))
        return
    for name in _FIELDS_OF_AN_EVENT:
        if text := found.get(name):
            yield Said(place, as_json(text), whole=True)


def _said_in_item(item: Any, number: int) -> Iterator[Said]:
    if not isinstance(item, dict):
        yield from unshaped(item)
        return
    if str(item.get("type")) not in _KNOWN_ITEMS:  # what a hosted tool was asked and found
        texts_ = "\n".join(text.text for text in texts(item, "assistant"))
        yield Said(Place(0, Kind.OTHER, str(number)), texts_, whole=True)
        return
    for name in ("content", "summary"):
        parts = item.get(name) or ()
        for place, part in enumerate(parts if isinstance(parts, list | tuple) else (parts,)):
            yield from _said_in_part(part, f"{number}.{name}.{place}")
    for name in ("arguments", "input"):
        if text := item.get(name):
            yield Said(Place(0, Kind.ARGUMENTS, f"{number}"), as_json(text), whole=True)
    if text := item.get("output"):
        yield Said(Place(0, Kind.OTHER, f"{number}.output"), as_json(text), whole=True)


def _said_in_part(part: Any, place: str) -> Iterator[Said]:
    if not isinstance(part, dict):
        yield from unshaped(part)
        return
    own = part.get("type")
    for name, kind in _FIELDS_OF_A_PART:
        if text := part.get(name):
            found = Kind.REASONING if own in ("reasoning_text", "summary_text") else kind
            yield Said(Place(0, found, place), as_json(text), whole=True)


def _strip_response(response: Body) -> bool:
    changed = response.get("top_logprobs") is not None
    if changed:
        response["top_logprobs"] = None
    return _strip_parts(_parts(response.get("output"))) or changed


def _strip_parts(parts: Iterable[Any]) -> bool:
    changed = False
    for part in parts:
        if isinstance(part, dict) and part.get("logprobs"):
            part["logprobs"], changed = None, True
    return changed


def _parts(items: Any) -> Iterator[Body]:
    """The parts of the content of output items."""
    for item in items if isinstance(items, list) else ():
        content = item.get("content") if isinstance(item, dict) else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict):
                yield part


def _is_talk(said: Any) -> bool:
    """Whether the input is messages of text and nothing else."""
    return isinstance(said, str) or (
        isinstance(said, list) and bool(said) and all(map(_is_message, said))
    )


def _is_message(item: Any) -> bool:
    if not isinstance(item, dict) or item.get("type", "message") != "message":
        return False
    if item.get("role") not in ("user", "assistant", "system", "developer"):
        return False
    content = item.get("content")
    return isinstance(content, str) or (
        isinstance(content, list)
        and all(
            isinstance(part, dict)
            and part.get("type") in ("input_text", "output_text")
            and isinstance(part.get("text"), str)
            for part in content
        )
    )
