"""What a broken stream had said, read from its events only when it broke.

While all is well, runs of events are only put aside. Every 64 KiB they are read into text, so that
what is kept stays about as long as the answer (law 9).
"""

from __future__ import annotations

from router.wire.events import Events
from router.wire.formats.base import Format
from router.wire.formats.reading import Reading

_FOLD_BYTES = 64 * 1024


class Transcript:
    """Everything that the client got of one stream.

    Args:
        wire: its format; one that ``eligible.obstacle`` lets pass.
        max_chars: longer texts are not kept.
        answers: how many answers (choices) the stream is to have.
    """

    __slots__ = ("_answers", "_held", "_max_chars", "_size", "reader")

    def __init__(self, wire: Format, max_chars: int, answers: int = 1) -> None:
        self.reader = wire.reader()
        self._held: list[Events] = []
        self._size = 0
        self._max_chars = max_chars
        self._answers = answers

    def add(self, run: Events) -> None:
        """These events go out."""
        self._held.append(run)
        self._size += len(run.raw)
        if self._size > _FOLD_BYTES:
            self.read()

    def obstacle(self) -> str | None:
        """Why it cannot be continued from here; None: it can."""
        reading = self.read()
        return reading.obstacle or reading.missing

    @property
    def has_ended(self) -> bool:
        """Whether every answer told why it ended: one of several is not all of them."""
        return len(self.read().ended) >= self._answers

    def read(self) -> Reading:
        """What was said up to here."""
        reading = self.reader.reading
        held, self._held, self._size = self._held, [], 0
        try:
            for run in held:
                for event in run:
                    found = event.object()
                    if found is not None:
                        self.reader.read(found)
        except (ValueError, LookupError, TypeError, AttributeError):
            reading.blocked("it had sent something that is not its API")
        if len(reading.text) > self._max_chars:
            reading.forget(f"it was longer than {self._max_chars} characters")
        return reading
