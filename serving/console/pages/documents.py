"""Documents that answers may draw on: added, searched, deleted."""

from __future__ import annotations

from typing import Any, Final

from router.config.auth import KeyScope
from router.errors import InvalidRequest, RouterError
from serving.console.api import part
from serving.console.page import Page, Visit

_ROWS: Final = 50
_MAX_BYTES: Final = 24 * 1024 * 1024


async def show(visit: Visit) -> dict[str, Any]:
    """What the template gets."""
    question = visit.query.get("q", "").strip()[:2000]
    cursor = visit.query.get("cursor", "")
    found = await visit.api.get("/documents", limit=_ROWS, cursor=cursor)
    return {
        "question": question,
        "collection": visit.query.get("collection", "")[:128],
        **(await _searched(visit, question)),
        "documents": found["data"],
        "next": found["next"],
        "is_first": not cursor,
        "typed": visit.form,
    }


async def _searched(visit: Visit, question: str) -> dict[str, Any]:
    """What a question finds; why it finds nothing."""
    if not question:
        return {"passages": None, "unfound": ""}
    collection = visit.query.get("collection", "").strip()
    try:
        rows = await visit.api.rows(
            "/documents/search", q=question, collection=collection, limit=10
        )
    except RouterError as error:
        return {"passages": [], "unfound": error.message}
    return {"passages": rows, "unfound": ""}


async def act(visit: Visit) -> str:
    """Add or delete a document. Raises ``RouterError``."""
    what = visit.form.get("do", "")
    if what == "upload":
        raw, kind = visit.body
        await visit.api.send("POST", "/documents", raw, media_type=kind)
    elif what == "add":
        names = ("title", "text", "collection", "tenant")
        given = {name: visit.form.get(name, "").strip() for name in names}
        await visit.api.send(
            "POST", "/documents", {n: v for n, v in given.items() if v or n == "text"}
        )
    elif what == "delete":
        await visit.api.send("DELETE", f"/documents/{part(visit.form.get('id', ''))}")
        return "/documents?done=deleted"
    else:
        raise InvalidRequest("There is no such button.")
    return "/documents?done=added"


PAGE = Page(
    "/documents",
    "Documents",
    "documents.html",
    show,
    act,
    scope=KeyScope.ADMIN,
    place=80,
    said={"added": "The document was added.", "deleted": "The document was deleted."},
    max_bytes=_MAX_BYTES,
)
