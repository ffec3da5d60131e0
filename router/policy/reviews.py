"""Reviews that rules want: told to the registry, which opens them. Bounded, the newest are kept."""

from __future__ import annotations

import secrets
from collections import deque
from typing import Any, Final

from router.exchange import Exchange

_KEPT: Final = 200


class WantedReviews:
    """Of one router, in the order in which they were wanted."""

    def __init__(self) -> None:
        self._name = secrets.token_hex(4)
        self._number = 0
        self._newest: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    def want(self, exchange: Exchange) -> str:
        """Take note of a request that rules want reviewed; returns the review's id."""
        ruling, decision_id = exchange.decision.ruling, exchange.request.decision_id
        self._number += 1
        name = "rev" + decision_id.removeprefix("dec")
        self._newest.append(
            {
                "number": self._number,
                "id": name,
                "decision_id": decision_id,
                "rules": list(ruling.reviewed_for),
                "when": ruling.review,
                "tenant": exchange.request.tenant,
                "intent": exchange.decision.intent.name or "",
            }
        )
        return name

    def shown(self) -> dict[str, Any]:
        """For the registry; empty before anything was wanted."""
        return {"router": self._name, "newest": list(self._newest)} if self._newest else {}


class HeardReviews:
    """What routers told, each until it is ``done``."""

    def __init__(self) -> None:
        self._done: dict[str, int] = {}

    def new(self, told: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
        """Those that are not done, each with the router that told it."""
        alive = {str(each["router"]) for each in told if each}
        self._done = {name: number for name, number in self._done.items() if name in alive}
        return [
            (str(each["router"]), review)
            for each in told
            if each
            for review in each["newest"]
            if review["number"] > self._done.get(str(each["router"]), 0)
        ]

    def done(self, router: str, review: dict[str, Any]) -> None:
        """This one, and those before it."""
        self._done[router] = review["number"]
