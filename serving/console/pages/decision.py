"""One decision in full: every fact of its record, the known ones where they belong."""

from __future__ import annotations

from typing import Any, Final

from router.stages import TARGET, Heading
from serving.console import charts
from serving.console.charts import Part
from serving.console.page import Page, Visit

_COLOURS: Final = {heading.value: n for n, heading in enumerate(Heading, start=1)}
_GOVERNED: Final = (
    ("Redactions", ("redacted", "redactions", "governance", "pii")),
    ("Safety", ("safety",)),
    ("Policy", ("policy", "obligations", "rules")),
    ("Context", ("context", "citations")),
    ("Warnings", ("warnings",)),
)
"""Sections, and the fields of a record that belong there."""
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
_SHOWN_APART: Final = {
    *_REQUEST,
    *(name for _, names in _GOVERNED for name in names),
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
    record = await visit.sources.decision(visit.path["id"])
    headings = record.get("headings") or {}
    return {
        "record": record,
        "request": {name: record[name] for name in _REQUEST if name in record},
        "governed": [(title, _section(record, names)) for title, names in _GOVERNED],
        "rest": {name: value for name, value in record.items() if name not in _SHOWN_APART},
        "overhead_s": sum(headings.values()),
        "waited_s": (record.get("stages") or {}).get(TARGET, 0.0),
        "split": charts.split(
            "Time by heading, without waiting for targets",
            [Part(name, headings.get(name, 0.0), n) for name, n in _COLOURS.items()],
        ),
        "colours": _COLOURS,
    }


def _section(record: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """What the record says there, one level deep."""
    found: dict[str, Any] = {}
    for name in names:
        value = record.get(name)
        if isinstance(value, dict) and value:
            found |= {str(key): each for key, each in value.items()}
        elif value not in (None, [], {}, ""):
            found[name] = ", ".join(map(str, value)) if _is_names(value) else value
    return found


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


PAGE = Page("/decisions/{id}", "Decision", "decision.html", show)
