"""What a stream had said, as its format's reader understood it."""

from __future__ import annotations

from typing import Any, Protocol

Found = dict[str, Any]


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
