"""One decision in full: every fact of its record, the known ones where they belong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from router.stages import TARGET, Heading
from serving.console import charts, diagrams
from serving.console.api import part
from serving.console.charts import Part
from serving.console.diagrams import Node
from serving.console.page import Page, Visit

_COLOURS: Final = {heading.value: n for n, heading in enumerate(Heading, start=1)}
_REQUEST: Final = (
    "id",
    "request_id",
    "caller",
    "tenant",
    "endpoint",
    "model",
    "stream",
    "priority",
    "cache",
    "review",
)
_SHOWN: Final = 3
"""Datasets, and versions, that have room beside each other."""
_SHOWN_APART: Final = {
    *_REQUEST,
    "redacted",
    "safety",
    "context",
    "warnings",
    "at",
    "status",
    "error",
    "target",
    "intent",
    "candidates",
    "attempts",
    "stages",
    "headings",
    "usage",
    "cost_usd",
    "seconds",
    "first_byte_s",
    "feedback",
}


async def show(visit: Visit) -> dict[str, Any]:
    """What the template gets. Raises ``NotFound``."""
    record = await visit.api.get(f"/decisions/{part(visit.path['id'])}")
    headings = record.get("headings") or {}
    # Only an administrator may follow a request into what was learned from it.
    trace = await visit.api.perhaps(f"/trace/{part(visit.path['id'])}")
    return {
        "trace": trace,
        "traced": _traced(trace) if trace and trace.get("exchange") else "",
        "record": record,
        "request": {name: record[name] for name in _REQUEST if name in record},
        "redacted": list(_redacted(record)),
        "governed": [(title, _facts(found)) for title, found in _governed(record)],
        "rest": {name: value for name, value in record.items() if name not in _SHOWN_APART},
        "overhead_s": sum(headings.values()),
        "waited_s": (record.get("stages") or {}).get(TARGET, 0.0),
        "split": charts.split(
            "Time by heading, without waiting for targets",
            [Part(name, headings.get(name, 0.0), n) for name, n in _COLOURS.items()],
        ),
        "colours": _COLOURS,
    }


def _traced(trace: Mapping[str, Any]) -> Any:
    """What became of the request, from its exchange to the versions that learned from it."""
    exchange, review = trace["exchange"], trace.get("review")
    rows = [[Node("exchange", "exchange", str(exchange["state"]))]]
    if review:
        rows.append([Node("review", "review", str(review["state"]), ("exchange",))])
    datasets = list(trace.get("datasets") or ())[:_SHOWN]
    rows.append([Node(d["digest"], "dataset", d["name"], ("review", "exchange")) for d in datasets])
    versions = list(trace.get("adapters") or ())[:_SHOWN]
    rows.append(
        [Node(v["version"], str(v["how"]), v["version"], (v["dataset"],)) for v in versions]
    )
    return diagrams.graph("What became of it", rows)


def _redacted(record: dict[str, Any]) -> Iterator[tuple[str, str, str, int]]:
    """Target, kind of data, what became of it, how many."""
    for target, kinds in (record.get("redacted") or {}).items():
        for kind, actions in kinds.items():
            for action, count in actions.items():
                yield target, kind, action, count


def _governed(record: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Titles, and what the record has of each."""
    yield "Safety", record.get("safety")
    yield "Policy", (record.get("decided") or {}).get("policy")
    yield "Context", record.get("context")
    yield "Warnings", record.get("warnings")


def _facts(found: Any) -> list[dict[str, Any]]:
    """As tables of facts; nothing where the record has nothing but empty fields."""
    if isinstance(found, dict):
        found = [found]
    rows = [row if isinstance(row, dict) else {"": row} for row in found or ()]
    return [row for row in rows if any(row.values())]


PAGE = Page("/decisions/{id}", "Decision", "decision.html", show)
