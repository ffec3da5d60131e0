"""The queue of reviews, how far reviewers agree, and what they are told."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from router.config.auth import KeyScope
from router.errors import InvalidRequest
from serving.console import charts
from serving.console.api import part
from serving.console.page import Page, Visit

_ROWS: Final = 50
_STATES: Final = ("open", "claimed", "done")


async def show(visit: Visit) -> dict[str, Any]:
    """What the template gets. Raises ``RouterError``."""
    state = visit.query.get("state", "open")
    state = state if state in _STATES else ""
    intent = visit.query.get("intent", "").strip()[:128]
    cursor = visit.query.get("cursor", "")
    found = await visit.api.get("/reviews", state=state, intent=intent, cursor=cursor, limit=_ROWS)
    narrowed = {"state": state, "intent": intent}
    reviewers = await visit.api.perhaps("/reviews/reviewers")
    told = await visit.api.perhaps("/reviews/guidelines")
    return {
        "state": state,
        "states": _STATES,
        "intent": intent,
        "rows": found["data"],
        "next": urlencode({**narrowed, "cursor": found["next"]}) if found["next"] else "",
        "first": urlencode(narrowed),
        "is_first": not cursor,
        "agreement": await visit.api.perhaps("/reviews/agreement", intent=intent),
        "reviewers": [_measured(row) for row in (reviewers or {"data": ()})["data"]],
        "guidelines": _told(told, intent),
    }


def _measured(row: dict[str, Any]) -> dict[str, Any]:
    right = row.get("accuracy")
    if not isinstance(right, int | float):
        return {**row, "bar": ""}
    return {**row, "bar": charts.meter(f"Accuracy of {row['name']}", float(right), 1.0, 3)}


def _told(guidelines: Any, intent: str) -> str:
    """What reviewers of exactly this intent, or of all, are told."""
    rows = guidelines["data"] if isinstance(guidelines, dict) else ()
    return next((str(row["text"]) for row in rows if (row["intent"] or "") == intent), "")


async def act(visit: Visit) -> str:
    """Take the next item, or say what reviewers of an intent are told. Raises ``RouterError``."""
    what, intent = visit.form.get("do"), visit.form.get("intent", "").strip()
    if what == "next":
        found = await visit.api.send("POST", "/reviews/next", intent=intent)
        query = urlencode({"intent": intent, "done": "claim"} if intent else {"done": "claim"})
        return f"/reviews/{part(found['id'])}?{query}"
    if what != "guidelines":
        raise InvalidRequest("There is no such button.")
    body = {"text": visit.form.get("guidelines", "")}
    await visit.api.send("PUT", "/reviews/guidelines", body, intent=intent)
    kept = {"intent": intent, "done": "guidelines"}
    return f"/reviews?{urlencode({name: text for name, text in kept.items() if text})}"


PAGE = Page(
    "/reviews",
    "Reviews",
    "reviews.html",
    show,
    act,
    scope=KeyScope.REVIEWER,
    place=10,
    live=("review",),
    said={"guidelines": "The guidelines were kept."},
)
