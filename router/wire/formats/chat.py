"""``/v1/chat/completions`` and ``/v1/completions``: chunks of choices, ``[DONE]`` at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from router.wire.endpoint import Endpoint
from router.wire.events import DONE, Event, Events
from router.wire.formats.base import (
    Body,
    Continued,
    Found,
    PrefillStyle,
    Reader,
    Reading,
    unfinished_talk,
)
from router.wire.formats.fields import COMMON
from router.wire.formats.seam import Seam
from router.wire.kinds import Kind
from router.wire.spoken import Place, Said, as_json, extras, unshaped
from router.wire.texts import texts

_OF_A_CHUNK = frozenset(
    {
        "id",
        "object",
        "created",
        "model",
        "choices",
        "usage",
        "system_fingerprint",
        "service_tier",
        "obfuscation",
        "error",
        "prompt_logprobs",
        "prompt_token_ids",
        "kv_transfer_params",
        "prompt_text",
    }
)
_OF_A_CHOICE = frozenset(
    {
        "index",
        "delta",
        "message",
        "text",
        "finish_reason",
        "stop_reason",
        "logprobs",
        "token_ids",
        "prompt_logprobs",
        "prompt_token_ids",
        "routed_experts",
        "native_finish_reason",
    }
)
_OF_A_MESSAGE = frozenset(
    {"role", "content", "reasoning", "reasoning_content", "refusal", "tool_calls", "function_call"}
)
_FIRST = Place(0, Kind.TEXT)
_TEXTS_OF_A_MESSAGE = (
    ("reasoning_content", Kind.REASONING),
    ("reasoning", Kind.REASONING),
    ("refusal", Kind.REFUSAL),
)


class ChatReader:
    """Chat completion chunks, and completions: these have ``text`` where those have ``delta``.

    Attributes:
        head: what every chunk of one answer has in common.
    """

    _HEAD = ("id", "object", "created", "model", "system_fingerprint")

    def __init__(self) -> None:
        self.reading = Reading()
        self.head: Found = {}

    def read(self, found: Found) -> None:
        """One chunk."""
        if not self.head:
            self.head = {name: found[name] for name in self._HEAD if name in found}
        for choice in found.get("choices") or []:
            index = choice.get("index", 0)
            if index != 0:
                self.reading.blocked("it has several answers")
            if "delta" in choice:
                self._delta(choice["delta"] or {})
            else:
                self.reading.say(choice.get("text") or "")
            if choice.get("finish_reason"):
                self.reading.ended.add(index)

    def _delta(self, delta: Found) -> None:
        for name, value in delta.items():
            if name == "content" and isinstance(value, str):
                self.reading.say(value)
            elif value and name != "role":
                self.reading.blocked(f"it had sent {name!r}")


class ChatSplice:
    """One id, one role, one total."""

    def __init__(
        self, said: ChatReader, seam: Seam, before: int, prompt_tokens: int | None
    ) -> None:
        self._head = said.head
        self._seam = seam
        self._before = before
        self._prompt_tokens = prompt_tokens

    def feed(self, run: Events) -> Events:
        """The chunks as parts of the first answer."""
        return Events.of(self._joined(run))

    def _joined(self, run: Events) -> Iterator[Event]:
        for event in run:
            if event.is_done:
                yield event
            elif (found := event.object()) is not None:
                yield from self._chunk(found)

    def _chunk(self, found: Found) -> Iterator[Event]:
        found = {**found, **self._head}
        if "system_fingerprint" not in self._head:
            found.pop("system_fingerprint", None)
        choices = [self._choice(choice) for choice in found.get("choices") or []]
        found["choices"] = [choice for choice in choices if choice is not None]
        if isinstance(found.get("usage"), dict):
            found["usage"] = self._usage(found["usage"])
        elif not found["choices"]:
            return
        yield Event.of(found)

    def _choice(self, choice: Found) -> Found | None:
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

    def _usage(self, usage: Found) -> Found:
        """Of the whole: what was sent before was prompt to the second and answer to the client."""
        answer = (usage.get("completion_tokens") or 0) + self._before
        prompt = self._prompt_tokens
        if prompt is None:
            prompt = max(0, (usage.get("prompt_tokens") or 0) - self._before)
        counts = {"prompt_tokens": prompt, "completion_tokens": answer}
        return {**usage, **counts, "total_tokens": prompt + answer}


class Completions(Continued):
    """OpenAI's completions, and what chat has in common with them."""

    endpoint = Endpoint.COMPLETIONS
    takes_many = True
    continues = COMMON | {"prompt"}
    tells_usage = False

    def is_answer(self, found: Body) -> bool:
        """It has choices."""
        return isinstance(found.get("choices"), list)

    def carries(self, event: Event) -> bool:
        """A role alone, or counts, are no content."""
        found = event.json
        if found is None:
            return bool(event.data)
        choices = found.get("choices")
        return isinstance(choices, list) and any(map(_choice_carries, choices))

    def said(self, found: Body) -> Iterable[Said]:
        """Each choice says something of its own, in its delta or in its message."""
        choices = found.get("choices")
        if type(choices) is list and len(choices) == 1 and found.keys() <= _OF_A_CHUNK:
            plain = _plain(choices[0])
            if plain is not None:
                return plain
        return self._all_said(found, choices)

    def _all_said(self, found: Body, choices: Any) -> Iterator[Said]:
        listed = choices or ()
        for place, choice in enumerate(listed if isinstance(listed, list | tuple) else (listed,)):
            yield from _said_in(choice, place)
        if not found.keys() <= _OF_A_CHUNK:
            yield from extras(found, _OF_A_CHUNK)

    def logprobs(self, found: Body) -> Iterator[Body]:
        """Each choice tells them, of which only the first counts."""
        for choice in _telling(found):
            if choice.get("index", 0) == 0:
                yield choice["logprobs"]

    def strip_logprobs(self, found: Body) -> bool:
        """All choices' go."""
        choices = list(_telling(found))
        for choice in choices:
            choice["logprobs"] = None
        return bool(choices)

    def answers(self, body: Body) -> int:
        """``n`` or ``best_of`` for each prompt; a list of numbers is the tokens of one prompt."""
        numbers = [body.get(name) for name in ("n", "best_of")]
        prompts = body.get("prompt")
        many = 1
        if isinstance(prompts, list):
            many = sum(not isinstance(each, int) for each in prompts)
        return max([1, *(n for n in numbers if isinstance(n, int))]) * max(many, 1)

    def obstacle(self, body: Body) -> str | None:
        """Only one prompt of text has one rest."""
        return None if isinstance(body.get("prompt"), str) else "several prompts are not continued"

    def prefilled(self, body: Body, prefill: str, style: PrefillStyle) -> Body:
        """A longer prompt."""
        del style
        return {**body, "prompt": body["prompt"] + prefill}

    def reader(self) -> ChatReader:
        """Reads chunks."""
        return ChatReader()

    def splice(
        self, said: Reader, seam: Seam, before: int, prompt_tokens: int | None
    ) -> ChatSplice:
        """Joins chunks."""
        assert isinstance(said, ChatReader)
        return ChatSplice(said, seam, before, prompt_tokens)

    def ending(self, said: Reader, before: int, *, full: bool) -> Events:
        """A finish reason where none was told, and ``[DONE]``."""
        del before
        assert isinstance(said, ChatReader)
        if not full:
            return Events(DONE)
        choice: Found = {"index": 0, "finish_reason": "length", "logprobs": None}
        if said.head.get("object") == "text_completion":
            choice["text"] = ""
        else:
            choice["delta"] = {}
        return Events.of([Event.of({**said.head, "choices": [choice]}), Event(DONE)])


