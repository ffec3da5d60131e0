"""An answer on its way to the client, and what stands between a request and its targets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol

from router.errors import TargetBroken
from router.request import Option
from router.wire.endpoint import Usage
from router.wire.events import Piece

Bodies = Callable[[Option], Awaitable[dict[str, Any]]]
"""What a target is sent; made by the context stage, each time that a target is asked."""


class Outgoing(Protocol):
    """An answer that has begun, on its way to the client."""

    status: int
    content_type: str

    @property
    def usage(self) -> Usage:
        """Token counts as the target reported them."""
        ...

    def chunks(self) -> AsyncIterator[Piece]:
        """The body, or runs of a stream's events. Raises ``TargetBroken``."""
        ...

    async def aclose(self) -> None:
        """Give the connection back, or cut it; idempotent."""
        ...


class Tap(Protocol):
    """Hears an answer on its way to the client, after everything that changes or stops it."""

    def hears(self, piece: Piece) -> None:
        """A piece leaves."""
        ...

    def ends(self) -> None:
        """All of it was read; of an answer that breaks nobody is told so."""
        ...


class Answering(Outgoing, Protocol):
    """An answer that may still be interrupted by who reads it."""

    def interrupt(self, error: TargetBroken) -> None:
        """Let the read of ``chunks`` that is waiting fail with ``error``."""
        ...


class Guarding(Protocol):
    """Between one request and its targets: what each of them may see, and what comes back."""

    async def outgoing(self, option: Option, body: dict[str, Any]) -> dict[str, Any]:
        """A body as this target may see it. Raises ``GuardUnavailable``, ``InvalidRequest``."""
        ...

    async def begun(self, option: Option, said: str) -> str:
        """The beginning of an answer, for who goes on from it. Raises as ``outgoing`` does."""
        ...

    def incoming(self, option: Option, answer: Answering) -> Answering:
        """The answer of a target as the client may see it."""
        ...

    def restored(self, option: Option, text: str) -> str:
        """What a target said in an error, as the client may see it."""
        ...

    def redactions(self, option: Option) -> Mapping[tuple[str, str], int]:
        """How many values were replaced in what a target was sent, by kind and action."""
        ...


class Opened(Protocol):
    """Holds a connection, a place or a task until it is closed."""

    async def aclose(self) -> None:
        """Give it back; idempotent."""
        ...
