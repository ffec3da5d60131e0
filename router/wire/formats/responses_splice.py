"""Making a continuation's events the rest of a Responses stream that the client is reading."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Protocol

from router.wire.events import MAX_EVENT_BYTES, Event, Events
from router.wire.formats.base import Found, Reading
from router.wire.formats.seam import Seam

_LEFT_OUT = frozenset(
    {
        "response.created",
        "response.in_progress",
        "response.queued",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
    }
)
"""The client has them, or gets its own at the end."""
_ENDS = frozenset({"response.completed", "response.incomplete"})


class Said(Protocol):
    """A stream so far, as the reader of Responses tells it; its text has begun and is open."""

    reading: Reading
    response: Found
    number: int
    item: Found
    part: Found
    place: Found


class ResponsesSplice:
    """One response, one message, one part of text; numbers go on; everything is told once.

    Args:
        said: the stream so far; its text has begun and is open.
        seam: joins the texts.
        before: tokens that the client has.
        prompt_tokens: as the first target counted them; None when it did not come to it.
    """

    def __init__(self, said: Said, seam: Seam, before: int, prompt_tokens: int | None) -> None:
        self._rest = Rest(said)
        self._seam = seam
        self._before = before
        self._prompt_tokens = prompt_tokens
        self._announced: set[str] = set()

    def feed(self, run: Events) -> Events:
        """The events as the rest of the first response.

        Raises:
            ValueError: it is more than one text.
        """
        return Events.of(
            joined
            for event in run
            if (found := event.object()) is not None
            for joined in self._event(found)
        )

    def _event(self, found: Found) -> Iterator[Event]:
        kind = found["type"]
        if kind in _LEFT_OUT:
            return
        if kind in _ENDS:
            response = found["response"]
            yield from self._rest.end(kind, response, self._usage(response.get("usage")))
        elif kind == "response.output_text.delta":
            yield from self._rest.say(self._seam.join(found["delta"]), found)
        else:
            announced = found.get("item") or found.get("part") or {}
            if announced.get("type") not in ("message", "output_text") or kind in self._announced:
                raise ValueError(f"a continuation of text does not have {kind}")
            self._announced.add(kind)

    def _usage(self, usage: Any) -> Found | None:
        """Of the whole: what was sent before was prompt to the second and answer to the client."""
        if not isinstance(usage, dict):
            return None
        answer = (usage.get("output_tokens") or 0) + self._before
        prompt = self._prompt_tokens
        if prompt is None:
            prompt = max(0, (usage.get("input_tokens") or 0) - self._before)
        counts = {"input_tokens": prompt, "output_tokens": answer}
        return {**usage, **counts, "total_tokens": prompt + answer}


class Rest:
    """Writes the events that a stream is still to have.

    Args:
        said: the stream so far; its text has begun and is open.
    """

    def __init__(self, said: Said) -> None:
        self._response = said.response
        self._item = said.item
        self._part = said.part
        self._place = said.place
        self._number = said.number
        self._text = [said.reading.text]
        self._size = len(said.reading.text)

    def say(self, text: str, found: Found) -> Iterator[Event]:
        """One more piece of the text; ``found`` is what it came in.

        Raises:
            ValueError: the text is too long to be repeated in one event.
        """
        if text:
            self._size += len(text)
            if self._size > MAX_EVENT_BYTES:
                raise ValueError("the answer is too long to be repeated in one event")
            self._text.append(text)
            yield self._numbered({**found, **self._place, "delta": text})

    def end(self, kind: str, last: Found, usage: Found | None) -> Iterator[Event]:
        """The ends of text, part, item and response.

        Args:
            kind: the type of the last event.
            last: the response that says how it ended.
            usage: of the whole.
        """
        text = "".join(self._text)
        status, details = last["status"], last.get("incomplete_details")
        part = {**self._part, "text": text}
        item = {**self._item, "status": status, "content": [part]}
        ended = {"status": status, "incomplete_details": details, "output": [item], "usage": usage}
        response = {**self._response, **ended}
        if "completed_at" in response and status == "completed":
            response["completed_at"] = int(time.time())
        at = {"output_index": self._place["output_index"]}
        done = {"type": "response.output_text.done", **self._place, "text": text, "logprobs": []}
        yield self._numbered(done)
        yield self._numbered({"type": "response.content_part.done", **self._place, "part": part})
        yield self._numbered({"type": "response.output_item.done", **at, "item": item})
        yield self._numbered({"type": kind, "response": response})

    def _numbered(self, found: Found) -> Event:
        self._number += 1
        return Event.of({**found, "sequence_number": self._number}, str(found["type"]))


def ending(said: Said) -> Events:
    """The last events of a text that reached the client's bound on tokens; nobody counted them."""
    how = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    return Events.of(Rest(said).end("response.incomplete", how, None))
