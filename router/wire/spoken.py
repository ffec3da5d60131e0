"""What an answer says, piece by piece, and where: alike for a stream's events and a whole answer.

Each format says it of its own events and bodies (``Format.said``); whoever checks an answer on its
way out reads one sequence of texts per place and need not know the API.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import orjson

from router.wire.kinds import Kind
from router.wire.texts import texts

_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_CUT: Final = re.compile(r"(?<!\\)(?:\\\\)*(\\(?:u[0-9a-fA-F]{0,3})?)\Z")
_PLAIN: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_SKIPPED: Final = frozenset({Kind.TOKEN, Kind.IDENTITY})


class Place(NamedTuple):
    """Where in an answer something is said.

    Attributes:
        choice: the number of the answer, of several.
        kind: ``TEXT``, ``REASONING``, ``REFUSAL`` or ``ARGUMENTS``; ``OTHER`` is whatever no API
            that is known has, such as a provider's own field.
        part: which of several of that kind: the number of a block or tool call, a field's name.
    """

    choice: int
    kind: Kind
    part: str = ""


class Said(NamedTuple):
    """A piece of an answer.

    Attributes:
        place: where it belongs.
        text: what is new there. A call's arguments are the JSON text, as it stands in the answer.
        whole: it is everything that was said there so far, and may repeat all or a part of it.
    """

    place: Place
    text: str
    whole: bool = False


def extras(found: dict[str, Any], known: frozenset[str], choice: int = 0) -> Iterator[Said]:
    """The texts in those fields of an object that nobody here knows."""
    for name in found.keys() - known:
        place = Place(choice, Kind.OTHER, name)
        for text in texts({name: found[name]}, "assistant"):
            if text.kind not in _SKIPPED:
                yield Said(place, text.text)


def unshaped(value: Any, choice: int = 0) -> Iterator[Said]:
    """The texts in what stands where the API has something else; none in nothing."""
    return extras({"": value}, frozenset(), choice) if value else iter(())


def as_json(value: Any) -> str:
    """A tool call's arguments as text, whether they came as text or as an object."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


class Unescaped:
    r"""JSON text as it is meant: the escapes in its strings are read, also one cut in two.

    ``\u0032\u0035`` is 25 to whoever reads the arguments, so it is to whoever checks them.
    """

    __slots__ = ("_cut",)

    def __init__(self) -> None:
        self._cut = ""

    def read(self, text: str) -> str:
        """The next piece, without an escape at its end that is not complete."""
        if self._cut:
            text, self._cut = self._cut + text, ""
        if "\\" not in text:
            return text
        cut = _CUT.search(text)
        if cut is not None:
            self._cut = cut[1]
            text = text[: cut.start(1)]
        return _ESCAPE.sub(_meant, text)


def _meant(found: re.Match[str]) -> str:
    code, letter = found.groups()
    if code is None:
        return _PLAIN.get(letter, letter)
    return chr(int(code, 16))
