"""Distillations: what is trained, what was, and how it ended."""

from __future__ import annotations

from typing import Any, Final

from router.config.auth import KeyScope
from router.errors import InvalidRequest
from serving.console import charts
from serving.console.api import part
from serving.console.page import Page, Visit

_ROWS: Final = 50
ENDED: Final = frozenset({"live", "refused", "failed", "cancelled"})


async def show(visit: Visit) -> dict[str, Any]:
    """What the template gets."""
    cursor = visit.query.get("cursor", "")
    found = await visit.api.get("/distillations", limit=_ROWS, cursor=cursor)
    rows = [{**row, "bar": bar_of(row)} for row in found["data"]]
    return {
        "rows": rows,
        "next": found["next"],
        "is_first": not cursor,
        "typed": visit.form,
        "every": 3 if any(row["state"] not in ENDED for row in rows) else None,
    }


def bar_of(row: dict[str, Any]) -> Any:
    """How far the training is."""
    step, steps = row.get("step") or 0, row.get("steps") or 0
    return charts.meter(f"Step {step} of {steps}", float(step), float(steps))


async def act(visit: Visit) -> str:
    """Have an intent distilled. Raises ``RouterError``."""
    if visit.form.get("do") != "distill":
        raise InvalidRequest("There is no such button.")
    given = {name: visit.form.get(name, "").strip() for name in ("intent", "alias")}
    body = {name: text for name, text in given.items() if text}
    made = await visit.api.send("POST", "/distillations", body)
    return f"/distillations/{part(made['id'])}?done=asked"


PAGE = Page(
    "/distillations",
    "Distillations",
    "distillations.html",
    show,
    act,
    scope=KeyScope.ADMIN,
    place=40,
    live=("distillation",),
)
