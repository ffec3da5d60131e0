"""A rules file's text as values that know their lines. Bounded: nothing hostile is parsed whole.

YAML 1.2's plain values only (so that JSON is YAML and a tenant called ``no`` is text): no aliases,
tags or second document, no key twice, no key that is not a plain word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 50
MAX_VALUES: Final = 200_000
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")
_WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a rules file, or doubtful about it.

    Attributes:
        message: in words, with the remedy.
        line: from 1; 0: of the file as a whole.
        rule: the rule's id, where it is about one.
    """

    message: str
    line: int = 0
    rule: str | None = None

    def shown(self) -> dict[str, Any]:
        """As the admin plane has it."""
        return {"rule": self.rule, "line": self.line, "message": self.message}


class PolicyInvalid(Exception):
    """A rules file cannot be used.

    Attributes:
        problems: everything that was found, by line.
    """

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = sorted(problems, key=lambda each: (each.line, each.message))
        first = self.problems[0]
        where = f"line {first.line}: " if first.line else ""
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{where}{first.message}{more}")


class PolicyTooLarge(PolicyInvalid):
    """More bytes than a rules file may have."""

    def __init__(self) -> None:
        super().__init__([Problem(f"The rules are larger than {MAX_BYTES} bytes.")])


@dataclass(frozen=True, slots=True)
class Node:
    """A value, and the line where it begins."""

    value: Any
    """Text, a number, a boolean, None, a list of nodes, or a dict of them."""
    line: int

    def plain(self) -> Any:
        """The value without lines."""
        if isinstance(self.value, dict):
            return {name: each.plain() for name, each in self.value.items()}
        if isinstance(self.value, list):
            return [each.plain() for each in self.value]
        return self.value


def read(source: bytes) -> Node:
    """Read one document. Raises ``PolicyInvalid``."""
    if len(source) > MAX_BYTES:
        raise PolicyTooLarge
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = source[: error.start].count(b"\n") + 1
        raise PolicyInvalid([Problem("The file is not UTF-8.", line)]) from error
    try:
        return _Reader(yaml.parse(text, Loader=_LOADER)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 0
        told = error.problem or error.context or "cannot be read"
        raise PolicyInvalid([Problem(f"This is not YAML: {told}.", line)]) from error
    except yaml.YAMLError as error:
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        told = " ".join(str(error).partition("\n")[0].split())
        raise PolicyInvalid([Problem(f"This is not YAML: {told}.", line)]) from error


class _Reader:
    """Builds values from the parser's events, which come one by one: what goes too deep ends it."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._left = MAX_VALUES

    def document(self) -> Node:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    raise _refused(event, "The file holds several documents; write one.")
                root = self._node(next(self._events), 1)
        return root or Node(None, 1)

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            raise _refused(event, "Aliases (*name) are not allowed; write the value again.")
        if getattr(event, "anchor", None) is not None:
            raise _refused(event, "Anchors (&name) are not allowed.")
        if depth > MAX_DEPTH:
            raise _refused(event, f"Nested deeper than {MAX_DEPTH} levels.")
        self._left -= 1
        if self._left < 0:
            raise _refused(event, f"More than {MAX_VALUES} values.")
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            raise _refused(event, f"Tags ({tag}) are not allowed.")
        if isinstance(event, yaml.ScalarEvent):
            return Node(_scalar(event), _line(event))
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(event, depth)
        return self._mapping(event, depth)

    def _list(self, start: yaml.Event, depth: int) -> Node:
        found: list[Node] = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            found.append(self._node(event, depth + 1))
        return Node(found, _line(start))

    def _mapping(self, start: yaml.Event, depth: int) -> Node:
        found: dict[str, Node] = {}
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.ScalarEvent) or event.anchor is not None:
                raise _refused(event, "A key must be plain text.")
            if event.value in found:
                first = found[event.value].line
                raise _refused(event, f"The key {event.value!r} is there twice (line {first}).")
            found[event.value] = self._node(next(self._events), depth + 1)
        return Node(found, _line(start))


def _scalar(event: yaml.ScalarEvent) -> Any:
    text: str = event.value
    if event.style or event.tag == "!":
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return 1 if mark is None else int(mark.line) + 1


def _refused(event: yaml.Event, message: str) -> PolicyInvalid:
    return PolicyInvalid([Problem(message, _line(event))])
