"""Erasures of persons' data: asked for, followed, certified."""

from __future__ import annotations

from typing import Any, Final

from serving.console.api import part
from serving.console.page import Page, Visit

_ROWS: Final = 50


async def show(visit: Visit) -> dict[str, Any]:
    """What the template gets."""
    wanted = visit.query.get("id", "")
    found = await visit.api.get("/erasures", limit=_ROWS, cursor=visit.query.get("cursor", ""))
    return {
        "one": await visit.api.get(f"/erasures/{part(wanted)}") if wanted else None,
        "rows": found["data"],
        "next": found["next"],
        "is_first": "cursor" not in visit.query,
        "subject": visit.form.get("subject", ""),
    }


async def act(visit: Visit) -> str:
    """Ask for an erasure. Raises ``RouterError``."""
    # Spaces come along when a name is pasted, and would make it another one.
    subject = visit.form.get("subject", "").strip()
    made = await visit.api.send("POST", "/erasures", {"subject": subject})
    return f"/erasures?id={part(made['id'])}&done=asked"


PAGE = Page(
    "/erasures",
    "Erasures",
    "erasures.html",
    show,
    act,
    place=100,
    live=("erasure",),
    said={"asked": "The erasure was taken on; it is done within a minute."},
)
