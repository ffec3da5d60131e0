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
            }
        )
        return name

    def shown(self) -> dict[str, Any]:
        """For the registry; empty before anything was wanted."""
        return {"router": self._name, "newest": list(self._newest)} if self._newest else {}


class HeardReviews:
    """What routers told, each once."""

    def __init__(self) -> None:
        self._heard: dict[str, int] = {}

    def new(self, told: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those that were not heard of before."""
        alive = {str(each["router"]) for each in told if each}
        self._heard = {name: number for name, number in self._heard.items() if name in alive}
        found: list[dict[str, Any]] = []
        for each in told:
            if not each:
                continue
            name = str(each["router"])
            last = self._heard.get(name, 0)
            found += [review for review in each["newest"] if review["number"] > last]
            self._heard[name] = max((r["number"] for r in each["newest"]), default=last)
        return found
