"""A Messages stream as a stream of chat completion chunks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from router.errors import TargetBroken
from router.wire.endpoint import Endpoint
from router.wire.events import DONE, Event, Events
from router.wire.formats import FORMATS
from router.wire.translate.answer_to_chat import chat_id, matched
from router.wire.translate.vocabulary import chat_usage, finish_reason


class ChatStream:
    """Translates events as they come; each gives at most a few chunks, none is held back.

    Args:
        created: when the answer began, seconds since the epoch.
        include_usage: end with a chunk of token counts, as the client asked.
    """

    def __init__(self, *, created: int, include_usage: bool) -> None:
        self._created = created
        self._include_usage = include_usage
        self._id = "chatcmpl-"
        self._model = ""
        self._usage: dict[str, Any] = {}
        self._tool_of_block: dict[int, int] = {}
        self._without_arguments: dict[int, Any] = {}
        self._has_ended = False

    def feed(self, run: Events) -> Events:
        """The chunks that say what ``run`` says.

        Raises:
            ValueError, KeyError, TypeError: it is not a Messages stream.
        """
        return Events.of(
            chunk
            for event in run
            if (found := event.object()) is not None
            for chunk in self._translate(found)
        )

    def cut(self) -> Events:
        """The counts, which chat tells after the reason for the end."""
        return Events.of(self._counts() if self._has_ended else ())

    def _translate(self, event: dict[str, Any]) -> list[Event]:
        match event.get("type"):
            case "message_start":
                return self._start(event["message"])
            case "content_block_start":
                return self._block_start(event["index"], event["content_block"])
            case "content_block_delta":
                return self._delta(event["index"], event["delta"])
            case "content_block_stop":
                return self._block_stop(event["index"])
            case "message_delta":
                self._count(event.get("usage"))
                return self._end(event["delta"])
            case "message_stop":
                return self._stop()
            case "error":
                return _error(event["error"])
            case _:  # ping, and what is still to be invented
                return []

    def _start(self, message: dict[str, Any]) -> list[Event]:
        self._id = chat_id(message["id"])
        self._model = message["model"]
        self._count(message.get("usage"))
        return self._chunk({"role": "assistant", "content": ""})

    def _block_start(self, index: int, block: dict[str, Any]) -> list[Event]:
        if block["type"] == "text" and block.get("text"):
            return self._chunk({"content": block["text"]})
        if block["type"] == "thinking" and block.get("thinking"):
            return self._chunk({"reasoning_content": block["thinking"]})
        if block["type"] != "tool_use":
            return []
        tool = self._tool_of_block[index] = len(self._tool_of_block)
        self._without_arguments[index] = block.get("input") or {}
        return self._call(
            tool,
            {"name": block["name"], "arguments": ""},
            {"id": block["id"], "type": "function"},
        )

    def _delta(self, index: int, delta: dict[str, Any]) -> list[Event]:
        match delta["type"]:
            case "text_delta":
                return self._chunk({"content": delta["text"]})
            case "thinking_delta":
                return self._chunk({"reasoning_content": delta["thinking"]})
            case "input_json_delta" if index in self._tool_of_block and delta["partial_json"]:
                self._without_arguments.pop(index, None)
                return self._call(self._tool_of_block[index], {"arguments": delta["partial_json"]})
            case _:  # signatures and citations: chat has no place for them
                return []

    def _block_stop(self, index: int) -> list[Event]:
        if index not in self._without_arguments:
            return []
        # A tool without parameters sends no JSON at all; chat's clients parse what they get. Some
        # servers tell all of the input in the beginning.
        arguments = orjson.dumps(self._without_arguments.pop(index)).decode()
        return self._call(self._tool_of_block[index], {"arguments": arguments})

    def _end(self, delta: dict[str, Any]) -> list[Event]:
        """The reason; an event without one only counts."""
        stop = delta.get("stop_reason")
        if stop is None:
            return []
        self._has_ended = True
        return self._chunk({}, finish_reason(stop), matched(delta.get("stop_sequence")))

    def _stop(self) -> list[Event]:
        end = [] if self._has_ended else self._chunk({}, finish_reason(None))
        return [*end, *self._counts(), Event(DONE)]

    def _counts(self) -> list[Event]:
        if not self._include_usage:
            return []
        return [Event.of({**self._head(), "choices": [], "usage": chat_usage(self._usage)})]

    def _call(
        self, tool: int, function: dict[str, str], head: dict[str, str] | None = None
    ) -> list[Event]:
        return self._chunk({"tool_calls": [{"index": tool, **(head or {}), "function": function}]})

    def _chunk(
        self,
        delta: dict[str, Any],
        finish: str | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> list[Event]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        choice |= more or {}
        chunk = {**self._head(), "choices": [choice]}
        if self._include_usage:
            chunk["usage"] = None
        return [Event.of(chunk)]

    def _head(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
        }

    def _count(self, usage: object) -> None:
        if isinstance(usage, dict):  # each event repeats what it knows; what it leaves out stays
            self._usage |= {name: count for name, count in usage.items() if count is not None}


def _error(error: dict[str, Any]) -> list[Event]:
    kind = str(error.get("type") or "server_error")
    broken = TargetBroken(str(error.get("message")), code=kind)
    return [Event(FORMATS[Endpoint.CHAT].error_events(broken))]
