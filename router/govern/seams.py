"""Values that go over several texts: the parts of a message are one text to who reads it.

``ann@exa`` in one part and ``mple.org`` in the next are nothing by themselves. So texts that stand
side by side are looked at as one, too; of what is found there each keeps its own piece.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Final

from router.govern.detect import Span
from router.wire.kinds import Kind
from router.wire.texts import Inside, Path, Text

_REACH: Final = 160
"""Characters on each side of a seam in which a model looks for names: a sentence or two."""
_PARTS: Final = frozenset({"text", "thinking", "refusal"})
"""Fields that hold what a part says."""


Piece = tuple[str, Span]
"""A text, and a finding in it."""


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of a ``Run``: its text, and where in the run it begins."""

    text: str
    start: int


class Run:
    """Texts that are read as one.

    Attributes:
        text: all of them.
    """

    __slots__ = ("_ends", "_pieces", "text")

    def __init__(self, pieces: Sequence[str]) -> None:
        self._pieces = pieces
        self._ends = list(accumulate(map(len, pieces)))
        self.text = "".join(pieces)

    def windows(self) -> list[Window]:
        """What is around those seams at which a sentence may go on."""
        found: list[tuple[int, int]] = []
        for seam in filter(self._goes_on, self._ends[:-1]):
            start, end = max(0, seam - _REACH), min(len(self.text), seam + _REACH)
            if found and found[-1][1] >= start:
                start = found.pop()[0]
            found.append((start, end))
        return [Window(self.text[start:end], start) for start, end in found]

    def _goes_on(self, seam: int) -> bool:
        """Whether a word or a space does; two words that only stand side by side are no name."""
        before, after = self.text[seam - 1 : seam], self.text[seam : seam + 1]
        return before.isspace() or after.isspace() or (before.isalpha() and after.islower())

    def pieces(self, spans: Iterable[Span], window: Window | None = None) -> Iterator[Piece]:
        """What each text has of these findings.

        Args:
            spans: what was found.
            window: in whose text; None: in all of ``text``. Of a window's findings only what goes
                over a seam counts: what else is there was found in the texts themselves.
        """
        for span in spans:
            at = 0 if window is None else window.start
            start, end = span.start + at, span.end + at
            first, last = bisect_right(self._ends, start), bisect_right(self._ends, end - 1)
            if window is None or (first < last and all(map(self._goes_on, self._ends[first:last]))):
                yield from self._of(span, start, end, range(first, last + 1))

    def _of(self, span: Span, start: int, end: int, places: range) -> Iterator[Piece]:
        piece = 1 if len(places) > 1 else 0
        for place in places:
            text = self._pieces[place]
            begin = self._ends[place] - len(text)
            own = _stripped(text, max(0, start - begin), end - begin)
            if own[0] < own[1]:
                yield text, replace(span, start=own[0], end=own[1], piece=piece)
                piece += bool(piece)


def runs(texts: Iterable[Text]) -> list[Run]:
    """Those of more than one text."""
    found: list[Run] = []
    pieces: list[str] = []
    key: object = None
    for text in texts:
        own = _key(text)
        if own is not None and own == key:
            pieces.append(text.text)
            continue
        if len(pieces) > 1:
            found.append(Run(pieces))
        key, pieces = own, [text.text]
    if len(pieces) > 1:
        found.append(Run(pieces))
    return found


def _key(text: Text) -> tuple[Kind, str, Path] | None:
    """The same for the parts of one message. What is said in two messages is two texts."""
    path = text.path
    if len(path) < 2 or type(path[-2]) is not int or path[-1] not in _PARTS or Inside.JSON in path:
        return None
    return text.kind, text.role, path[:-2]


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """Without the spaces at its ends."""
    end = min(end, len(text))
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end
