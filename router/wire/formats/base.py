"""What a format is, and what most of them have in common."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, ClassVar, Final, Protocol

from router.errors import RouterError, TargetBroken
from router.wire.endpoint import Endpoint
from router.wire.events import DONE, Event, Events
from router.wire.formats.seam import Seam
from router.wire.spoken import Said
from router.wire.upstream_error import word

Body = dict[str, Any]
Found = dict[str, Any]

_DONE = re.compile(rb"^data: ?\[DONE\]\s*?$", re.MULTILINE)
BOUNDS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""What the formats call the bound on an answer."""


class Reading:
    """What is known about a stream so far.

    Attributes:
        deltas: events with text; each is one token or more.
        ended: the answers (choices) whose end was told.
        obstacle: why it cannot be continued, if so.
        missing: what has to come before it can be continued, if so.
    """

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self.deltas = 0
        self.ended: set[int] = set()
        self.obstacle: str | None = None
        self.missing: str | None = None

    @property
    def text(self) -> str:
        """The answer's text."""
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def say(self, text: str) -> None:
        """One more piece."""
        if text:
            self._pieces.append(text)
            self.deltas += 1

    def forget(self, why: str) -> None:
        """Keep no text: it cannot be continued."""
        self._pieces.clear()
        self.blocked(why)

    def blocked(self, why: str) -> None:
        """Remember the first obstacle."""
        self.obstacle = self.obstacle or why


class Reader(Protocol):
    """Reads the events of one format."""

    reading: Reading

    def read(self, found: Found) -> None:
        """One event.

        Raises:
            ValueError, LookupError, TypeError, AttributeError: it is not of this format.
        """
        ...


class PrefillStyle(StrEnum):
    """How a last message of the assistant is marked as unfinished."""

    MESSAGE = "message"
    """Not at all: it is enough that it is the last (OpenRouter, for models that can)."""
    PREFIX = "prefix"
    """``"prefix": true`` on the message (DeepSeek)."""
    CONTINUE = "continue_final_message"
    """vLLM's and SGLang's fields of the request."""


class Splice(Protocol):
    """Makes the events of a continuation the rest of the stream that the client is reading."""

    def feed(self, run: Events) -> Events:
        """What the client gets for these events; may be none.

        Raises:
            ValueError, LookupError, TypeError, AttributeError: they are not of this format.
        """
        ...


