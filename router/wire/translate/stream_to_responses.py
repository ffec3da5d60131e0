"""A stream of chat completion chunks as a stream of Responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from router.errors import TargetBroken
from router.wire.endpoint import Endpoint
from router.wire.events import MAX_EVENT_BYTES, Event, Events
from router.wire.formats import FORMATS
from router.wire.translate.answer_to_messages import thoughts_in
from router.wire.translate.answer_to_responses import call_of, custom_tools
from router.wire.translate.response_items import COMPLETED, Call, Item, Message, Refusal, Thoughts
from router.wire.translate.response_object import answer_id, begun, ended, status_of
from router.wire.translate.signatures import sealed, signature_in
from router.wire.translate.told_calls import ToldCalls

Json = dict[str, Any]
_SIZE_OF_AN_ITEM: Final = 1024
"""About what an item, or a token's probabilities, is without its text, bytes."""


class ResponsesStream:
    """Translates chunks as they come.

    A text ends where another item begins; calls of tools may be told by turns, so they end with the
    answer. The response ends at ``[DONE]``, because a chat stream counts its tokens after it gave
    its finish reason. All that was said is kept, for the last event repeats it: an answer that is
    longer than an event may be is given up.

    Args:
        request: the Responses request that is answered.
        fallback_id: for upstreams that give none.
        created: when the answer began, seconds since the epoch.
    """

    def __init__(self, request: Json, *, fallback_id: str, created: int) -> None:
        self._request = request
        self._fallback_id = fallback_id
        self._created = created
        self._custom = custom_tools(request)
        self._known_as = ""
        self._response: Json = {}
        self._items: list[Item] = []
        self._calls: dict[int, Call] = {}
        self._told_calls = ToldCalls()
        self._finish: object = None
        self._usage: object = None
        self._number = 0
        self._kept = 0
        self._is_over = False

    def feed(self, run: Events) -> Events:
        """The events that say what ``run`` says.

        Raises:
            ValueError, KeyError, TypeError: it is not a chat stream, or too long.
        """
        return Events.of(translated for event in run for translated in self._event(event))

    def cut(self) -> Events:
        """The end, which is held back for the counts that come before ``[DONE]``."""
        return Events.of(self._numbered(self._end()) if self._finish else ())

    def _event(self, event: Event) -> Iterator[Event]:
        if event.is_done:
            yield from self._numbered(self._end())
        elif (chunk := event.object()) is not None:
            if chunk.get("error"):
                yield self._error(chunk["error"])
            else:
                yield from self._numbered(self._chunk(chunk))

    def _numbered(self, told: Iterator[Json]) -> Iterator[Event]:
        for each in told:
            yield Event.of({**each, "sequence_number": self._number}, each["type"])
            self._number += 1

    def _chunk(self, chunk: Json) -> Iterator[Json]:
        yield from self._begin(chunk)
        self._usage = chunk.get("usage") or self._usage
        for choice in (chunk.get("choices") or [])[:1]:
            yield from self._delta(choice.get("delta") or {}, choice.get("logprobs") or {})
            if choice.get("finish_reason"):
                self._finish = choice["finish_reason"]
                yield from self._close()

    def _begin(self, chunk: Json) -> Iterator[Json]:
        if self._response:
            return
        self._known_as = answer_id(chunk, self._fallback_id)
        self._response = begun(self._request, chunk, self._known_as, self._created)
        yield {"type": "response.created", "response": self._response}
        yield {"type": "response.in_progress", "response": self._response}

    def _delta(self, delta: Json, logprobs: Json) -> Iterator[Json]:
        told = logprobs.get("content") or []
        self._keep(len(told) * _SIZE_OF_AN_ITEM)
        if thoughts := thoughts_in(delta):
            self._keep(len(thoughts))
            item, events = self._newest(Thoughts)
            yield from events
            yield from item.add(thoughts)
        if text := delta.get("content"):
            self._keep(len(text))
            item, events = self._newest(Message)
            yield from events
            yield from item.add(text, told)
        if refusal := delta.get("refusal"):
            self._keep(len(refusal))
            item, events = self._newest(Refusal)
            yield from events
            yield from item.add(refusal)
        for call in delta.get("tool_calls") or ():
            yield from self._call(call)

    def _newest(self, kind: type[Message | Thoughts]) -> tuple[Item, list[Json]]:
        """The open item of this kind, and what has to be told before more of it."""
        last = self._items[-1] if self._items else None
        if type(last) is kind and last.is_open:
            return last, []
        events = list(self._close_text())
        item = kind(len(self._items), self._known_as)
        return item, [*events, *self._begun(item)]

    def _begun(self, item: Item) -> Iterator[Json]:
        self._keep(_SIZE_OF_AN_ITEM)
        self._items.append(item)
        yield from item.begun()

    def _keep(self, size: int) -> None:
        self._kept += size
        if self._kept > MAX_EVENT_BYTES:
            raise ValueError("the answer is too long to be repeated in one event")

    def _call(self, call: Json) -> Iterator[Json]:
        index = self._told_calls.number(call)
        if index not in self._calls:
            yield from self._close_text()
            if signature := signature_in(call):
                yield from self._signed(signature)
            item = call_of(call, len(self._items), self._known_as, self._custom)
            self._calls[index] = item
            yield from self._begun(item)
        if arguments := (call.get("function") or {}).get("arguments"):
            self._keep(len(arguments))
            yield from self._calls[index].add(arguments)

    def _signed(self, signature: str) -> Iterator[Json]:
        """A thought without words before the call: it keeps what is to be given back with it."""
        item = Thoughts(len(self._items), self._known_as, sealed(signature))
        yield from self._begun(item)
        yield from item.ended(COMPLETED)

    def _close_text(self) -> Iterator[Json]:
        """End the text that is open: the last item, unless that is a call."""
        last = self._items[-1] if self._items else None
        if last is not None and last.is_open and not isinstance(last, Call):
            yield from last.ended(COMPLETED)

    def _close(self) -> Iterator[Json]:
        """End all items that are open."""
        for item in self._items:
            if item.is_open:
                yield from item.ended(self._status(item))

    def _status(self, item: Item) -> str:
        """The last one can be cut short, and of calls that are told by turns each of them."""
        is_cut = item is self._items[-1] or (isinstance(item, Call) and not item.is_whole)
        return status_of(self._finish) if is_cut else COMPLETED

    def _end(self) -> Iterator[Json]:
        if self._is_over:
            return
        self._is_over = True
        yield from self._begin({})
        yield from self._close()
        output = [item.whole(self._status(item)) for item in self._items]
        response = ended(self._response, output, self._finish, self._usage)
        yield {"type": f"response.{response['status']}", "response": response}

    def _error(self, error: object) -> Event:
        found = error if isinstance(error, dict) else {"message": error}
        code = found.get("code") or found.get("type") or "server_error"
        broken = TargetBroken(str(found.get("message")), code=str(code))
        return Event(FORMATS[Endpoint.RESPONSES].error_events(broken, number=self._number))
