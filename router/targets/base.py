"""What a target is: it takes a call in one of the public dialects and answers in the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from router.config.providers import CallLimits
from router.errors import TargetBroken
from router.wire.endpoint import Endpoint, Usage
from router.wire.events import Piece


def _unheard(_warning: str) -> None:
    return None


@dataclass(frozen=True)
class Call:
    """One attempt at one target.

    ``body`` is the client's JSON object without the ``graftwork`` extension, its ``model`` set to
    what the target calls it. ``timeout_s`` bounds the whole call.
    """

    endpoint: Endpoint
    body: dict[str, Any]
    stream: bool
    request_id: str
    timeout_s: float
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers to pass on, such as ``traceparent``."""
    prefill: str = ""
    """What the assistant said so far: the answer is to go on from there. See ``can_continue``."""
    probe: Mapping[str, Any] | None = None
    """Fields that make a local answer tell its tokens' probabilities; those of chat for Messages.
    The answer then has them in it, also where its dialect has no place for them."""
    warn: Callable[[str], None] = _unheard
    """Told what of the call the target does not get, and what of its answer the client does not, by
    the name of the field."""


class Answer(Protocol):
    """A target's answer whose status and headers have arrived.

    ``chunks`` yields what arrives: of a stream runs of whole server-sent events in the format of
    ``Call.endpoint``; else parts of the body, of which all but the last may be empty: they are
    signs of life. Leaving early needs ``aclose``, which cancels the work at the target.
    """

    status: int
    content_type: str

    @property
    def usage(self) -> Usage:
        """Filled in at the latest when ``chunks`` is exhausted."""
        ...

    def chunks(self) -> AsyncIterator[Piece]:
        """The answer as it arrives. Raises ``TargetBroken`` when the stream is cut."""
        ...

    def interrupt(self, error: TargetBroken) -> None:
        """Let the read of ``chunks`` that is waiting fail with ``error``."""
        ...

    async def aclose(self) -> None:
        """Give the connection back or, when the body was not read to its end, cut it."""
        ...


class Target(Protocol):
    """Something that can answer."""

    name: str
    """``base``, ``adapter:<alias>@<digest12>`` or ``frontier:<provider>/<model>``."""

    @property
    def limits(self) -> CallLimits:
        """Its own bounds."""
        ...

    def can_continue(self, endpoint: Endpoint) -> bool:
        """Whether a call may carry a ``prefill``."""
        ...

    def keeps(self, endpoint: Endpoint) -> bool:
        """Whether later requests may refer to an answer that it gave."""
        ...

    async def send(self, call: Call) -> Answer:
        """Start the call; returns once a successful status has arrived.

        Raises:
            TargetRejected: the target's own 4xx that another target would give too.
            TargetUnavailable: connect error, 5xx, 429, timeout before the first byte.
        """
        ...
