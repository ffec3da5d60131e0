"""What was decided, and why: `decisions list|show` the records, `decide` asks the running server,
`replay` a new configuration.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlencode

import typer

from serving.cli.client import connected
from serving.cli.options import DEFAULT_URL, AsJson, Key, Url
from serving.cli.output import clean, emit, fail, table, tell_of_more

if TYPE_CHECKING:
    from router.config.root import RouterConfig

app = typer.Typer(
    help="What was decided for each request, and why.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_PATH = "/admin/v1/decisions"
_NEWEST = 1000
"""The most that a server hands out at once."""


@app.command("list")
def listed(  # noqa: PLR0913, PLR0917 - one parameter per option
    tenant: Annotated[str | None, typer.Option(help="asked by one of this tenant's keys")] = None,
    target: Annotated[
        str | None, typer.Option(help="answered by it: base, adapter:ALIAS[@DIGEST], frontier:…")
    ] = None,
    intent: Annotated[str | None, typer.Option(help="recognised so; none: not recognised")] = None,
    status: Annotated[
        int | None, typer.Option(min=100, max=599, help="answered with this status")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="not before: ISO 8601, or seconds since the epoch")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=_NEWEST, help="at most so many")] = 100,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """List the newest."""
    given = {"tenant": tenant, "target": target, "intent": intent, "status": status, "since": since}
    asked = {name: value for name, value in given.items() if value is not None}
    with connected(url, key, as_json=as_json) as client:
        found = client.get(f"{_PATH}?{urlencode({**asked, 'limit': limit})}")
    if as_json:
        emit(found)
        return
    table(
        ("id", "time", "tenant", "intent", "target", "status", "whole", "USD"),
        [
            (
                each["id"],
                each["at"],
                each.get("tenant"),
                (each.get("intent") or {}).get("name"),
                each.get("target"),
                each.get("error") or each.get("status"),
                _seconds(each.get("seconds")),
                _usd(each.get("cost_usd")),
            )
            for each in found["data"]
        ],
    )
    tell_of_more(found, limit)


@app.command("show")
def show(
    decision: Annotated[str, typer.Argument(help="its id", metavar="ID")],
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show one in full, every candidate with the reason. `trace ID` tells what became of it."""
    with connected(url, key, as_json=as_json) as client:
        found = client.get(f"{_PATH}/{quote(decision, safe='')}")
    if as_json:
        emit(found)
        return
    shown = {name: value for name, value in found.items() if name != "candidates"}
    for name, value in shown.items():
        told = value if isinstance(value, str | int | float | None) else json.dumps(value)
        typer.echo(f"{name:<14}{clean(told)}")
    if candidates := found.get("candidates"):
        typer.echo("")
        _candidates(candidates)


