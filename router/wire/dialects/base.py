"""What a dialect is: one API of targets, from the URL to the last event."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from router.wire.endpoint import Endpoint
from router.wire.events import Events
from router.wire.formats import FORMATS
from router.wire.formats.base import Body, Format, PrefillStyle
from router.wire.formats.messages import counted
from router.wire.translate.answer_to_messages import lost_in_messages, messages_answer
from router.wire.translate.stream_to_messages import MessagesStream
from router.wire.vendor_fields import AS_THEY_ARE, Fields
from router.wire.watch import Correct, Decodes


class Asking(Protocol):
    """A call in one of the public formats; see ``router.targets.base.Call``."""

    @property
    def endpoint(self) -> Endpoint: ...
    @property
    def body(self) -> Body: ...
    @property
    def stream(self) -> bool: ...
    @property
    def prefill(self) -> str: ...
    @property
    def probe(self) -> Mapping[str, Any] | None: ...
    @property
    def warn(self) -> Callable[[str], None]: ...


@dataclass(frozen=True, slots=True)
class Traits:
    """What bodies depend on, of a provider and one of its models.

    Attributes:
        native: the endpoints that the provider itself has for the model.
        can_prefill: the model goes on from a last message of the assistant.
        prefill_style: how such a message is marked.
        max_output_tokens: the longest answer, where the API demands a bound.
        max_tokens_field: what an OpenAI-compatible server calls the bound.
        stream_usage: streams may be asked for their counts.
        fields: what of chat the vendor does not take.
    """

    native: frozenset[Endpoint] = frozenset()
    can_prefill: bool = False
    prefill_style: PrefillStyle = PrefillStyle.MESSAGE
    max_output_tokens: int = 4096
    max_tokens_field: str = "max_tokens"
    stream_usage: bool = True
    fields: Fields = AS_THEY_ARE


def _nothing(_found: Body) -> Iterable[str]:
    return ()


def _no_events() -> Events:
    return Events(b"")


class StreamTranslator(Protocol):
    """Turns one format's events into another's, run by run."""

    def feed(self, run: Events) -> Events:
        """The translation; may be none.

        Raises:
            ValueError, LookupError, TypeError, AttributeError: the events are not of the format.
        """
        ...


@dataclass(frozen=True, slots=True)
class Translation:
    """Turns an answer into the client's format, streamed or whole.

    Attributes:
        stream: its events.
        whole: its body.
        lost: what of a body, or of an event, the client's format has no place for.
        cut: what was told and is held back when no more comes, up to the last event, without it.
        completes: ``cut`` has the last event, too: where it has anything, nothing is missing.
    """

    stream: StreamTranslator
    whole: Callable[[Body], Body]
    lost: Callable[[Body], Iterable[str]] = _nothing
    cut: Callable[[], Events] = _no_events
    completes: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as the target gets it.

    Attributes:
        wire: the format of body and answer on the target's side; with a ``decoder``, of the answer.
        body: what is sent.
        hide_usage: the client must not see the usage-only event.
        translation: back into the client's format; None: it is the same.
        correct: sets right what the target is known to say wrongly.
        decoder: makes the answer one of ``wire``, before anybody looks at it.
        names: the client's names of fields that have others here, for errors.
        warnings: what of the call the target does not get, each by its name in the client's API.
    """

    wire: Format
    body: Body
    hide_usage: bool = False
    translation: Translation | None = None
    correct: Correct | None = None
    decoder: Decodes | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class Dialect(ABC):
    """One API of targets. Stateless.

    Attributes:
        name: what configuration calls it.
        passed_on: headers of the client that the target gets, lower case.
        counts_tokens: whether its Messages have a ``count_tokens`` beside them.
        versions: whether calls name a version of the API.
        signs: whether calls may be signed for a region.
    """

    name: ClassVar[str]
    passed_on: ClassVar[frozenset[str]] = frozenset({"traceparent"})
    counts_tokens: ClassVar[bool] = False
    versions: ClassVar[bool] = False
    signs: ClassVar[bool] = False

    @abstractmethod
    def url(self, base_url: str, endpoint: Endpoint) -> str:
        """Where a call goes, whether or not ``base_url`` says ``/v1``."""

    def versioned(
        self, base_url: str, endpoint: Endpoint, _model: str, _api_version: str, /
    ) -> str:
        """The same for APIs with ``versions``, whose paths may name the model."""
        return self.url(base_url, endpoint)

    def addressed(self, base_url: str, endpoint: Endpoint, _model: str, _stream: bool, /) -> str:
        """The same for APIs whose paths name the model, or whether the answer is streamed."""
        return self.url(base_url, endpoint)

    def region_in(self, _base_url: str, /) -> str | None:
        """The region that an address names, for APIs that sign."""
        return None

    def headers(self) -> Mapping[str, str]:
        """What every call has; configuration and the client may say otherwise."""
        return {}

    @abstractmethod
    def credentials(self, key: str) -> Mapping[str, str]:
        """The headers that hold the key."""

    def signed(
        self, key: str, _url: str, _payload: bytes, _region: str | None, /
    ) -> Mapping[str, str]:
        """The headers that prove who calls: of this call, for APIs that sign."""
        return self.credentials(key)

    def unusable(self, _key: str, /) -> str | None:
        """Why a key cannot be used; None: it can, and what its use needs is loaded."""
        return None

    @abstractmethod
    def endpoints(self, native: frozenset[Endpoint]) -> frozenset[Endpoint]:
        """The public endpoints that a model answers, translated ones included.

        Args:
            native: those that its provider has for it, as configured.
        """

    def keeps_responses(self, _native: frozenset[Endpoint], /) -> bool:
        """Whether later requests may refer to a response that a model gave."""
        return False

    @abstractmethod
    def can_continue(self, endpoint: Endpoint, traits: Traits) -> bool:
        """Whether a call may carry a ``prefill``."""

    @abstractmethod
    def ask(self, call: Asking, traits: Traits) -> Asked:
        """What is sent for a call.

        Raises:
            InvalidRequest: it cannot be said in this API.
        """


