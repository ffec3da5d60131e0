"""`graftwork trace REQUEST`: what became of it; `graftwork why ADAPTER`: why it serves."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from serving.cli.client import adapter_path, connected
from serving.cli.options import DEFAULT_URL, AsJson, Key, Url
from serving.cli.output import clean, emit, table


def trace(
    request: Annotated[
        str, typer.Argument(help="x-request-id or x-graftwork-decision-id", metavar="REQUEST")
    ],
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Follow a request: decision, attempts, exchange, review, dataset rows, adapters."""
    with connected(url, key, as_json=as_json) as client:
        decision = client.get(f"/admin/v1/decisions/{quote(request, safe='')}")
        became = client.get(f"/admin/v1/trace/{quote(decision['id'], safe='')}")
    if as_json:
        emit({"decision": decision, **became})
        return
    for name, value in _story(decision, became):
        typer.echo(f"{name:<10}{clean(value)}")
    if became["datasets"]:
        typer.echo("")
        rows = [
            (d["name"], d["digest"][:12], d["split"], d["row"][:12]) for d in became["datasets"]
        ]
        table(("dataset", "digest", "split", "row"), rows)
    if became["adapters"]:
        typer.echo("")
        table(
            ("adapter", "state", "how"),
            [(each["version"], each["state"], each["how"]) for each in became["adapters"]],
        )


def _story(decision: dict[str, Any], became: dict[str, Any]) -> list[tuple[str, str]]:
    from adapters.format.files import few

    exchange, review = became["exchange"], became["review"]
    attempts = [f"{a['target']} ({a['outcome']})" for a in decision.get("attempts") or ()]
    intent = decision.get("intent")
    name = intent.get("name") if isinstance(intent, dict) else intent
    captured = "none: it was not captured, or is no longer kept"
    if exchange is not None:
        captured = f"{exchange['id']}, {exchange['state']}, asked {exchange['count']} times"
    judged = "none" if review is None else f"{review['id']}, {review['state']}"
    return [
        ("decision", decision["id"]),
        ("intent", name or "none"),
        ("target", str(decision.get("target") or "none")),
        ("attempts", few(attempts) or "none"),
        ("exchange", captured),
        ("review", judged),
    ]


def why(
    adapter: Annotated[
        str, typer.Argument(help="the live version, or a pinned one", metavar="ALIAS[@DIGEST]")
    ],
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Say what an adapter was made of, and why it serves."""
    alias, _, digest = adapter.partition("@")
    query = f"?digest={quote(digest)}" if digest else ""
    with connected(url, key, as_json=as_json) as client:
        lineage = client.get(adapter_path(alias, "lineage") + query)
        detail = client.get(adapter_path(alias))
        answers = [
            row
            for row in client.pages("/admin/v1/takeover")["data"]
            if row["target"] == f"adapter:{lineage['version']}"
        ]
    if as_json:
        emit({"lineage": lineage, "history": detail["history"], "takeover": answers})
        return
    for name, value in _reasons(lineage, answers):
        typer.echo(f"{name:<14}{clean(value)}")
    typer.echo("")
    lines = [line for line in detail["history"] if line["digest"] == lineage["digest"]]
    table(
        ("time", "actor", "action", "from", "to", "why"),
        [
            tuple(line[name] for name in ("at", "actor", "action", "before", "after", "detail"))
            for line in lines
        ],
    )


def _reasons(lineage: dict[str, Any], answers: list[dict[str, Any]]) -> list[tuple[str, str]]:
    from adapters.format.files import few

    gate, rows = lineage["gate"], lineage["splits"]
    settings = (f"{name}={value}" for name, value in lineage["settings"].items())
    found = [
        ("version", f"{lineage['version']}, {lineage['state']}"),
        ("answers", few(row["intent"] for row in answers) or "no intent now"),
        ("base", lineage["base"] or "unknown"),
        ("distillation", lineage["distillation"] or f"none: pushed by {lineage['author']}"),
        ("settings", few(settings, 20) or "unknown"),
        ("dataset", _dataset(lineage, rows)),
        ("reviewers", few(lineage["reviewers"]) or "none"),
        ("teacher", lineage["teacher"] or "none"),
        ("gate", "none was demanded" if gate is None else _gate(gate)),
        ("parents", few(lineage["parents"]) or "none"),
    ]
    for row in answers:
        saved = f"{row['coverage'] or 0:.0%} of {row['requests']} requests"
        found.append((row["intent"], f"{saved}, {row['saved_usd']:.4f} USD saved"))
    return found


def _dataset(lineage: dict[str, Any], splits: dict[str, int]) -> str:
    if lineage["dataset"] is None:
        return "none"
    rows = ", ".join(f"{count} {name}" for name, count in sorted(splits.items()))
    erased = ", erased since" if lineage["erased"] else ""
    return f"{lineage['dataset'][:12]} ({rows or 'rows unknown'}{erased})"


def _gate(gate: dict[str, Any]) -> str:
    verdict = gate.get("verdict") or ("passed" if gate.get("passed") else "not passed")
    reason = gate.get("reason")
    return f"{verdict}: {reason}" if reason else str(verdict)
