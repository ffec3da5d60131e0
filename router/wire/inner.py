"""JSON inside strings: read, and written back so that what did not change stays as it was."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

from router.wire import words

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NUMBER: Final = re.compile(r"-?\d+")


def parsed(value: str) -> Any:
    """The JSON object, list or string that a string is; None when it is something else."""
    if not value.lstrip().startswith(words.JSON_BEGINS):
        return None
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None


def json_with(raw: str, changes: dict[str, str], new: Any) -> str:
    """JSON text after some of its strings changed: the rest stays as it was written."""

    def literal(found: re.Match[str]) -> str:
        text = orjson.loads(found[0])
        changed = changes.get(text)
        if changed is None:
            return found[0]
        return json.dumps(changed, ensure_ascii=r"\u" in found[0])

    kept, place = [], 0
    for found in _STRING.finditer(raw):
        between = raw[place : found.start()]
        kept += [_numbers_with(between, changes), literal(found)]
        place = found.end()
    kept.append(_numbers_with(raw[place:], changes))
    text = "".join(kept)
    return text if parsed(text) == new else orjson.dumps(new).decode()


def _numbers_with(raw: str, changes: dict[str, str]) -> str:
    return _NUMBER.sub(
        lambda found: json.dumps(changes[found[0]]) if found[0] in changes else found[0], raw
    )


def with_distinct_keys(entries: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of all entries, also when a change made two of their keys alike."""
    found: dict[str, Any] = {}
    for key, value in entries:
        name, number = key, 2
        while name in found:
            name, number = f"{key}_{number}", number + 1
        found[name] = value
    return found