def decide(
    text: Annotated[str, typer.Argument(help="what a user might say", metavar="TEXT")],
    model: Annotated[str, typer.Option(help="as in a request")] = "auto",
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show which target would answer. And why, for every candidate; nobody is called."""
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    with connected(url, key, as_json=as_json) as client:
        decision = client.post("/v1/decision", body)
    if as_json:
        emit(decision)
        return
    for name, value in _headline(decision):
        typer.echo(f"{name:<8}{clean(value)}")
    typer.echo("")
    _candidates(decision["candidates"])


def _candidates(found: list[dict[str, Any]]) -> None:
    rows = [
        (
            each["rank"],
            each["target"],
            each["code"],
            _usd(each["cost_usd"]),
            "-" if each["quality"] is None else f"{each['quality']:.3f}",
            each.get("prior") or "-",
            each.get("difficulty") or "-",
            each["reason"],
        )
        for each in found
    ]
    columns = ("rank", "candidate", "code", "expected USD", "quality", "prior", "this request")
    table((*columns, "reason"), rows)


def _headline(decision: dict[str, Any]) -> list[tuple[str, str]]:
    intent, decided = decision["intent"], decision["decided"]
    confidence = "" if intent["confidence"] is None else f" ({intent['confidence']:.2f})"
    risk = "no bound" if decided["risk"] is None else f"bound {decided['risk']:g}"
    if decided.get("worth_usd") is not None:
        risk += f", a good answer is worth {decided['worth_usd']:g} USD"
    refused = f"none: {decision['error']}" if decision.get("error") else None
    lines = [
        ("intent", f"{intent['name'] or 'none'}{confidence}"),
        ("target", refused or str(decision["target"])),
        ("how", f"{decided['how']}, route {decided['route'] or '*'}, {risk}"),
        *_judging(decided.get("judging")),
        ("policy", decided["policy_version"]),
        ("tokens", f"about {decision['features']['input_tokens']} in"),
    ]
    price = decision["features"].get("local_price") or {"basis": "none"}
    if price["basis"] != "none":
        usd = f"{price['input_usd_per_mtok']:.4g}/{price['output_usd_per_mtok']:.4g}"
        lines.append(("price", f"local {usd} USD a million tokens in/out, {price['basis']}"))
    return lines


def _judging(told: dict[str, Any] | None) -> list[tuple[str, str]]:
    """By what local answers are judged, where they are."""
    if told is None:
        return []
    below = [f"another is asked below {bar:.3f} of {name}" for name, bar in told["below"].items()]
    return [("judged by", "; ".join([told["by"], *below]))]


def replay(
    config: Annotated[
        Path, typer.Option(help="deploy file whose decisions are wanted", exists=True)
    ],
    decisions: Annotated[
        Path | None,
        typer.Option(
            help="recorded decisions, JSON or one object a line; default: the server's newest",
            exists=True,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=_NEWEST, help="newest decisions")] = _NEWEST,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show what another configuration would have decided. From records; nobody is called."""
    from router.choose.replay import replay as decide_again
    from router.choose.replay import summary

    wanted = _router_config(config)
    records = _recorded(decisions, limit, url, key)
    report = summary(decide_again(records, wanted))
    report["left_out"] = len(records) - report["decisions"]
    if as_json:
        emit(report)
    else:
        _show(report)


def _router_config(file: Path) -> RouterConfig:
    from serving.config.deploy import ConfigError, load

    try:
        return load(file).settings.router
    except ConfigError as error:
        fail(f"{file}: {error.problems[0]}; `graftwork check {file}` tells all")


def _recorded(file: Path | None, limit: int, url: str, key: str | None) -> list[dict[str, Any]]:
    if file is None:
        with connected(url, key) as client:
            return list(client.get(f"{_PATH}?limit={limit}")["data"])
    text = file.read_text(encoding="utf-8")
    try:
        found = json.loads(text)
    except ValueError:
        found = _lines(file, text)
    if isinstance(found, dict):
        found = found.get("data", [found])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        fail(f"{file}: not decision records; save the answer of GET /admin/v1/decisions")
    return found[-limit:] if file.suffix == ".jsonl" else found[:limit]


def _lines(file: Path, text: str) -> list[Any]:
    try:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        fail(f"{file}: neither JSON nor one JSON object a line: {error}")


def _show(report: dict[str, Any]) -> None:
    typer.echo(
        f"{report['decisions']} decisions, {report['changed']} changed; "
        f"cost {_usd(report['before_usd'])} USD, would be {_usd(report['after_usd'])} USD"
    )
    if report["left_out"]:
        typer.echo(f"{report['left_out']} records hold too little to decide again")
    if not report["decisions"]:
        return
    typer.echo("")
    table(
        ("target", "before", "after"),
        [(name, mix["before"], mix["after"]) for name, mix in report["targets"].items()],
    )
    typer.echo("")
    table(
        ("intent", "decisions", "changed", "before USD", "after USD"),
        [
            (name, t["decisions"], t["changed"], _usd(t["before_usd"]), _usd(t["after_usd"]))
            for name, t in report["intents"].items()
        ],
    )
    if report["moves"]:
        typer.echo("")
        table(
            ("changed from", "to", "decisions"),
            [(move["before"], move["after"], move["decisions"]) for move in report["moves"]],
        )


def _usd(value: float | None) -> str:
    return "-" if value is None else f"{value:.6f}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f} s"
