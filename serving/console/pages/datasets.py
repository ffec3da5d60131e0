"""Datasets: frozen, and what each is made of."""

from __future__ import annotations

from typing import Any, Final

from router.config.auth import KeyScope
from router.errors import InvalidRequest
from serving.console import charts
from serving.console.api import part
from serving.console.charts import Part
from serving.console.page import Page, Visit

_ROWS: Final = 50
_COLOURS: Final = {"train": 1, "test": 2}


async def show(visit: Visit) -> dict[str, Any]:
    """What the template gets."""
    cursor = visit.query.get("cursor", "")
    found = await visit.api.get("/datasets", limit=_ROWS, cursor=cursor)
    return {
        "rows": [{**row, "picture": splits_of(row)} for row in found["data"]],
        "next": found["next"],
        "is_first": not cursor,
        "typed": visit.form,
    }


def splits_of(dataset: dict[str, Any]) -> Any:
    """The picture of how many rows train and how many test."""
    splits = dataset.get("splits") or {}
    parts = [Part(name, float(splits.get(name, 0)), n) for name, n in _COLOURS.items()]
    return charts.split(f"Splits of {dataset.get('name')}", parts)


async def act(visit: Visit) -> str:
    """Freeze one. Raises ``RouterError``."""
    if visit.form.get("do") != "freeze":
        raise InvalidRequest("There is no such button.")
    body: dict[str, Any] = {"name": visit.form.get("name", "").strip()}
    intents = [each.strip() for each in visit.form.get("intents", "").split(",") if each.strip()]
    if intents:
        body["intents"] = intents
    if share := visit.form.get("holdout", "").strip():
        try:
            body["holdout"] = float(share)
        except ValueError as error:
            raise InvalidRequest("The held-out share must be a number below 1.") from error
    made = await visit.api.send("POST", "/datasets", body)
    return f"/datasets/{part(made['digest'])}?done=frozen"


PAGE = Page(
    "/datasets",
    "Datasets",
    "datasets.html",
    show,
    act,
    scope=KeyScope.ADMIN,
    place=30,
    live=("dataset",),
)
