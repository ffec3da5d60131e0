"""The newest decisions, searched."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

from router.audit.query import marked, place
from router.errors import NotFound
from serving.console.page import Page, Visit

_ROWS: Final = 50
FIELDS: Final = ("id", "tenant", "target", "intent", "status", "since")
"""What may be searched for; ``id`` is a decision's."""


async def show(visit: Visit) -> dict[str, Any]:
    """What the template gets. Raises ``InvalidRequest``."""
    asked = {name: visit.query.get(name, "").strip()[:300] for name in FIELDS}
    before = visit.query.get("before", "")
    if asked["id"]:
        rows = await _one(visit, asked["id"])
    else:
        narrowed = {name: asked[name] for name in FIELDS if name != "id"}
        rows = await visit.sources.decisions(**narrowed, before=before, limit=str(_ROWS + 1))
    more = ""
    if len(rows) > _ROWS:
        kept = {name: value for name, value in asked.items() if value}
        more = urlencode({**kept, "before": marked(place(rows[_ROWS - 1]))})
    return {"asked": asked, "rows": rows[:_ROWS], "more": more, "is_first": not before}


async def _one(visit: Visit, identity: str) -> list[dict[str, Any]]:
    try:
        return [await visit.sources.decision(identity)]
    except NotFound:
        return []


PAGE = Page("/decisions", "Decisions", "decisions.html", show, place=10)
