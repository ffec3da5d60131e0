"""Reviews that rules want: told to the registry, which opens them. Bounded, the newest are kept."""

from __future__ import annotations

from typing import Any, Final

from router.exchange import Exchange
from router.newest import Newest

_KEPT: Final = 200


class WantedReviews:
    """Of one router, in the order in which they were wanted."""

    def __init__(self) -> None:
        self._newest = Newest(_KEPT)

    def want(self, exchange: Exchange) -> str:
        """Take note of a request that rules want reviewed; returns the review's id."""
        ruling, decision_id = exchange.decision.ruling, exchange.request.decision_id
        name = "rev" + decision_id.removeprefix("dec")
        self._newest.add(
            {
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
        return self._newest.shown()