class Format:
    """A public API's bodies, answers and events. Stateless.

    Attributes:
        endpoint: where it is spoken.
        last_event: finds the last event of a stream in its bytes.
        mark: bytes that every last event has, and few others: they are looked for first.
        tells_usage: whether a stream counts its tokens without being asked.
        generates: whether its answers are generated, token by token.
        takes_many: whether one request may hold several prompts.
        keeps: whether whoever answers may keep the answer for later requests.
    """

    endpoint: ClassVar[Endpoint]
    last_event: ClassVar[re.Pattern[bytes]] = _DONE
    mark: ClassVar[bytes] = b"[DONE]"
    tells_usage: ClassVar[bool] = True
    generates: ClassVar[bool] = True
    takes_many: ClassVar[bool] = False
    keeps: ClassVar[bool] = False

    def ends(self, raw: bytes) -> bool:
        """Whether these events hold the last one of a stream."""
        return self.mark in raw and self.last_event.search(raw) is not None

    def ends_well(self, raw: bytes) -> bool:
        """Whether these events hold the last one of an answer that may be given again."""
        return self.ends(raw)

    # Counts

    def ask_for_usage(self, body: Body, *, stream: bool) -> tuple[Body, bool]:
        """What to send for ``body``, and whether the usage-only event is hidden from the client.

        Budgets and costs need the counts of every stream, so they are asked for wherever they have
        to be; ``body`` is shared by the attempts of a request and never changed.
        """
        if not stream or self.tells_usage:
            return body, False
        options = body.get("stream_options")
        if options is None:
            return {**body, "stream_options": {"include_usage": True}}, True
        if not isinstance(options, dict) or options.get("include_usage"):
            return body, False
        return {**body, "stream_options": {**options, "include_usage": True}}, True

    def counts(self, found: Body) -> Any:
        """The ``usage`` of an answer or event, wherever it is."""
        return found.get("usage")

    def is_only_usage(self, found: Body) -> bool:
        """Whether the event carries its counts and nothing else."""
        return found.get("choices") == [] and isinstance(found.get("usage"), dict)

    # What an event says

    def is_answer(self, _found: Body) -> bool:
        """Whether a body that is no error is a whole answer, and not JSON of something else."""
        return True

    def error_in(self, found: Body) -> TargetBroken | None:
        """The error that an event or body of a successful answer carries instead of content."""
        error = found.get("error")
        if isinstance(error, dict):
            return broken(error)
        return TargetBroken(error) if isinstance(error, str) and error else None

    def carries(self, event: Event) -> bool:
        """Whether an event carries content or ends the answer; others only announce."""
        return bool(event.data)

    def next_number(self, _raw: bytes) -> int:
        """The number of the event after these, in a format that numbers its events; else 0."""
        return 0

    def said(self, _found: Body) -> Iterable[Said]:
        """What a whole answer or an event says to the client, in order."""
        return ()

    def logprobs(self, _found: Body) -> Iterator[Body]:
        """The tokens' probabilities that an answer or event tells for the first time.

        In chat's shape (``content``) or completions' (``token_logprobs``), of the first answer.
        """
        return iter(())

    def strip_logprobs(self, _found: Body) -> bool:
        """Leave an answer or event as it would be without them; whether it was another one."""
        return False

    # Errors

    def error_events(self, error: RouterError, *, number: int = 0) -> bytes:
        """The last events of a stream that failed, such as the API's official SDKs raise.

        Args:
            error: what went wrong.
            number: the event's, in a format that numbers its events.
        """
        del number
        return Event.of(error.body()).raw + DONE

    # Continuation

    def answers(self, _body: Body) -> int:
        """How many answers a request asks for."""
        return 1

    def obstacle(self, _body: Body) -> str | None:
        """Why a request of known fields cannot be continued all the same."""
        return None

    def prefilled(self, body: Body, _prefill: str, _style: PrefillStyle) -> Body:
        """The body of a call whose answer goes on from ``prefill``."""
        return body


class Continued(Format, ABC):
    """A format whose streams can go on elsewhere when they break.

    Attributes:
        continues: fields of a request that mean the same for the rest of an answer; with others a
            broken stream is not continued.
    """

    continues: ClassVar[frozenset[str]]

    @abstractmethod
    def reader(self) -> Reader:
        """Reads what a stream says, in case that somebody has to go on."""

    @abstractmethod
    def splice(self, said: Reader, seam: Seam, before: int, prompt_tokens: int | None) -> Splice:
        """Joins a continuation.

        Args:
            said: the stream so far, by this format's reader.
            seam: joins the texts.
            before: tokens that the client has.
            prompt_tokens: as the first target counted them; None when it did not come to it.
        """

    @abstractmethod
    def ending(self, said: Reader, before: int, *, full: bool) -> Events:
        """The last events of an answer that was complete when its stream broke.

        Args:
            said: the stream so far.
            before: tokens that the client has.
            full: it ended because the client's bound on tokens was reached, and did not say so.
        """


def broken(error: Body) -> TargetBroken:
    """An error object as what the client is told."""
    message = error.get("message")
    code = word(error.get("code")) or word(error.get("type"))
    return TargetBroken(
        message if isinstance(message, str) and message else "The target reported an error.",
        code=None if code == "error" else code,
    )


def unfinished_talk(body: Body, prefill: str, style: PrefillStyle) -> Body:
    """A chat or Messages body whose last message is the assistant's unfinished one."""
    last: Body = {"role": "assistant", "content": prefill}
    if style is PrefillStyle.PREFIX:
        last["prefix"] = True
    found = {**body, "messages": [*body["messages"], last]}
    if style is PrefillStyle.CONTINUE:
        found |= {"continue_final_message": True, "add_generation_prompt": False}
    return found


LOGPROBS: Final = "message.output_text.logprobs"
"""What Responses call the tokens' probabilities in ``include``."""


def asks_for_logprobs(body: Mapping[str, Any]) -> bool:
    """Whether the client wants logprobs, in any format; 0 alternatives are a wish too."""
    wanted, included = body.get("logprobs"), body.get("include")
    if isinstance(included, list) and LOGPROBS in included:
        return True
    return wanted is not None and wanted is not False
