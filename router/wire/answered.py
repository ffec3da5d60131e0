"""What a finished answer says, whichever API it was given in: its text, its calls, how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from router.wire.endpoint import Endpoint
from router.wire.events import Events
from router.wire.formats import FORMATS
from router.wire.kinds import Kind
from router.wire.spoken import Said

_CUT = frozenset({"length", "max_tokens", "max_output_tokens", "model_context_window_exceeded"})
_REFUSED = frozenset({"content_filter", "refusal"})


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call that an answer makes."""

    name: str
    arguments: str
    """JSON, if the model wrote any."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The first of an answer's choices."""

    text: str = ""
    refusal: str = ""
    """What the API itself marks as a refusal."""
    calls: tuple[ToolCall, ...] = ()
    end: str = ""
    """Why it ended, in the API's own word; empty where it did not say."""

    @property
    def is_cut(self) -> bool:
        """Whether it ended because it became too long."""
        return self.end in _CUT

    @property
    def is_refused(self) -> bool:
        """Whether the API says that it is a refusal."""
        return bool(self.refusal) or self.end in _REFUSED


def answered(endpoint: Endpoint, raw: bytes, *, streamed: bool) -> Answered:
    """Read an answer as it went over the wire. What cannot be read says nothing."""
    found = list(_objects(raw, streamed=streamed))
    said = _joined(piece for each in found for piece in FORMATS[endpoint].said(each))
    names = {part: name for each in found for part, name in _names(each)}
    parts = {part: text for (kind, part), text in said.items() if kind is Kind.ARGUMENTS}
    calls = {**dict.fromkeys(names, ""), **parts}
    return Answered(
        text=_of_kind(said, Kind.TEXT),
        refusal=_of_kind(said, Kind.REFUSAL),
        calls=tuple(ToolCall(names.get(part, ""), text) for part, text in calls.items()),
        end=next((end for each in reversed(found) if (end := _end(each))), ""),
    )


def _objects(raw: bytes, *, streamed: bool) -> Iterator[dict[str, Any]]:
    if streamed:
        yield from (found for event in Events(raw) if (found := event.json) is not None)
        return
    try:
        whole = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return
    if isinstance(whole, dict):
        yield whole


def _joined(pieces: Iterable[Said]) -> dict[tuple[Kind, str], str]:
    """By kind and part of the first choice."""
    found: dict[tuple[Kind, str], list[str]] = {}
    for place, text, whole in pieces:
        if place.choice != 0:
            continue
        before = found.setdefault((place.kind, place.part), [])
        if whole:
            before.clear()
        before.append(text)
    return {place: "".join(texts) for place, texts in found.items()}


def _of_kind(said: dict[tuple[Kind, str], str], wanted: Kind) -> str:
    return "".join(text for (kind, _), text in said.items() if kind is wanted)


def _names(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The names of the tools that are called, each with the part that its arguments have."""
    for choice in _dicts(found.get("choices")):
        if choice.get("index", 0) == 0:
            yield from _names_in_chat(choice.get("delta") or choice.get("message"))
    whole = found.get("response") if isinstance(found.get("response"), dict) else found
    assert isinstance(whole, dict)
    for blocks in (whole.get("content"), whole.get("output")):
        for place, block in enumerate(blocks if isinstance(blocks, list) else ()):
            yield from _name_of(block, str(place))
    for block, index in (("content_block", "index"), ("item", "output_index")):
        yield from _name_of(found.get(block), str(found.get(index, 0)))


def _names_in_chat(said: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(said, dict):
        return
    calls = [(str(c.get("index", n)), c) for n, c in enumerate(_dicts(said.get("tool_calls")))]
    if isinstance(said.get("function_call"), dict):
        calls.append(("-1", {"function": said["function_call"]}))
    for part, call in calls:
        for kind in ("function", "custom"):
            called = call.get(kind)
            name = called.get("name") if isinstance(called, dict) else None
            if isinstance(name, str) and name:
                yield part, name


def _name_of(block: Any, part: str) -> Iterator[tuple[str, str]]:
    is_call = isinstance(block, dict) and block.get("type") in ("tool_use", "function_call")
    if is_call and isinstance(block.get("name"), str):
        yield part, block["name"]


def _end(found: dict[str, Any]) -> str:
    for choice in _dicts(found.get("choices")):
        if choice.get("index", 0) == 0 and isinstance(choice.get("finish_reason"), str):
            return str(choice["finish_reason"])
    delta = found.get("delta")
    if isinstance(delta, dict) and isinstance(delta.get("stop_reason"), str):
        return str(delta["stop_reason"])
    whole = found.get("response") if isinstance(found.get("response"), dict) else found
    assert isinstance(whole, dict)
    if isinstance(whole.get("stop_reason"), str):
        return str(whole["stop_reason"])
    details = whole.get("incomplete_details")
    if isinstance(details, dict) and isinstance(details.get("reason"), str):
        return str(details["reason"])
    return str(whole.get("status") or "") if whole.get("object") == "response" else ""


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