MESSAGES_NAMES: Mapping[str, str] = {
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "stop": "stop_sequences",
    "response_format": "output_config.format",
    "reasoning_effort": "output_config.effort",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
}
"""What Messages calls chat's fields."""


NAMES: Mapping[Endpoint, Mapping[str, str]] = {
    Endpoint.MESSAGES: MESSAGES_NAMES,
    Endpoint.RESPONSES: {
        "max_completion_tokens": "max_output_tokens",
        "max_tokens": "max_output_tokens",
        "messages": "input",
        "response_format": "text.format",
        "reasoning_effort": "reasoning.effort",
        "response_id": "previous_response_id",
        "verbosity": "text.verbosity",
    },
}
"""What clients of a format call the fields that servers name by chat's names."""


def back_to_messages(call: Asking, model: str, *, tells: bool = False) -> Translation:
    """A chat answer as the answer of Messages.

    Args:
        call: the client's.
        model: for upstreams that do not say.
        tells: put the tokens' probabilities into it, for who reads and removes them.
    """
    model = str(call.body.get("model", model))
    fallback_id = f"msg_{time.time_ns():x}"
    stream = MessagesStream(model=model, fallback_id=fallback_id, tells=tells)
    return Translation(
        stream,
        lambda answer: messages_answer(answer, model=model, fallback_id=fallback_id, tells=tells),
        lost_in_messages,
        stream.cut,
    )


def as_it_is(
    call: Asking,
    body: Body,
    *,
    ask_for_usage: bool = True,
    correct: Correct | None = None,
    warnings: tuple[str, ...] = (),
) -> Asked:
    """A call in the client's own format."""
    wire, hidden = FORMATS[call.endpoint], False
    if call.endpoint is Endpoint.MESSAGES:
        correct = correct or counted
    if ask_for_usage:
        body, hidden = wire.ask_for_usage(body, stream=call.stream)
    names = NAMES.get(call.endpoint, {})
    return Asked(wire, body, hidden, correct=correct, names=names, warnings=warnings)