class Chat(Completions):
    """OpenAI's chat."""

    endpoint = Endpoint.CHAT
    takes_many = False
    continues = COMMON | {
        "messages",
        "max_completion_tokens",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning_effort",
        "verbosity",
        "chat_template_kwargs",
    }

    def obstacle(self, body: Body) -> str | None:
        """Nobody can tell the client's beginning of the answer from what was said after it."""
        if is_begun(body.get("messages")):
            return "the client gave the beginning of the answer itself"
        return None

    def prefilled(self, body: Body, prefill: str, style: PrefillStyle) -> Body:
        """One more message of the assistant."""
        return unfinished_talk(body, prefill, style)


def _plain(choice: Any) -> tuple[Said, ...] | None:
    """What the usual chunk of the first answer says, a piece of text; None for any other."""
    delta = choice.get("delta") if type(choice) is dict else None
    if type(delta) is not dict or len(delta) != 1 or choice.get("index") != 0:
        return None
    text = delta.get("content")
    if type(text) is not str or "text" in choice or not choice.keys() <= _OF_A_CHOICE:
        return None
    return (Said(_FIRST, text),) if text else ()


def _said_in(choice: Any, place: int) -> Iterator[Said]:
    if not isinstance(choice, dict):
        yield from unshaped(choice, place)
        return
    number = choice.get("index")
    if not isinstance(number, int):
        number = place
    delta = choice.get("delta")
    if delta is not None:
        yield from _said_by(delta, number)
    if message := choice.get("message"):
        for said in _said_by(message, number):
            # Beside a delta it is all that was said so far.
            yield said if delta is None else said._replace(whole=True)
    if text := choice.get("text"):
        yield Said(Place(number, Kind.TEXT), as_json(text))
    if not choice.keys() <= _OF_A_CHOICE:
        yield from extras(choice, _OF_A_CHOICE, number)


