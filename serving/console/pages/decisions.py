"""The newest decisions, searched."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from router.errors import RouterError
from serving.console.api import part
from serving.console.page import Page, Visit

_ROWS: Final = 50
FIELDS: Final = ("id", "tenant", "target", "intent", "status", "since")
"""What may be searched for; ``id`` is a decision's."""


async def show(visit: Visit) -> dict[str, Any]:
    """What the template gets. Raises ``InvalidRequest``."""
    asked = {name: visit.query.get(name, "").strip()[:300] for name in FIELDS}
    cursor = visit.query.get("cursor", "")
    more = ""
    if asked["id"]:
        rows = await _one(visit, asked["id"])
    else:
        narrowed = {name: asked[name] for name in FIELDS if name != "id"}
        found = await visit.api.get("/decisions", **narrowed, cursor=cursor, limit=_ROWS)
        rows = found["data"]
        if found["next"]:
            kept = {name: value for name, value in asked.items() if value}
            more = urlencode({**kept, "cursor": found["next"]})
    return {"asked": asked, "rows": rows, "more": more, "is_first": not cursor}


async def _one(visit: Visit, identity: str) -> list[dict[str, Any]]:
    try:
        return [await visit.api.get(f"/decisions/{part(identity)}")]
    except RouterError as error:
        if error.status != 404:
            raise
        return []


PAGE = Page("/decisions", "Decisions", "decisions.html", show, place=60)
