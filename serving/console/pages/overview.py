"""Where the time goes, now and within a day; traffic, who answered, and what it cost."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from router.stages import Heading
from serving.console import alerts, charts, words
from serving.console.alerts import Alert
from serving.console.charts import Column, Part
from serving.console.page import Page, Visit

_NOW_S: Final = 300.0
_NOW_ROWS: Final = 500
_DAY_S: Final = 86_400.0
_HOUR_S: Final = 3600
_ROWS: Final = 1000
_NEWEST: Final = 100
_LOCAL, _FRONTIER, _NOBODY = "local", "frontier", "refused"
_COLOURS: Final = {_LOCAL: 1, _FRONTIER: 2, _NOBODY: 8}


async def show(visit: Visit) -> dict[str, Any]:
    """What the template gets."""
    now = time.time()
    recent = await visit.api.rows("/decisions", since=f"{now - _NOW_S:.3f}", limit=_NOW_ROWS)
    day = now - _DAY_S
    headings = {row["heading"]: row["time_ms"] for row in await _used(visit, "heading", day)}
    rows = await _used(visit, "hour,target", day)
    hours = _hours(now)
    drift = await visit.api.rows("/drift")
    intents = await _intents(visit, day)
    return {
        "alerts": [
            *alerts.of_decisions(recent),
            *alerts.of_drift(drift),
            *(await _alerts(visit)),
        ],
        "intents": intents,
        "saved": None if intents is None else sum(row["saved_usd"] for row in intents),
        "now_requests": len(recent),
        "now_is_all": len(recent) < _NOW_ROWS,
        "now_split": _split("Time by heading, last five minutes", _of_records(recent)),
        "now_times": _of_records(recent),
        "day_split": _split("Time by heading, last 24 hours", headings),
        "day_times": {heading.value: headings.get(heading.value, 0.0) for heading in Heading},
        "colours": {heading.value: n for n, heading in enumerate(Heading, start=1)},
        "waited_ms": sum(row["target_ms"] for row in rows),
        **_totals(rows),
        "traffic": charts.columns(
            "Requests by hour, last 24 hours", _columns(hours, rows, "requests"), words.count
        ),
        "spending": charts.columns(
            "Cost by hour, last 24 hours, US dollars", _columns(hours, rows, "usd"), words.dollars
        ),
        "targets": _by_target(rows),
        "drift": drift,
    }


async def _intents(visit: Visit, since: float) -> list[dict[str, Any]] | None:
    """Who answers each intent, and what that saves; None: it is not for this visitor."""
    found = await visit.api.perhaps("/takeover", since=f"{since:.0f}", limit=_ROWS)
    if found is None:
        return None
    return [
        {
            **row,
            "bar": charts.meter(f"Local share of {row['intent']}", row["local_share"] or 0.0, 1.0),
        }
        for row in found["data"]
    ]


async def _alerts(visit: Visit) -> list[Alert]:
    """What is to be looked at, as far as the visitor may know of it."""

    async def rows(path: str, **query: Any) -> list[dict[str, Any]]:
        found = await visit.api.perhaps(path, **query)
        return (found or {}).get("data", [])

    usage = await visit.api.perhaps("/usage", by="heading", limit=1) or {}
    return [
        *alerts.of_budgets(usage.get("budgets") or ()),
        *alerts.of_replicas(await rows("/replicas")),
        *alerts.of_adapters(await rows("/adapters", limit=_ROWS)),
        *alerts.of_distillations(await rows("/distillations", limit=_NEWEST)),
        *alerts.of_reviews(await rows("/reviews", state="open", limit=_NEWEST), _NEWEST),
    ]


async def _used(visit: Visit, by: str, since: float) -> list[dict[str, Any]]:
    return await visit.api.rows("/usage", by=by, since=f"{since:.0f}", limit=_ROWS)


def _of_records(records: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Milliseconds by heading."""
    found = dict.fromkeys((heading.value for heading in Heading), 0.0)
    for record in records:
        for heading, seconds in (record.get("headings") or {}).items():
            found[heading] = found.get(heading, 0.0) + seconds * 1000
    return found


def _split(title: str, times: dict[str, float]) -> Any:
    return charts.split(
        title, [Part(each.value, times.get(each, 0.0), n) for n, each in enumerate(Heading, 1)]
    )


def _kind(target: str) -> str:
    if target.startswith("frontier:"):
        return _FRONTIER
    return _LOCAL if target == "base" or target.startswith("adapter:") else _NOBODY


def _totals(rows: list[dict[str, Any]]) -> dict[str, Any]:
    requests: dict[str, int] = defaultdict(int)
    for row in rows:
        requests[_kind(row["target"])] += row["requests"]
    answered = requests[_LOCAL] + requests[_FRONTIER]
    return {
        "requests": sum(requests.values()),
        "refused": sum(row["refused"] for row in rows),
        "local_share": requests[_LOCAL] / answered if answered else None,
        "usd": sum(row["usd"] for row in rows),
        "tokens": sum(row["input_tokens"] + row["output_tokens"] for row in rows),
        "overhead_ms": sum(row["time_ms"] for row in rows),
    }


def _hours(now: float) -> list[int]:
    this = int(now // _HOUR_S * _HOUR_S)
    return [this - back * _HOUR_S for back in range(23, -1, -1)]


def _columns(hours: list[int], rows: list[dict[str, Any]], name: str) -> list[Column]:
    found: dict[tuple[int, str], float] = defaultdict(float)
    for row in rows:
        hour = int(datetime.fromisoformat(row["hour"]).timestamp())
        found[hour, _kind(row["target"])] += row[name]
    return [
        Column(
            datetime.fromtimestamp(hour, UTC).strftime("%H:00"),
            [Part(kind, found[hour, kind], colour) for kind, colour in _COLOURS.items()],
        )
        for hour in hours
    ]


def _by_target(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        sums = found.setdefault(row["target"], {"target": row["target"]})
        for name in ("requests", "refused", "input_tokens", "output_tokens", "usd", "target_ms"):
            sums[name] = sums.get(name, 0) + row[name]
    return sorted(found.values(), key=lambda row: (-row["usd"], -row["requests"]))[:50]


PAGE = Page("", "Overview", "overview.html", show, place=0)
