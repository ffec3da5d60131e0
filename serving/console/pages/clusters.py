"""Clusters of what the system answers badly: one becomes an intent, or is dismissed."""

from __future__ import annotations

from typing import Any, Final

from router.config.auth import KeyScope
from router.errors import InvalidRequest
from serving.console import charts, words
from serving.console.api import part
from serving.console.charts import Column, Part
from serving.console.page import Page, Visit

_ROWS: Final = 50


async def show(visit: Visit) -> dict[str, Any]:
    """What the template gets."""
    cursor = visit.query.get("cursor", "")
    found = await visit.api.get("/clusters", limit=_ROWS, cursor=cursor)
    most = max((row["volume"] for row in found["data"]), default=0)
    return {
        "rows": [{**row, **_pictures(row, most)} for row in found["data"]],
        "next": found["next"],
        "is_first": not cursor,
        "typed": visit.form,
    }


def _pictures(row: dict[str, Any], most: float) -> dict[str, Any]:
    days = [
        Column(each["day"][5:], [Part("requests", each["volume"], 1)])
        for each in row.get("days", ())
    ]
    return {
        "bar": charts.meter(f"Volume of {row['name']}", row["volume"], most),
        "daily": charts.columns("Requests by day, two weeks", days, words.count) if days else "",
    }


async def act(visit: Visit) -> str:
    """Make an intent of one, or dismiss it. Raises ``RouterError``."""
    what, path = visit.form.get("do", ""), f"/clusters/{part(visit.form.get('id', ''))}"
    if what == "intent":
        given = {name: visit.form.get(name, "").strip() for name in ("name", "alias")}
        await visit.api.send("POST", f"{path}/intent", {n: v for n, v in given.items() if v})
    elif what == "dismiss":
        await visit.api.send("POST", f"{path}/dismiss")
    elif what == "forget":
        await visit.api.send("DELETE", f"{path}/intent")
    else:
        raise InvalidRequest("There is no such button.")
    return f"/clusters?done={what}"


PAGE = Page(
    "/clusters",
    "Clusters",
    "clusters.html",
    show,
    act,
    scope=KeyScope.ADMIN,
    place=20,
    live=("exchange", "cluster"),
    said={
        "intent": "It is an intent now: routers learn it, and its exchanges wait for review.",
        "forget": "It is no intent any more.",
        "dismiss": "It was dismissed and does not come back.",
    },
)