def _said_by(said: Any, number: int) -> Iterator[Said]:
    """A delta or a message."""
    if not isinstance(said, dict):
        yield from unshaped(said, number)
        return
    for name, kind in _TEXTS_OF_A_MESSAGE:
        text = said.get(name)
        if text and not (name == "reasoning" and text == said.get("reasoning_content")):
            yield Said(Place(number, kind), as_json(text))
    content = said.get("content")
    if isinstance(content, list):
        content = "".join(text.text for text in texts(content, "assistant"))
    if content:
        yield Said(Place(number, Kind.TEXT), as_json(content))
    if said.get("tool_calls") or said.get("function_call"):
        yield from _called_by(said, number)
    if not said.keys() <= _OF_A_MESSAGE:
        yield from extras(said, _OF_A_MESSAGE, number)


def _called_by(said: Body, number: int) -> Iterator[Said]:
    """Calls; what has another shape than a call may say something all the same."""
    listed = said.get("tool_calls") or []
    calls = list(enumerate(listed if isinstance(listed, list) else [listed]))
    if said.get("function_call"):
        calls.append((-1, {"function": said["function_call"]}))
    for place, call in calls:
        if not isinstance(call, dict):
            yield from unshaped(call, number)
            continue
        part = Place(number, Kind.ARGUMENTS, str(call.get("index", place)))
        for name, field in (("function", "arguments"), ("custom", "input")):
            called = call.get(name)
            if called and not isinstance(called, dict):
                yield from unshaped(called, number)
            elif called and called.get(field):
                yield Said(part, as_json(called[field]))


def _telling(found: Body) -> Iterator[Body]:
    choices = found.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and isinstance(choice.get("logprobs"), dict):
            yield choice


def is_begun(said: Any) -> bool:
    """Whether the assistant spoke last."""
    last = said[-1] if isinstance(said, list) and said else None
    return isinstance(last, dict) and last.get("role") == "assistant"


def last_words(said: Any) -> str | None:
    """The text of the last message, when it is the assistant's and nothing but text."""
    if not is_begun(said):
        return None
    content = said[-1].get("content")
    if isinstance(content, str):
        return content
    texts = [_text_of(part) for part in content] if isinstance(content, list) else [None]
    return None if None in texts else "".join(text for text in texts if text is not None)


def _text_of(part: Any) -> str | None:
    text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
    return text if isinstance(text, str) else None


def _choice_carries(choice: Any) -> bool:
    if not isinstance(choice, dict) or choice.get("finish_reason") or choice.get("text"):
        return True
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return "text" not in choice
    return any(value for name, value in delta.items() if name != "role")
