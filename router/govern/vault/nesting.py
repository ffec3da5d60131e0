r"""How deep in JSON a place is: what is put into a string of a tool's arguments has to be escaped.

    {"to": "…", "body": "{\"to\": \"…\"}"}

The first place is in a string, the second in a string of JSON that is in a string.
"""

from __future__ import annotations

import json


class Nesting:
    """Reads JSON text from its beginning, in pieces.

    Attributes:
        depth: in how many strings the place is that was read up to: 0, 1 or 2.
    """

    __slots__ = ("_backslashes", "_begins", "_holds_json", "_in_inner", "_in_string")

    def __init__(self) -> None:
        self._in_string = self._in_inner = False
        self._begins = self._holds_json = False
        self._backslashes = 0

    @property
    def depth(self) -> int:
        return self._in_string + self._in_inner

    def read(self, text: str) -> None:
        """The next piece."""
        for letter in text:
            if letter == "\\":
                self._backslashes += 1
                continue
            if letter == '"':
                self._quote(self._backslashes)
            elif self._begins and not letter.isspace():
                self._holds_json, self._begins = letter == "{", letter == "["
            self._backslashes = 0

    def _quote(self, backslashes: int) -> None:
        if backslashes % 2 == 0:
            self._in_string = self._begins = not self._in_string
            self._holds_json = self._in_inner = False
        elif self._holds_json and backslashes % 4 == 1:
            self._in_inner = not self._in_inner


def escaped(value: str, depth: int) -> str:
    """A value as it stands in so many strings of JSON."""
    for _ in range(depth):
        value = json.dumps(value, ensure_ascii=False)[1:-1]
    return value
