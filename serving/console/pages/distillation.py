"""One distillation: its losses as they fall, what is left, its log; cancelled from here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from router.config.auth import KeyScope
from router.errors import InvalidRequest
from serving.console import charts
from serving.console.api import part
from serving.console.charts import Line
from serving.console.page import Page, Visit
from serving.console.pages.distillations import ENDED, bar_of

_STEPS: Final = ("queued", "training", "packaging", "gating", "publishing", "live")
_LINES: Final = (("loss", "loss", 1), ("held-out loss", "validation_loss", 2))


async def show(visit: Visit) -> dict[str, Any]:
    """What the template gets. Raises ``RouterError``."""
    found = await visit.api.get(f"/distillations/{part(visit.path['id'])}")
    is_over = found["state"] in ENDED
    return {
        "job": found,
        "steps": _STEPS if found["state"] in _STEPS else (*_STEPS[:-1], found["state"]),
        "bar": bar_of(found),
        "curve": curve_of(found.get("curve") or ()),
        "log": str(found.get("log") or ""),
        "is_over": is_over,
        "every": None if is_over else 2,
    }


def curve_of(rows: Iterable[Mapping[str, Any]]) -> Any:
    """The picture of the losses by step."""
    rows = [row for row in rows if row.get("phase", "training") == "training"]
    return charts.lines(
        "Loss by step, nats a token",
        [
            Line(
                name,
                colour,
                [(row["step"], row[field]) for row in rows if row.get(field) is not None],
            )
            for name, field, colour in _LINES
        ],
        "step",
    )


async def act(visit: Visit) -> str:
    """Cancel it. Raises ``RouterError``."""
    if visit.form.get("do") != "cancel":
        raise InvalidRequest("There is no such button.")
    identity = part(visit.path["id"])
    await visit.api.send("POST", f"/distillations/{identity}/cancel")
    return f"/distillations/{identity}?done=cancelled"


PAGE = Page(
    "/distillations/{id}",
    "Distillation",
    "distillation.html",
    show,
    act,
    scope=KeyScope.ADMIN,
    live=("distillation",),
    said={
        "asked": "The distillation waits for its turn.",
        "cancelled": "The training was stopped.",
    },
)
