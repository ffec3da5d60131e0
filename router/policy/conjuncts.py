"""What a condition demands, as far as its text tells: for the index, and to find contradictions.

Only what is certain counts. A condition is split at each ``&&`` that stands outside brackets and
texts, when no ``||`` or ``?`` stands there; since ``false && x`` is false whatever ``x`` is, one
part that does not hold is enough to know that the whole does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

_OPENING, _CLOSING = "([{", ")]}"
_PATH = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?"
_LITERAL = r"""(?:"[^"\\]*"|'[^'\\]*'|-?\d+(?:\.\d+)?|true|false)"""
_COMPARED = re.compile(rf"\s*({_PATH})\s*(==|!=|<=|>=|<|>)\s*({_LITERAL})\s*")
_TURNED = re.compile(rf"\s*({_LITERAL})\s*(==|!=|<=|>=|<|>)\s*({_PATH})\s*")
_AMONG = re.compile(rf"\s*({_PATH})\s+in\s+\[\s*({_LITERAL}(?:\s*,\s*{_LITERAL})*)\s*\]\s*")
_FLAG = re.compile(rf"\s*(!?)\s*({_PATH})\s*")
_MIRROR: Final = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}
_ONE = re.compile(_LITERAL)


@dataclass(frozen=True, slots=True)
class Atom:
    """One comparison of a variable with fixed values.

    Attributes:
        path: ``tenant`` or ``facts.loyalty``.
        operator: ``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=`` or ``in``.
        values: one, or for ``in`` all that it may be.
    """

    path: str
    operator: str
    values: tuple[Any, ...]

    @property
    def only(self) -> tuple[Any, ...] | None:
        """All that the variable may be; None where that cannot be listed."""
        return self.values if self.operator in ("==", "in") else None

    @property
    def example(self) -> Any:
        """A value that fits; None where none is obvious."""
        if self.operator in ("==", "in", "<=", ">="):
            return self.values[0]
        value = self.values[0]
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return {"<": value - 1, ">": value + 1}.get(self.operator)


def conjuncts(source: str) -> Iterator[str]:
    """The parts of a condition that must all hold: of one with ``||`` at the top, itself."""
    parts = _split(_bare(source), "&&")
    if any(len(_split(part, mark)) > 1 for part in parts for mark in ("||", "?")):
        yield source
        return
    for part in parts:
        bare = _bare(part)
        if bare != part and len(_split(bare, "&&")) > 1:
            yield from conjuncts(bare)
        else:
            yield part


def names_apart(source: str) -> Iterator[str]:
    """The smallest parts of a condition: between ``&&``, ``||`` and brackets."""
    source = _bare(source)
    for mark in ("&&", "||"):
        parts = _split(source, mark)
        if len(parts) > 1:
            for part in parts:
                yield from names_apart(part)
            return
    stripped = source.strip()
    if stripped.startswith("!") and _bare(stripped[1:]) != stripped[1:]:
        yield from names_apart(stripped[1:])
    else:
        yield source


def atoms(parts: Iterable[str]) -> Iterator[Atom]:
    """Those of the parts that compare one variable with fixed values."""
    for part in parts:
        found = _atom(_bare(part))
        if found is not None:
            yield found


def _atom(text: str) -> Atom | None:
    if match := _COMPARED.fullmatch(text):
        return Atom(match[1], match[2], (_value(match[3]),))
    if (match := _TURNED.fullmatch(text)) and match[3] not in ("true", "false"):
        return Atom(match[3], _MIRROR[match[2]], (_value(match[1]),))
    if match := _AMONG.fullmatch(text):
        return Atom(match[1], "in", tuple(map(_value, _ONE.findall(match[2]))))
    if (match := _FLAG.fullmatch(text)) and match[2] not in ("true", "false"):
        return Atom(match[2], "==", (not match[1],))
    return None


def _value(text: str) -> Any:
    return text[1:-1] if text[0] in "\"'" else orjson.loads(text)


def exclude_each_other(first: Iterable[Atom], second: Iterable[Atom]) -> bool:
    """Whether conditions with these atoms can certainly not both hold."""
    return impossible([*first, *second])


def impossible(all_atoms: Iterable[Atom]) -> bool:
    """Whether no request can fit all of them."""
    by_path: dict[str, list[Atom]] = {}
    for atom in all_atoms:
        by_path.setdefault(atom.path, []).append(atom)
    return any(_clash(found) for found in by_path.values())


def _clash(found: list[Atom]) -> bool:
    listed = [atom.only for atom in found if atom.only is not None]
    if listed:
        return not any(all(_fits(value, atom) for atom in found) for value in listed[0])
    low = max((a.values[0] for a in found if a.operator[0] == ">" and _number(a)), default=None)
    high = min((a.values[0] for a in found if a.operator[0] == "<" and _number(a)), default=None)
    if low is None or high is None or low < high:
        return False
    strict = any(a.operator in ("<", ">") and a.values[0] in (low, high) for a in found)
    return bool(low > high or strict)


def _number(atom: Atom) -> bool:
    value = atom.values[0]
    return isinstance(value, int | float) and not isinstance(value, bool)


def _fits(value: Any, atom: Atom) -> bool:
    wanted = atom.values[0]
    match atom.operator:
        case "==" | "in":
            return any(_same(value, each) for each in atom.values)
        case "!=":
            return not _same(value, wanted)
    if isinstance(value, str) != isinstance(wanted, str):
        return False
    less, same = value < wanted, value == wanted
    return bool(
        {"<": less, "<=": less or same, ">": not less and not same, ">=": not less}[atom.operator]
    )


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _split(source: str, mark: str) -> list[str]:
    """At each ``mark`` outside brackets and texts."""
    if mark not in source:  # most are nowhere: the walk below is letter by letter
        return [source]
    parts, start = [], 0
    for place in _outside(source):
        if source.startswith(mark, place) and place >= start:
            parts.append(source[start:place])
            start = place + len(mark)
    return [*parts, source[start:]]


def _outside(source: str) -> Iterator[int]:
    """The places outside brackets and texts."""
    for place, letter, depth in _without_texts(source):
        if depth == 0 and letter not in _OPENING + _CLOSING:
            yield place


def _bare(source: str) -> str:
    """Without brackets around the whole of it."""
    text = source.strip()
    while text.startswith("(") and text.endswith(")") and _is_one_bracket(text):
        text = text[1:-1].strip()
    return text


def _is_one_bracket(text: str) -> bool:
    return all(depth > 0 for place, _, depth in _without_texts(text) if place < len(text) - 1)


def _without_texts(source: str) -> Iterator[tuple[int, str, int]]:
    """Every letter outside texts: its place, itself, and how many brackets are open behind it."""
    depth, quote, skip = 0, "", False
    for place, letter in enumerate(source):
        if skip:
            skip = False
        elif quote:
            skip = letter == "\\"
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        else:
            depth += (letter in _OPENING) - (letter in _CLOSING)
            yield place, letter, depth
