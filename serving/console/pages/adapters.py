"""Every adapter, where its versions stand, and what its intents' traffic came to."""

from __future__ import annotations

from typing import Any

from router.config.auth import KeyScope
from serving.console import diagrams
from serving.console.page import Page, Visit

LIVE = ("version", "alias", "ladder", "publish")
STEPS = ("shadow", "canary", "live")
WAITING = ("received", "checked", "stored", "preparing", "prepared", "gating")


async def show(visit: Visit) -> dict[str, Any]:
    """What the template gets."""
    found = await visit.api.get("/adapters", limit=200, cursor=visit.query.get("cursor", ""))
    replicas = await visit.api.perhaps("/replicas")
    return {
        "rows": [{**row, "ladder": ladder_of(row)} for row in found["data"]],
        "next": found["next"],
        "is_first": "cursor" not in visit.query,
        "replicas": (replicas or {"data": ()})["data"],
    }


def ladder_of(alias: dict[str, Any]) -> Any:
    """The picture of an alias's versions that serve, or are on their way."""
    steps: dict[str, list[str]] = {"on its way": [], **{step: [] for step in STEPS}}
    for version in alias["versions"]:
        step = "on its way" if version["state"] in WAITING else version["state"]
        if step in steps and len(steps[step]) < 6:
            steps[step].append(version["digest"][:12])
    return diagrams.ladder(f"Ladder of {alias['alias']}", steps)


PAGE = Page(
    "/adapters",
    "Adapters",
    "adapters.html",
    show,
    scope=KeyScope.ADMIN,
    place=50,
    live=LIVE,
)
