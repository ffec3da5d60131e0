"""The text of a chat stream as events of Responses: of a continuation, whose rest is known."""

from __future__ import annotations

from typing import Any

from router.wire.events import Event, Events

_HOW = {
    "stop": ("response.completed", "completed", None),
    "length": ("response.incomplete", "incomplete", {"reason": "max_output_tokens"}),
    "content_filter": ("response.incomplete", "incomplete", {"reason": "content_filter"}),
}


class ResponsesPieces:
    """Translates chunks as they come: deltas, and the end with its reason and counts."""

    def __init__(self) -> None:
        self._finish = ""
        self._usage: dict[str, Any] | None = None

    def feed(self, run: Events) -> Events:
        """The events that say what ``run`` says.

        Raises:
            ValueError, KeyError, TypeError: it is no chat stream, or says more than text.
        """
        return Events.of(translated for event in run for translated in self._event(event))

    def _event(self, event: Event) -> list[Event]:
        if event.is_done:
            return self._translate(None)
        found = event.object()
        return [] if found is None else self._translate(found)

    def _translate(self, chunk: dict[str, Any] | None) -> list[Event]:
        if chunk is None:
            return self._end()
        self._usage = chunk.get("usage") or self._usage
        out = []
        for choice in chunk.get("choices") or []:
            self._finish = choice.get("finish_reason") or self._finish
            out += _delta(choice.get("delta") or {})
        return out

    def _end(self) -> list[Event]:
        kind, status, details = _HOW[self._finish]
        counts = self._usage
        usage = None if counts is None else _usage(counts)
        response = {"status": status, "incomplete_details": details, "usage": usage}
        return [Event.of({"type": kind, "response": response}, kind)]


def _delta(delta: dict[str, Any]) -> list[Event]:
    more = [name for name, value in delta.items() if value and name not in ("role", "content")]
    if more:
        raise ValueError(f"a continuation of text does not have {more[0]!r}")
    text = delta.get("content")
    if not text:
        return []
    kind = "response.output_text.delta"
    return [Event.of({"type": kind, "delta": text, "logprobs": []}, kind)]


def _usage(counts: dict[str, Any]) -> dict[str, Any]:
    prompt, answer = counts.get("prompt_tokens") or 0, counts.get("completion_tokens") or 0
    details = counts.get("prompt_tokens_details") or {}
    thought = counts.get("completion_tokens_details") or {}
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": details.get("cached_tokens") or 0},
        "output_tokens": answer,
        "output_tokens_details": {"reasoning_tokens": thought.get("reasoning_tokens") or 0},
        "total_tokens": prompt + answer,
    }
