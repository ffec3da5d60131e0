"""Comparisons that no request can meet: CEL takes them, and a rule that has one never applies.

``target == "frontier:openai/gpt"`` compares a record with a text; ``time.weekday == "Monday"`` a
word with one that it never is. Both are slips of the pen, and a rule that denies would deny nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_TEXT: Final = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")
_LITERAL: Final = r"(\"\d+\"|-?\d[\d.eE]*u?|true|false)"
"""Texts are numbered while comparisons are looked for: what they say is none."""
_PATH: Final = r"(?<![\w.\"'])([a-z_]+(?:\.[a-z_]+)?)(?!\w)(?!\s*[.(\[])"
_COMPARED: Final = (
    re.compile(_PATH + r"\s*(?:==|!=)\s*" + _LITERAL),
    re.compile(_LITERAL + r"\s*(?:==|!=)\s*" + _PATH),
)
_LISTED: Final = re.compile(_PATH + r"\s+in\s+\[([^\[\]]*)\]")
_ONE: Final = re.compile(_LITERAL)
_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "target.kind": ("base", "adapter", "frontier"),
    "time.weekday": (
        "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
    ),
}  # fmt: skip


def never_met(source: str, variables: Mapping[str, Any]) -> str | None:
    """What is wrong with the first comparison that can never be met; None without one.

    Args:
        source: of a condition, CEL.
        variables: every variable that it may read, with a value of its type. Of records that are
            empty nothing is known.
    """
    for path, literal in _comparisons(source):
        known = _value(path, variables)
        if known is not None and (told := _slip(path, literal, known)):
            return told
    return None


def _comparisons(source: str) -> Iterator[tuple[str, str]]:
    texts: list[str] = []

    def numbered(found: re.Match[str]) -> str:
        texts.append(found[0])
        return f'"{len(texts) - 1}"'

    plain = _TEXT.sub(numbered, source)
    ahead, back = _COMPARED
    found = [(each[1], each[2]) for each in ahead.finditer(plain)]
    found += [(each[2], each[1]) for each in back.finditer(plain)]
    for listed in _LISTED.finditer(plain):
        found += [(listed[1], each[1]) for each in _ONE.finditer(listed[2])]
    for path, literal in found:
        yield path, texts[int(literal[1:-1])] if literal[0] == '"' else literal


def _value(path: str, variables: Mapping[str, Any]) -> Any:
    head, _, field = path.partition(".")
    value = variables.get(head)
    if not field:
        return value
    return value.get(field) if isinstance(value, dict) else None


def _slip(path: str, literal: str, known: Any) -> str | None:
    if isinstance(known, dict):
        fields = ", ".join(f"{path}.{name}" for name in known) or f"{path}.<name>"
        return f"{path} is no text or number, and never {literal}; it has {fields}"
    if isinstance(known, list):
        return f"{path} is a list, and never {literal}; ask {literal} in {path}"
    if type(known) is not _kind(literal) and not (_is_number(known) and _kind(literal) is float):
        return f"{path} is never {literal}: it is like {known!r}"
    words = _WORDS.get(path)
    if words is not None and literal[1:-1] not in words:
        return f"{path} is never {literal}; it is one of {', '.join(words)}"
    return None


def _kind(literal: str) -> type:
    if literal[0] in "\"'":
        return str
    return bool if literal in {"true", "false"} else float


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
