"""A conversation that is too long goes on without its oldest turns.

A turn is what a user says and all that follows up to the next thing that a user says: a tool's call
and its result are never parted. Instructions stay, wherever they stand, and so does the last turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from router.wire.endpoint import Endpoint

Body = dict[str, Any]
_FIELD: Final = {
    Endpoint.CHAT: "messages",
    Endpoint.MESSAGES: "messages",
    Endpoint.RESPONSES: "input",
}
_SYSTEM: Final = frozenset({"system", "developer"})


def turns(endpoint: Endpoint, body: Body) -> int:
    """How many turns could be left out."""
    items = _items(endpoint, body)
    return max(0, len(_starts(items)) - 1) if items is not None else 0


def without(endpoint: Endpoint, body: Body, oldest: int) -> Body:
    """The body without so many of its oldest turns."""
    items = _items(endpoint, body)
    if items is None or oldest <= 0:
        return body
    cut = _starts(items)[oldest]
    kept = [item for item in items[:cut] if item.get("role") in _SYSTEM]
    return {**body, _FIELD[endpoint]: [*kept, *items[cut:]]}


def dropped(endpoint: Endpoint, body: Body) -> list[Body]:
    """All items that may go."""
    items = _items(endpoint, body)
    if items is None:
        return []
    last = _starts(items)[-1]
    return [item for item in items[:last] if item.get("role") not in _SYSTEM]


def trimmed(endpoint: Endpoint, body: Body, fits: Callable[[Body], bool]) -> tuple[Body, int]:
    """The body without as few turns as makes it fit, and how many they are.

    When nothing makes it fit, all that may go is gone.
    """
    most = turns(endpoint, body)
    if most == 0 or fits(body):
        return body, 0
    low, high = 1, most
    while low < high:
        middle = (low + high) // 2
        if fits(without(endpoint, body, middle)):
            high = middle
        else:
            low = middle + 1
    return without(endpoint, body, low), low


def _items(endpoint: Endpoint, body: Body) -> list[Body] | None:
    items = body.get(_FIELD.get(endpoint, ""))
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return None
    return items


def _starts(items: list[Body]) -> list[int]:
    """Where turns begin; the first one also holds what stands before it."""
    found = [place for place, item in enumerate(items) if _begins(item)]
    return [0, *found[1:]] if found else [0]


def _begins(item: Body) -> bool:
    if item.get("role") != "user":
        return False
    content = item.get("content")
    if not isinstance(content, list):
        return True
    return not any(isinstance(part, dict) and part.get("type") == "tool_result" for part in content)
