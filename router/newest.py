"""What a router has to tell the registry, which asks for it again and again: bounded, the newest
are kept; and what the registry has heard of it.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any


class Newest:
    """Of one router, in the order in which they came."""

    def __init__(self, most: int) -> None:
        self._name = secrets.token_hex(4)
        self._number = 0
        self._kept: deque[dict[str, Any]] = deque(maxlen=most)

    def add(self, what: Mapping[str, Any]) -> None:
        """One more, under the next number."""
        self._number += 1
        self._kept.append({"number": self._number, **what})

    def shown(self) -> dict[str, Any]:
        """For the registry; empty before the first."""
        return {"router": self._name, "newest": list(self._kept)} if self._kept else {}


class Heard:
    """What routers told, each until it is ``done``."""

    def __init__(self) -> None:
        self._done: dict[str, int] = {}

    def new(self, told: Iterable[Mapping[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
        """Those that are not done, each with the router that told it."""
        said = [each for each in told if each]
        alive = {str(each["router"]) for each in said}
        self._done = {name: number for name, number in self._done.items() if name in alive}
        return [
            (str(each["router"]), one)
            for each in said
            for one in each["newest"]
            if one["number"] > self._done.get(str(each["router"]), 0)
        ]

    def done(self, router: str, one: Mapping[str, Any]) -> None:
        """This one, and those before it."""
        self._done[router] = one["number"]
