"""Making a continuation's events the rest of the stream that the client is reading."""

from __future__ import annotations

from typing import Any, Protocol

from router.send.rescue.said import AnyReader, ChatReader, Event, MessagesReader, ResponsesReader
from router.send.rescue.seam import Seam
from router.send.rescue.splice_responses import ResponsesSplice, responses_ending
from router.wire.sse import DONE, EventReader, encode


class Splice(Protocol):
    """Rewrites whole events of one dialect."""

    def feed(self, chunk: bytes) -> bytes:
        """What the client gets for these events; may be nothing."""
        ...


class ChatSplice:
    """Chat chunks and completions: one id, one role, one total.

    Args:
        said: the stream so far.
        seam: joins the texts.
        before: tokens that the client has.
        prompt_tokens: as the first target counted them; None when it did not come to it.
    """

    def __init__(
        self, said: ChatReader, seam: Seam, before: int, prompt_tokens: int | None
    ) -> None:
        self._head = said.head
        self._seam = seam
        self._before = before
        self._prompt_tokens = prompt_tokens
        self._reader = EventReader()

    def feed(self, chunk: bytes) -> bytes:
        """The chunks as parts of the first answer."""
        return b"".join(
            DONE if event is None else self._chunk(event) for event in self._reader.feed(chunk)
        )

    def _chunk(self, event: Event) -> bytes:
        event = {**event, **self._head}
        if "system_fingerprint" not in self._head:
            event.pop("system_fingerprint", None)
        choices = [self._choice(choice) for choice in event.get("choices") or []]
        event["choices"] = [choice for choice in choices if choice is not None]
        if isinstance(event.get("usage"), dict):
            event["usage"] = self._usage(event["usage"])
        elif not event["choices"]:
            return b""
        return encode(event)

    def _choice(self, choice: Event) -> Event | None:
        choice = dict(choice)
        if "delta" in choice:
            delta = {k: v for k, v in (choice["delta"] or {}).items() if k != "role"}
            if isinstance(delta.get("content"), str):
                delta["content"] = self._seam.join(delta["content"])
            choice["delta"] = delta
            says = any(delta.values())
        else:
            choice["text"] = self._seam.join(choice.get("text") or "")
            says = bool(choice["text"])
        return choice if says or choice.get("finish_reason") else None

    def _usage(self, usage: Event) -> Event:
        """Of the whole: what was sent before was prompt to the second and answer to the client."""
        answer = (usage.get("completion_tokens") or 0) + self._before
        prompt = self._prompt_tokens
        if prompt is None:
            prompt = max(0, (usage.get("prompt_tokens") or 0) - self._before)
        counts = {"prompt_tokens": prompt, "completion_tokens": answer}
        return {**usage, **counts, "total_tokens": prompt + answer}


class MessagesSplice:
    """Anthropic's events: the open block goes on, later blocks are numbered after it.

    Args: see ``ChatSplice``.
    """

    def __init__(
        self, said: MessagesReader, seam: Seam, before: int, prompt_tokens: int | None
    ) -> None:
        self._open: int | None = said.block if said.is_open else None
        self._next = said.block + 1
        self._seam = seam
        self._before = before
        self._prompt_tokens = prompt_tokens
        self._numbers: dict[int, int] = {}
        self._reader = EventReader()

    def feed(self, chunk: bytes) -> bytes:
        """The events as the rest of the first message."""
        return b"".join(
            self._event(event) for event in self._reader.feed(chunk) if event is not None
        )

    def _event(self, event: Event) -> bytes:
        match event.get("type"):
            case "message_start":
                return b""
            case "content_block_start":
                return self._start(event)
            case "content_block_delta":
                return self._delta(event)
            case "content_block_stop":
                return _named({**event, "index": self._numbers[event["index"]]})
            case "message_delta":
                return self._close() + _named({**event, "usage": self._usage(event.get("usage"))})
            case _:
                return _named(event)

    def _start(self, event: Event) -> bytes:
        index = event["index"]
        if self._open is not None and event["content_block"].get("type") == "text":
            self._numbers[index], self._open = self._open, None
            return b""
        closing = self._close()
        self._numbers[index] = self._next
        self._next += 1
        return closing + _named({**event, "index": self._numbers[index]})

    def _delta(self, event: Event) -> bytes:
        delta = event["delta"]
        if delta.get("type") == "text_delta":
            delta = {**delta, "text": self._seam.join(delta["text"])}
            if not delta["text"]:
                return b""
        return _named({**event, "index": self._numbers[event["index"]], "delta": delta})

    def _close(self) -> bytes:
        number, self._open = self._open, None
        if number is None:
            return b""
        return _named({"type": "content_block_stop", "index": number})

    def _usage(self, usage: Any) -> Event:
        counts = dict(usage) if isinstance(usage, dict) else {}
        counts["output_tokens"] = (counts.get("output_tokens") or 0) + self._before
        if "input_tokens" in counts:
            prompt = self._prompt_tokens
            if prompt is None:
                prompt = max(0, (counts["input_tokens"] or 0) - self._before)
            counts["input_tokens"] = prompt
        return counts


def splice(said: AnyReader, seam: Seam, before: int, prompt_tokens: int | None) -> Splice:
    """The splice of the stream's dialect."""
    if isinstance(said, ResponsesReader):
        return ResponsesSplice(said, seam, before, prompt_tokens)
    if isinstance(said, MessagesReader):
        return MessagesSplice(said, seam, before, prompt_tokens)
    return ChatSplice(said, seam, before, prompt_tokens)


def ending(said: AnyReader, before: int, *, full: bool) -> bytes:
    """The last events of an answer that was complete when its stream broke.

    Args:
        said: the stream so far.
        before: tokens that the client has.
        full: it ended because the client's bound on tokens was reached, and did not say so.
    """
    if isinstance(said, ResponsesReader):
        return responses_ending(said, full=full)
    if isinstance(said, MessagesReader):
        return _messages_ending(said, before, full=full)
    if not full:
        return DONE
    choice: Event = {"index": 0, "finish_reason": "length", "logprobs": None}
    if said.head.get("object") == "text_completion":
        choice["text"] = ""
    else:
        choice["delta"] = {}
    return encode({**said.head, "choices": [choice]}) + DONE


def _messages_ending(said: MessagesReader, before: int, *, full: bool) -> bytes:
    out = b""
    if full:
        if said.is_open:
            out += _named({"type": "content_block_stop", "index": said.block})
        delta = {"stop_reason": "max_tokens", "stop_sequence": None}
        out += _named({"type": "message_delta", "delta": delta, "usage": {"output_tokens": before}})
    return out + _named({"type": "message_stop"})


def _named(event: Event) -> bytes:
    return encode(event, str(event["type"]))
