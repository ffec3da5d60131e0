"""One adapter: its ladder, live figures, gate report, lineage and history; moved from here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from router.config.auth import KeyScope
from router.errors import InvalidRequest
from serving.console import charts, diagrams
from serving.console.api import part
from serving.console.diagrams import Node
from serving.console.page import Page, Visit
from serving.console.pages.adapters import LIVE, ladder_of

_SHOWN: Final = 20
_SHARES: Final = frozenset({"canary", "shadow"})
_LOOKED_AT: Final = ("live", "canary", "shadow", "superseded")


async def show(visit: Visit) -> dict[str, Any]:
    """What the template gets. Raises ``RouterError``."""
    path = f"/adapters/{part(visit.path['alias'])}"
    found = await visit.api.get(path)
    versions = sorted(found["versions"], key=lambda each: str(each["created_at"]), reverse=True)
    gates = {}
    for each in versions[:_SHOWN]:
        gate = await visit.api.perhaps(f"{path}/versions/{each['digest']}/gate")
        if isinstance(gate, dict) and "verdict" in gate:
            gates[each["digest"]] = gate
    wanted = visit.query.get("gate") or next(iter(gates), "")
    lineage = await visit.api.perhaps(f"{path}/lineage", digest=visit.query.get("gate"))
    return {
        "alias": found,
        "ladder": ladder_of(found),
        "versions": versions[:_SHOWN],
        "left_out": max(len(versions) - _SHOWN, 0),
        "figures": await _figures(visit, path, versions),
        "gates": gates,
        "gate": gates.get(wanted),
        "gate_rest": {n: v for n, v in gates.get(wanted, {}).items() if n != "items"},
        "gate_picture": _scores(gates[wanted]) if wanted in gates else "",
        "lineage": {n: v for n, v in (lineage or {}).items() if n not in ("rows", "gate")},
        "lineage_picture": _lineage(lineage) if isinstance(lineage, dict) else "",
        "history": list(reversed(found["history"]))[:50],
    }


async def _figures(visit: Visit, path: str, versions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was counted of the versions that serve."""
    rows: list[dict[str, Any]] = []
    for each in versions:
        if each["state"] in _LOOKED_AT and len(rows) < _SHOWN:
            one = await visit.api.perhaps(f"{path}/versions/{each['digest']}")
            if one:
                rows.append(one)
    most = max((row["traffic"]["requests"] for row in rows), default=0)
    for row in rows:
        row["bar"] = charts.meter(f"Requests to {row['name']}", row["traffic"]["requests"], most)
    return rows


def _scores(gate: Mapping[str, Any]) -> Any:
    """The two scores, beside each other."""
    return [
        (who, gate.get(name), charts.meter(f"Score of {who}", float(gate.get(name) or 0), 1.0, n))
        for n, (who, name) in enumerate(
            [("the candidate", "candidate"), ("the current target", "current")], start=1
        )
    ]


def _lineage(found: Mapping[str, Any]) -> Any:
    """From teacher and reviewers to the version and its gate."""
    version = str(found.get("version") or "")
    reviewers = found.get("reviewers") or ()
    rows = found.get("rows")
    top = [Node("teacher", "teacher", _word(found.get("teacher")))] if found.get("teacher") else []
    if reviewers:
        top.append(Node("reviewers", "reviewers", ", ".join(map(_word, reviewers))))
    number = rows if isinstance(rows, int) else len(rows or ())
    data = []
    if found.get("dataset"):
        name = f"{number} rows, {_word(found['dataset'])[:8]}"
        data.append(Node("dataset", "dataset", name, ("teacher", "reviewers")))
    made = [Node("base", "base", _word(found.get("base"))[:24])] if found.get("base") else []
    if found.get("distillation"):
        made.append(Node("job", "distillation", _word(found["distillation"]), ("dataset",)))
    parents = [
        Node(f"parent {n}", "parent", _word(each))
        for n, each in enumerate(found.get("parents") or ())
    ][:2]
    made += parents
    sources = ("base", "job", *(each.key for each in parents))
    if not found.get("distillation"):
        sources = (*sources, "dataset")
    last = [Node("version", "version", version, sources)]
    gate = found.get("gate")
    after = [Node("gate", "gate", _verdict(gate), ("version",))] if gate else []
    return diagrams.graph(f"What {version or 'it'} was made of", [top, data, made, last, after])


def _verdict(gate: Any) -> str:
    return str(gate.get("verdict") if isinstance(gate, dict) else gate)


def _word(found: Any) -> str:
    """A name of something that may be told as a name or as an object."""
    if isinstance(found, dict):
        return str(found.get("name") or found.get("digest") or found.get("id") or found)
    return str(found or "")


async def act(visit: Visit) -> str:
    """Promote, canary, shadow, roll back or retire. Raises ``RouterError``."""
    alias, what = part(visit.path["alias"]), visit.form.get("do", "")
    body: dict[str, Any] = {}
    if what in ("promote", "retire") or what in _SHARES:
        body["digest"] = visit.form.get("digest", "")
    if what in _SHARES:
        body["percent"] = _percent(visit.form.get("percent", ""))
    elif what == "rollback" and (seen := visit.form.get("live")):
        # Two who roll the same version back would bring it back together.
        body["leaving"] = seen
    elif what not in ("promote", "retire", "rollback"):
        raise InvalidRequest("There is no such button.")
    await visit.api.send("POST", f"/adapters/{alias}/{what}", body)
    return f"/adapters/{alias}?done={what}"


def _percent(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InvalidRequest("The share must be a number, in percent.") from error


PAGE = Page(
    "/adapters/{alias}",
    "Adapter",
    "adapter.html",
    show,
    act,
    scope=KeyScope.ADMIN,
    live=LIVE,
    said={
        "promote": "The version is live.",
        "canary": "The version answers a share of the traffic.",
        "shadow": "The version answers a share of the traffic in secret.",
        "rollback": "The version from before is live again.",
        "retire": "The version was taken out of service.",
    },
)
