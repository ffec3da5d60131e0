"""One dataset: its card, splits, leak checks and first rows; distilled from here."""

from __future__ import annotations

from typing import Any, Final

from router.config.auth import KeyScope
from router.errors import InvalidRequest
from serving.console.api import part
from serving.console.page import Page, Visit
from serving.console.pages.datasets import splits_of

_ROWS: Final = 20


async def show(visit: Visit) -> dict[str, Any]:
    """What the template gets. Raises ``RouterError``; of an erased one, what replaced it."""
    path = f"/datasets/{part(visit.path['digest'])}"
    found = await visit.api.get(path)
    rows = await visit.api.perhaps(f"{path}/rows", limit=_ROWS)
    return {
        "dataset": found,
        "picture": splits_of(found),
        "statistics": found.get("statistics") or {},
        "checks": found.get("checks") or (),
        "warnings": found.get("warnings") or (),
        "rows": (rows or {"data": ()})["data"],
    }


async def act(visit: Visit) -> str:
    """Have it distilled. Raises ``RouterError``."""
    if visit.form.get("do") != "distill":
        raise InvalidRequest("There is no such button.")
    body = {"dataset": visit.path["digest"], "alias": visit.form.get("alias", "").strip()}
    made = await visit.api.send("POST", "/distillations", {n: v for n, v in body.items() if v})
    return f"/distillations/{part(made['id'])}?done=asked"


PAGE = Page(
    "/datasets/{digest}",
    "Dataset",
    "dataset.html",
    show,
    act,
    scope=KeyScope.ADMIN,
    said={"frozen": "The dataset was frozen."},
)
