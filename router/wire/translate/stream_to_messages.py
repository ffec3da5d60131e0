"""A stream of chat completion chunks as a Messages stream."""

from __future__ import annotations

from typing import Any

from router.errors import TargetBroken
from router.wire.endpoint import Endpoint
from router.wire.events import Event, Events
from router.wire.formats import FORMATS
from router.wire.translate.answer_to_messages import message_id, thoughts_in
from router.wire.translate.message_blocks import Block, Blocks
from router.wire.translate.signatures import signature_in, thinking_block
from router.wire.translate.told_calls import ToldCalls
from router.wire.translate.vocabulary import messages_usage, stop_reason


class MessagesStream:
    """Translates chunks as they come.

    The end is told at ``[DONE]``, because a chat stream counts its tokens after it gave its finish
    reason.

    Args:
        model: for upstreams that do not say.
        fallback_id: for upstreams that give none.
        tells: put the tokens' probabilities into the events, for who reads and removes them.
    """

    def __init__(self, *, model: str, fallback_id: str, tells: bool = False) -> None:
        self._model = model
        self._fallback_id = fallback_id
        self._started = False
        self._blocks = Blocks()
        self._told_calls = ToldCalls()
        self._calls: dict[int, Block] = {}
        self._end: tuple[str, str | None] = ("end_turn", None)
        self._has_ended = False
        self._usage: object = None
        self._tells = tells
        self._told: list[Any] = []

    def feed(self, run: Events) -> Events:
        """The events that say what ``run`` says.

        Raises:
            ValueError, KeyError, TypeError: it is not a chat stream.
        """
        return Events.of(translated for event in run for translated in self._event(event))

    def cut(self) -> Events:
        """The reason for the end, which is held back for the counts that come after it."""
        return (
            Events.of(self._close() + self._delta_of_the_end()) if self._has_ended else Events(b"")
        )

    def _event(self, event: Event) -> list[Event]:
        if event.is_done:
            return self._translate(None)
        found = event.object()
        return [] if found is None else self._translate(found)

    def _translate(self, chunk: dict[str, Any] | None) -> list[Event]:
        if chunk is None:
            return self._start({}) + self._close() + self._stop()
        if chunk.get("error"):
            return _error(chunk["error"])
        self._usage = chunk.get("usage") or self._usage
        out = self._start(chunk)
        for choice in (chunk.get("choices") or [])[:1]:
            if self._tells:
                self._told += (choice.get("logprobs") or {}).get("content") or []
            out += self._delta(choice.get("delta") or {})
            if choice.get("finish_reason"):
                self._end = stop_reason(choice, calls=self._blocks.calls_are_whole)
                self._has_ended = True
        return out

    def _start(self, chunk: dict[str, Any]) -> list[Event]:
        if self._started:
            return []
        self._started = True
        message: dict[str, Any] = {
            "id": message_id(chunk, self._fallback_id),
            "type": "message",
            "role": "assistant",
            "model": chunk.get("model") or self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": messages_usage(self._usage),
        }
        return _event("message_start", message=message)

    def _delta(self, delta: dict[str, Any]) -> list[Event]:
        out = []
        thoughts = thoughts_in(delta)
        if thoughts:
            out += self._events(self._blocks.says("thinking", thoughts))
        text = delta.get("content") or delta.get("refusal")
        if text:
            out += self._events(self._blocks.says("text", text))
        for call in delta.get("tool_calls") or []:
            out += self._tool(call)
        return out

    def _tool(self, call: dict[str, Any]) -> list[Event]:
        number, function = self._told_calls.number(call), call.get("function") or {}
        out: list[Event] = []
        if number not in self._calls:
            if signature := signature_in(call):
                # A thought without words keeps what is to be given back with the call.
                out += self._events(self._blocks.signs(thinking_block(signature)))
            head = {"type": "tool_use", "id": call["id"], "name": function["name"], "input": {}}
            self._calls[number], events = self._blocks.calls(head)
            out += self._events(events)
        if arguments := function.get("arguments"):
            out += self._events(self._blocks.adds(self._calls[number], arguments))
        return out

    def _events(self, told: list[dict[str, Any]]) -> list[Event]:
        """Those of blocks; deltas tell the tokens' probabilities."""
        return [
            Event.of({**each, **self._tell()} if "delta" in each else each, each["type"])
            for each in told
        ]

    def _tell(self) -> dict[str, Any]:
        """The probabilities of the tokens since the last event that told any."""
        held, self._told = self._told, []
        return {"logprobs": {"content": held}} if held else {}

    def _close(self) -> list[Event]:
        return self._events(self._blocks.ends())

    def _stop(self) -> list[Event]:
        return self._delta_of_the_end() + _event("message_stop")

    def _delta_of_the_end(self) -> list[Event]:
        reason, sequence = self._end
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        usage = messages_usage(self._usage)
        return _event("message_delta", delta=delta, usage=usage, **self._tell())


def _event(kind: str, **fields: object) -> list[Event]:
    return [Event.of({"type": kind, **fields}, kind)]


def _error(error: object) -> list[Event]:
    found = error if isinstance(error, dict) else {"message": error}
    code = found.get("type") or found.get("code")
    wire = FORMATS[Endpoint.MESSAGES]
    broken = TargetBroken(str(found.get("message")), code=str(code or "server_error"))
    return [Event(wire.error_events(broken))]
