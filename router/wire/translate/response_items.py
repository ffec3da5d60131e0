"""The items of a response: what each is in the end, and the events that tell it piece by piece.

Events are numbered by whoever sends them. One item has one text: what is said after a call of a
tool is another message.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Final

import orjson

from router.wire.translate.signatures import FOREIGN

Json = dict[str, Any]
COMPLETED: Final = "completed"
_IN_PROGRESS: Final = "in_progress"


class Item(ABC):
    """One item of a response that is being given.

    Args:
        number: of the item, from 0.
        answer: what tells the response from others; part of the item's id.
    """

    prefix: ClassVar[str]

    def __init__(self, number: int, answer: str) -> None:
        self.number = number
        self.id = f"{self.prefix}{answer}_{number}"
        self.is_open = True
        self._pieces: list[str] = []

    @property
    def said(self) -> str:
        """All of its text so far."""
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    @abstractmethod
    def whole(self, status: str) -> Json:
        """The item as it is when it ended so."""

    @abstractmethod
    def begun(self) -> Iterator[Json]:
        """The events that announce it."""

    @abstractmethod
    def add(self, text: str, logprobs: list[Any] | None = None) -> Iterator[Json]:
        """The events of one more piece of its text.

        ``logprobs``: of its tokens; only a message has a place for them.
        """

    @abstractmethod
    def _ends(self) -> Iterator[Json]:
        """The events that tell its text once more."""

    def ended(self, status: str) -> Iterator[Json]:
        """The events that end it."""
        self.is_open = False
        yield from self._ends()
        yield self._event("response.output_item.done", item=self.whole(status))

    def _added(self, item: Json) -> Json:
        return self._event("response.output_item.added", item=item)

    def _event(self, kind: str, **fields: Any) -> Json:
        return {"type": kind, "output_index": self.number, **fields}

    def _about(self, kind: str, **fields: Any) -> Json:
        return self._event(kind, item_id=self.id, **fields)


class Message(Item):
    """Words for the user."""

    prefix = "msg_"

    def __init__(self, number: int, answer: str) -> None:
        super().__init__(number, answer)
        self._logprobs: list[Any] = []

    def whole(self, status: str) -> Json:
        """With its one part."""
        return self._message(status, [self._part(self.said)])

    def begun(self) -> Iterator[Json]:
        """The message, and its part."""
        yield self._added(self._message(_IN_PROGRESS, []))
        yield self._in_part("response.content_part.added", part=self._part(""))

    def add(self, text: str, logprobs: list[Any] | None = None) -> Iterator[Json]:
        """A piece, with the probabilities of its tokens."""
        self._pieces.append(text)
        self._logprobs += logprobs or []
        yield self._in_part("response.output_text.delta", delta=text, logprobs=logprobs or [])

    def _ends(self) -> Iterator[Json]:
        text = self.said
        yield self._in_part("response.output_text.done", text=text, logprobs=self._logprobs)
        yield self._in_part("response.content_part.done", part=self._part(text))

    def _message(self, status: str, content: list[Json]) -> Json:
        head = {"id": self.id, "type": "message", "status": status, "role": "assistant"}
        return {**head, "content": content}

    def _part(self, text: str) -> Json:
        told = self._logprobs if text else []
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": told}

    def _in_part(self, kind: str, **fields: Any) -> Json:
        return self._about(kind, content_index=0, **fields)


class Refusal(Message):
    """Why the model does not answer."""

    def add(self, text: str, logprobs: list[Any] | None = None) -> Iterator[Json]:
        """A piece."""
        del logprobs
        self._pieces.append(text)
        yield self._in_part("response.refusal.delta", delta=text)

    def _ends(self) -> Iterator[Json]:
        text = self.said
        yield self._in_part("response.refusal.done", refusal=text)
        yield self._in_part("response.content_part.done", part=self._part(text))

    def _part(self, text: str) -> Json:
        return {"type": "refusal", "refusal": text}


class Thoughts(Item):
    """What a model thought, and what is to be given back for it.

    Args:
        number: of the item.
        answer: what tells the response from others.
        sealed: opaque, for ``encrypted_content``.
    """

    prefix = FOREIGN

    def __init__(self, number: int, answer: str, sealed: str | None = None) -> None:
        super().__init__(number, answer)
        self._sealed = sealed

    def whole(self, status: str) -> Json:
        """Its words are a summary: so are those that Anthropic and Google show."""
        del status
        text = self.said
        return self._thoughts([{"type": "summary_text", "text": text}] if text else [])

    def begun(self) -> Iterator[Json]:
        """The item; one that is sealed has no words."""
        yield self._added(self._thoughts([]))
        if self._sealed is None:
            yield self._in_part("part.added", part={"type": "summary_text", "text": ""})

    def add(self, text: str, logprobs: list[Any] | None = None) -> Iterator[Json]:
        """A piece."""
        del logprobs
        self._pieces.append(text)
        yield self._in_part("text.delta", delta=text)

    def _ends(self) -> Iterator[Json]:
        if self._sealed is None:
            text = self.said
            yield self._in_part("text.done", text=text)
            yield self._in_part("part.done", part={"type": "summary_text", "text": text})

    def _thoughts(self, summary: list[Json]) -> Json:
        found: Json = {"id": self.id, "type": "reasoning", "summary": summary}
        return found if self._sealed is None else {**found, "encrypted_content": self._sealed}

    def _in_part(self, kind: str, **fields: Any) -> Json:
        return self._about(f"response.reasoning_summary_{kind}", summary_index=0, **fields)


class Call(Item):
    """A call of a function.

    Args:
        number: of the item.
        answer: what tells the response from others.
        call_id: by which its result will name it.
        name: of the function.
    """

    prefix = "fc_"
    _about_arguments: ClassVar[str] = "response.function_call_arguments"

    def __init__(self, number: int, answer: str, call_id: str, name: str) -> None:
        super().__init__(number, answer)
        self._call_id = call_id
        self._name = name

    @property
    def is_whole(self) -> bool:
        """Whether its arguments are JSON."""
        try:
            orjson.loads(self.said)
        except orjson.JSONDecodeError:
            return False
        return True

    def whole(self, status: str) -> Json:
        """With all its arguments."""
        return self._call(status, self.said)

    def begun(self) -> Iterator[Json]:
        """The call, which has no parts."""
        yield self._added(self._call(_IN_PROGRESS, ""))

    def ended(self, status: str) -> Iterator[Json]:
        """Its end; clients parse the arguments, so a call without any has an empty object."""
        if not self.said and status == COMPLETED:
            yield from self.add("{}")
        yield from super().ended(status)

    def add(self, text: str, logprobs: list[Any] | None = None) -> Iterator[Json]:
        """A piece of the arguments."""
        del logprobs
        self._pieces.append(text)
        yield self._about(f"{self._about_arguments}.delta", delta=text)

    def _ends(self) -> Iterator[Json]:
        told = {"name": self._name, "arguments": self.said}
        yield self._about(f"{self._about_arguments}.done", **told)

    def _call(self, status: str, arguments: str) -> Json:
        head = {"id": self.id, "type": "function_call", "status": status}
        return {**head, "call_id": self._call_id, "name": self._name, "arguments": arguments}


class CustomCall(Call):
    """A call of a tool that takes a text, made as one of a function with that as its argument."""

    prefix = "ctc_"
    _about_arguments = "response.custom_tool_call_input"

    def add(self, text: str, logprobs: list[Any] | None = None) -> Iterator[Json]:
        """Nothing: half of a JSON string says nothing for sure."""
        del logprobs
        self._pieces.append(text)
        yield from ()

    def _ends(self) -> Iterator[Json]:
        text = text_of(self.said)
        yield self._about(f"{self._about_arguments}.delta", delta=text)
        yield self._about(f"{self._about_arguments}.done", input=text)

    def _call(self, status: str, arguments: str) -> Json:
        head = {"id": self.id, "type": "custom_tool_call", "status": status}
        told = {"call_id": self._call_id, "name": self._name, "input": text_of(arguments)}
        return {**head, **told}


TEXT_OF_A_CUSTOM_CALL: Final = "input"
"""The one argument that stands for a custom tool's text."""


def text_of(arguments: str) -> str:
    """The text in the arguments of such a function; the arguments where there is none."""
    try:
        found = orjson.loads(arguments or "{}")
    except orjson.JSONDecodeError:
        return arguments
    text = found.get(TEXT_OF_A_CUSTOM_CALL, "") if isinstance(found, dict) else None
    return text if isinstance(text, str) else arguments
