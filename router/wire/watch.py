"""Watching an answer go by: only whole events, a proper end, errors inside a 200, token counts.

A provider may cut a stream between two bytes, end it without its last event, or put an error object
into a successful answer. Clients must see none of these as success, so every answer is watched.
It is cheap: events are searched for two short byte strings, read as JSON, which whoever looks after
it need not do again, and passed on as they came.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from router.errors import Failure, TargetBroken
from router.wire.endpoint import Usage
from router.wire.events import Body, Event, Events, Piece, Splitter
from router.wire.formats.base import Format

MAX_PARSED_BODY_BYTES = 8 * 1024 * 1024
"""Whole bodies larger than this pass through without a check of their JSON."""
_MOST_TOKENS = 2**31
_MOST_USD = 1e6
Correct = Callable[[dict[str, Any]], dict[str, Any] | None]
"""What an answer or event should have said; None: what it says."""


class Watch(Protocol):
    """Sees every piece of an answer before anybody else does."""

    @property
    def done(self) -> bool:
        """The answer is complete: nothing more has to be read."""
        ...

    @property
    def failure(self) -> TargetBroken | None:
        """What the target said went wrong; to be raised after what ``feed`` gave was passed on."""
        ...

    def feed(self, data: bytes, *, last: bool) -> Piece:
        """What may be passed on now; ``last`` says that the body is at its end."""
        ...


class StreamWatch:
    """Watches server-sent events in one format.

    Bytes are passed on when their event is whole: a client can do nothing with half an event, and
    so a stream that is cut ends between two events, where an error or a continuation can follow.

    Args:
        target: who answers, for messages.
        wire: the format.
        usage: where its counts go.
        hide_usage: drop the event that carries nothing but usage.
        correct: sets right what a server is known to say wrongly; asked about the events that are
            looked at closely: those with counts.
    """

    __slots__ = ("_correct", "_hide_usage", "_splitter", "_target", "_usage", "_wire", "done",
                 "failure")  # fmt: skip

    def __init__(
        self,
        target: str,
        wire: Format,
        usage: Usage,
        *,
        hide_usage: bool = False,
        correct: Correct | None = None,
    ) -> None:
        self._target = target
        self._wire = wire
        self._usage = usage
        self._hide_usage = hide_usage
        self._correct = correct
        self._splitter = Splitter()
        self.done = False
        self.failure: TargetBroken | None = None

    def feed(self, data: bytes, *, last: bool) -> Events:
        """The whole events that ``data`` completes."""
        try:
            run = self._splitter.feed(data)
        except ValueError:
            self.failure = TargetBroken(f"{self._target} sent an event that is too large.")
            return Events(b"")
        raw = run.raw
        if self._wire.mark in raw and self._wire.ends(raw):
            self.done = True
        elif last:
            self.failure = TargetBroken(
                f"{self._target} ended its stream before it was complete.", failure=Failure.CUT
            )
        if b'"usage"' in raw or b'"error"' in raw or not run.are_whole():
            return self._inspect(run)
        return run

    def _inspect(self, run: Events) -> Events:
        kept: list[Event] = []
        changed = False
        for event in run:
            if not event.is_whole:
                self.failure = TargetBroken(f"{self._target} sent an event that is not JSON.")
                return Events.of(kept)
            found = event.json
            if found is None:
                kept.append(event)
                continue
            failure = self._wire.error_in(found)
            if failure is not None:
                self.failure = failure
                return Events.of(kept)
            record(self._usage, self._wire.counts(found))
            if self._hide_usage and self._wire.is_only_usage(found):
                changed = True
                continue
            right = None if self._correct is None else self._correct(found)
            changed = changed or right is not None
            kept.append(event if right is None else Event.of(right, _name(event, right)))
        return Events.of(kept) if changed else run


class BodyWatch:
    """Watches one JSON body: its counts, and whether it is JSON, an answer and no error.

    A body is held back until it was looked at as a whole, unless it is very long.
    """

    __slots__ = ("_correct", "_parts", "_size", "_target", "_usage", "_wire", "done", "failure")

    def __init__(
        self, target: str, wire: Format, usage: Usage, *, correct: Correct | None = None
    ) -> None:
        self._target = target
        self._wire = wire
        self._usage = usage
        self._correct = correct
        self._parts: list[bytes] = []
        self._size = 0
        self.done = False
        self.failure: TargetBroken | None = None

    def feed(self, data: bytes, *, last: bool) -> Body:
        """All that came, with the last byte of it; nothing before, and nothing of no answer."""
        self._size += len(data)
        self._parts.append(data)
        if not last and self._size <= MAX_PARSED_BODY_BYTES:
            return Body(b"")
        body = Body(b"".join(self._parts))
        self._parts.clear()
        if self._size > MAX_PARSED_BODY_BYTES:
            return body
        self.failure = self._judge(body)
        if self.failure is not None:
            return Body(b"")
        found = body.json
        assert found is not None
        right = None if self._correct is None else self._correct(found)
        return body if right is None else Body.of(right)

    def _judge(self, body: Body) -> TargetBroken | None:
        found = body.json
        if found is None:
            what = "JSON that is not an object" if body.is_json else "something that is not JSON"
            return TargetBroken(f"{self._target} answered with {what}.")
        record(self._usage, found.get("usage"))
        failure = self._wire.error_in(found)
        if failure is None and not self._wire.is_answer(found):
            failure = TargetBroken(f"{self._target} answered with JSON that is no answer.")
        return failure


class Decodes(Protocol):
    """Turns what an API sends into the bytes of a format: events where it streams, else a body."""

    def feed(self, data: bytes, *, last: bool) -> bytes:
        """What ``data`` completes; ``last`` says that nothing comes after it.

        What cannot be read becomes an error of the format.
        """
        ...


class DecodingWatch:
    """Watches an answer whose bytes become those of a format first."""

    __slots__ = ("_decoder", "_watch")

    def __init__(self, watch: Watch, decoder: Decodes) -> None:
        self._watch = watch
        self._decoder = decoder

    @property
    def done(self) -> bool:
        """As the format has it."""
        return self._watch.done

    @property
    def failure(self) -> TargetBroken | None:
        """As the format has it."""
        return self._watch.failure

    def feed(self, data: bytes, *, last: bool) -> Piece:
        """What may be passed on now."""
        return self._watch.feed(self._decoder.feed(data, last=last), last=last)


def _name(event: Event, right: dict[str, Any]) -> str | None:
    """The line ``event`` of a corrected event, where there was one."""
    if event.name is None:
        return None
    kind = right.get("type")
    return kind if isinstance(kind, str) else event.name


def record(usage: Usage, found: object) -> None:
    """Read a ``usage`` object of any dialect into ``usage``; counts that it lacks stay as they are.

    ``input_tokens`` is the whole prompt, cached part included, in every dialect: Anthropic counts
    cached tokens apart, OpenAI counts them in.
    """
    if not isinstance(found, dict):
        return
    if "prompt_tokens" in found:
        _from_chat(usage, found)
    elif "cache_read_input_tokens" in found or "cache_creation_input_tokens" in found:
        _from_messages(usage, found)
    else:
        _from_responses(usage, found)


def _from_chat(usage: Usage, found: dict[str, Any]) -> None:
    usage.input_tokens = _count(found, "prompt_tokens", usage.input_tokens)
    usage.output_tokens = _count(found, "completion_tokens", usage.output_tokens)
    usage.cached_input_tokens = _cached(found.get("prompt_tokens_details"), usage)
    told: object = found.get("cost")
    if isinstance(told, int | float) and told is not True and 0 <= told <= _MOST_USD:
        usage.told_usd = float(told)


def _from_messages(usage: Usage, found: dict[str, Any]) -> None:
    read = _count(found, "cache_read_input_tokens", None)
    written = _count(found, "cache_creation_input_tokens", None)
    fresh = _count(found, "input_tokens", None)
    if fresh is not None:
        usage.input_tokens = fresh + (read or 0) + (written or 0)
    if read is not None:
        usage.cached_input_tokens = read
    usage.output_tokens = _count(found, "output_tokens", usage.output_tokens)


def _from_responses(usage: Usage, found: dict[str, Any]) -> None:
    fresh = _count(found, "input_tokens", None)
    # Anthropic's closing event repeats a bare count without the cached part: keep the larger.
    if fresh is not None:
        usage.input_tokens = max(fresh, usage.input_tokens or 0)
    usage.output_tokens = _count(found, "output_tokens", usage.output_tokens)
    usage.cached_input_tokens = _cached(found.get("input_tokens_details"), usage)


def _cached(details: object, usage: Usage) -> int | None:
    if isinstance(details, dict):
        return _count(details, "cached_tokens", usage.cached_input_tokens)
    return usage.cached_input_tokens


def _count(found: dict[str, Any], name: str, otherwise: int | None) -> int | None:
    """What money is counted by: a number that no answer can have counts as not told."""
    value = found.get(name)
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else otherwise
